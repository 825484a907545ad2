from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from dramatiq.brokers.redis import RedisBroker

from apps.core import outbox
from apps.core.broker import DatabaseBroker
from apps.core.models import OutboxMessage
from tests.tasks import empty_queue, queued

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broker() -> Iterator[DatabaseBroker]:
    """The application's, for as long as the test: one that can be closed."""
    before = dramatiq.get_broker()
    made = DatabaseBroker(middleware=[])
    dramatiq.set_broker(made)
    with empty_queue():
        yield made
        made.close()
        made.pool.close()
    dramatiq.set_broker(before)


def note(*args: object) -> None:
    """Nobody runs it here."""


@pytest.fixture
def actor(broker: DatabaseBroker) -> dramatiq.Actor[..., Any]:
    return dramatiq.actor(broker=broker)(note)


@pytest.fixture
def cut_off() -> Iterator[dramatiq.Actor[..., Any]]:
    """The same actor, where its broker cannot be reached."""
    down = RedisBroker(url="redis://127.0.0.1:1/0", middleware=[])  # type: ignore[no-untyped-call]
    yield dramatiq.actor(broker=down, actor_name="note")(note)
    down.close()


def test_messages_are_sent_in_order_when_the_outermost_transaction_commits(actor: dramatiq.Actor[..., Any]) -> None:
    with transaction.atomic():
        outbox.send(actor, 1)
        with transaction.atomic():
            outbox.send(actor, 2)
        assert (OutboxMessage.objects.count(), queued()) == (2, [])
    assert (OutboxMessage.objects.count(), queued()) == (0, [("note", [1]), ("note", [2])])


def test_a_savepoint_that_is_rolled_back_takes_its_messages_along(actor: dramatiq.Actor[..., Any]) -> None:
    with transaction.atomic():
        with transaction.atomic():
            outbox.send(actor, 1)
            transaction.set_rollback(True)
        outbox.send(actor, 2)
    assert (OutboxMessage.objects.count(), queued()) == (0, [("note", [2])])


def test_without_a_transaction_a_message_is_sent_at_once(actor: dramatiq.Actor[..., Any]) -> None:
    outbox.send(actor, 1)
    assert queued() == [("note", [1])]


def test_a_message_that_json_has_no_word_for_fails_its_writer(actor: dramatiq.Actor[..., Any]) -> None:
    with pytest.raises(TypeError):
        outbox.send(actor, object())
    assert not OutboxMessage.objects.exists()


def test_a_broker_that_is_down_fails_nobody_and_gets_its_messages_later(
    actor: dramatiq.Actor[..., Any], cut_off: dramatiq.Actor[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic():
        outbox.send(cut_off, 1)
        outbox.send(cut_off, 2)
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR", "ERROR"]
    assert outbox.relay() == 0, "their writers may still be about to hand them over"
    OutboxMessage.objects.update(created_at=timezone.now() - outbox.OVERDUE - timedelta(seconds=1))
    assert outbox.relay() == 2
    assert (OutboxMessage.objects.count(), queued()) == (0, [("note", [1]), ("note", [2])])


def test_the_command_says_how_many_it_has_handed_over(
    actor: dramatiq.Actor[..., Any], cut_off: dramatiq.Actor[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("relay_outbox")
    outbox.send(cut_off, 1)
    OutboxMessage.objects.update(created_at=timezone.now() - timedelta(hours=1))
    call_command("relay_outbox")
    assert capsys.readouterr().out == "Handed over 1 messages.\n"
    assert queued() == [("note", [1])]
