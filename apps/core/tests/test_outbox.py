"""A message is written with what it follows from, or not at all."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.core import outbox
from apps.core.actors import Actor, actor
from apps.core.db import conninfo
from apps.core.models import OutboxMessage
from tests.brokers import chosen
from tests.tasks import written

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def note() -> Iterator[Actor[...]]:
    """Nobody runs it here."""
    with chosen(""):
        yield actor(actor_name="note")(lambda *_: None)


def test_messages_are_written_in_order_when_the_outermost_transaction_commits(note: Actor[...]) -> None:
    with transaction.atomic():
        outbox.send(note, 1)
        with transaction.atomic():
            outbox.send_all(note, [(2,), (3, "x")])
    assert written() == [("note", [1]), ("note", [2]), ("note", [3, "x"])]


def test_what_is_rolled_back_takes_its_messages_along(note: Actor[...]) -> None:
    with transaction.atomic():
        with transaction.atomic():
            outbox.send(note, 1)
            transaction.set_rollback(True)
        outbox.send(note, 2)
    with transaction.atomic():
        outbox.send(note, 3)
        transaction.set_rollback(True)
    assert written() == [("note", [2])]


def test_it_takes_one_statement_for_any_number_and_none_for_nothing(note: Actor[...]) -> None:
    for calls, statements in ([(1,)], 1), ([(n,) for n in range(50)], 1), ([], 0):
        with CaptureQueriesContext(connection) as queries:
            outbox.send_all(note, calls)
        assert len(queries) == statements


def test_a_message_that_json_has_no_word_for_fails_its_writer(note: Actor[...]) -> None:
    with pytest.raises(TypeError):
        outbox.send(note, object())
    assert not OutboxMessage.objects.exists()


def test_a_message_that_no_broker_may_take_fails_its_writer(note: Actor[...]) -> None:
    with pytest.raises(ValueError, match="more than"):
        outbox.send_all(note, [("x",), ("x" * outbox.MESSAGE_MAX,)])
    assert not OutboxMessage.objects.exists()


def test_a_delay_is_counted_by_the_database(note: Actor[...]) -> None:
    outbox.send(note, 1, delay=timedelta(minutes=5))
    [row] = OutboxMessage.objects.all()
    assert row.due_at - row.created_at == timedelta(minutes=5)


def test_listeners_are_woken_by_what_has_committed_alone(note: Actor[...]) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as listening:
        listening.execute(f"LISTEN {outbox.CHANNEL}")
        with transaction.atomic():
            outbox.send(note, 1)
            assert _heard(listening, 0.2) == 0
            transaction.set_rollback(True)
        outbox.send(note, 1, delay=timedelta(seconds=1))
        assert _heard(listening, 10) == 1


def _heard(listening: psycopg.Connection[Any], seconds: float) -> int:
    """How many notifications have come by the first of them, or in this time."""
    return len(list(listening.notifies(timeout=seconds, stop_after=1)))
