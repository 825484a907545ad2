from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
from django.db import connection, transaction

from apps.core.broker import DatabaseBroker, enqueue_on_commit
from tests.tasks import empty_queue, queued


@pytest.fixture
def broker() -> Iterator[DatabaseBroker]:
    """A broker like the application's that can be closed."""
    made = DatabaseBroker(middleware=[])
    with empty_queue():
        yield made
        made.close()
        made.pool.close()


def note(*args: object) -> None:
    """Nobody runs it here."""


@pytest.fixture
def actor(broker: DatabaseBroker) -> dramatiq.Actor[..., Any]:
    return dramatiq.actor(broker=broker)(note)


@pytest.mark.django_db(transaction=True)
def test_messages_are_sent_in_order_when_the_outermost_transaction_commits(actor: dramatiq.Actor[..., Any]) -> None:
    with transaction.atomic():
        enqueue_on_commit(actor, 1)
        with transaction.atomic():
            enqueue_on_commit(actor, 2)
        assert queued() == []
    assert queued() == [("note", [1]), ("note", [2])]


@pytest.mark.django_db(transaction=True)
def test_a_savepoint_that_is_rolled_back_takes_its_messages_along(actor: dramatiq.Actor[..., Any]) -> None:
    with transaction.atomic():
        with transaction.atomic():
            enqueue_on_commit(actor, 1)
            transaction.set_rollback(True)
        enqueue_on_commit(actor, 2)
    assert queued() == [("note", [2])]


@pytest.mark.django_db(transaction=True)
def test_without_a_transaction_a_message_is_sent_at_once(actor: dramatiq.Actor[..., Any]) -> None:
    enqueue_on_commit(actor, 1)
    assert queued() == [("note", [1])]


@pytest.mark.django_db(transaction=True)
def test_a_message_that_cannot_be_sent_is_logged_and_the_next_one_is_sent(
    actor: dramatiq.Actor[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic():
        enqueue_on_commit(actor, object())  # JSON has no word for it
        enqueue_on_commit(actor, 2)
    assert queued() == [("note", [2])]
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_dropped_is_replaced(actor: dramatiq.Actor[..., Any]) -> None:
    enqueue_on_commit(actor, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'broadside-tasks'"
        )
    enqueue_on_commit(actor, 2)
    assert queued() == [("note", [1]), ("note", [2])]


def test_nothing_connects_before_the_first_message() -> None:
    broker = DatabaseBroker(middleware=[])
    broker.declare_queue("default")
    assert broker.pool.closed
