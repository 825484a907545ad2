from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
from django.db import connection

from apps.core import outbox
from apps.core.broker import DatabaseBroker
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
def test_a_connection_that_the_server_dropped_is_replaced(actor: dramatiq.Actor[..., Any]) -> None:
    outbox.send(actor, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'broadside-tasks'"
        )
    outbox.send(actor, 2)
    assert queued() == [("note", [1]), ("note", [2])]


def test_nothing_connects_before_the_first_message() -> None:
    broker = DatabaseBroker(middleware=[])
    broker.declare_queue("default")
    assert broker.pool.closed
