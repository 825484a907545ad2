"""What the outbox has, the broker gets: all of it, once, and of each key in order."""

import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from operator import itemgetter
from typing import Any
from uuid import uuid4

import dramatiq
import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction
from django.db.models.functions import Now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core import outbox
from apps.core import relay as relay_module
from apps.core.broker import DatabaseBroker
from apps.core.db import conninfo
from apps.core.models import DeadLetter, OutboxMessage
from apps.core.relay import BATCH, CLAIM, IDLE, relay
from tests.brokers import URLS, Recorder, answering, chosen, held
from tests.relays import beside_each_other, in_order, unreliable
from tests.tasks import queued, worker
from tests.waiting import wait_until

REDIS_IN_SILENCE = "redis://127.0.0.1:{}/0?socket_timeout=0.2"
RABBIT_IN_SILENCE = "amqp://127.0.0.1:{}?stack_timeout=0.2"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=URLS)
def broker(request: pytest.FixtureRequest) -> Iterator[dramatiq.Broker]:
    with answering(request.param) as broker:
        yield broker


@pytest.fixture
def database() -> Iterator[dramatiq.Broker]:
    with answering("postgresql") as broker:
        yield broker


def test_a_worker_gets_what_was_written(broker: dramatiq.Broker) -> None:
    recorder = Recorder()
    outbox.send_all(recorder.actor, [(number,) for number in range(BATCH + 20)])
    assert relay() == BATCH + 20
    assert not OutboxMessage.objects.exists()
    with worker(broker):
        wait_until(lambda: len(recorder.calls) == BATCH + 20)
    assert sorted(recorder.calls) == [*range(BATCH + 20)]


def test_relays_beside_each_other_bring_every_broker_each_key_in_order(
    broker: dramatiq.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.core.relay.BATCH", 7)
    recorder, keys = Recorder(), ["", "a", "a", "b"] * 30
    for number, key in enumerate(keys):
        outbox.send(recorder.actor, key, number, key=key)
    with beside_each_other(2):
        pass
    taken = held(broker, recorder.actor.name)
    assert sorted(taken, key=itemgetter(1)) == [[key, number] for number, key in enumerate(keys)]
    assert in_order(taken, "a")
    assert in_order(taken, "b")


def test_what_is_not_due_waits(broker: dramatiq.Broker) -> None:
    recorder = Recorder()
    outbox.send(recorder.actor, "later", delay=timedelta(hours=1))
    outbox.send(recorder.actor, "now")
    assert relay() == 1
    OutboxMessage.objects.update(due_at=Now())
    assert relay() == 1
    with worker(broker):
        wait_until(lambda: sorted(recorder.calls) == ["later", "now"])


def broken(message: dramatiq.Message[Any]) -> list[bytes]:
    """What could stand in its place, were something wrong with a release."""
    copies = [
        message.copy(message_id="1"),
        message.copy(message_id=1),
        message.copy(message_id=message.message_id.upper()),
        message.copy(queue_name="no queue\0"),
        message.copy(queue_name="q" * 300),
        message.copy(queue_name=None),
        message.copy(actor_name=["mail"]),
    ]
    return [
        b"not a message",
        b"[]",
        b"\xff",
        message.encode().replace(b'"options":{}', b'"options":null'),
        *(copy.encode() for copy in copies),
    ]


def test_a_message_that_is_none_is_a_dead_letter_and_keeps_nobody_waiting(broker: dramatiq.Broker) -> None:
    recorder = Recorder()
    bad = broken(recorder.actor.message())
    outbox.send(recorder.actor, 1)
    for message in bad:
        OutboxMessage.objects.create(message=message)
    outbox.send(recorder.actor, 2)
    assert relay() == len(bad) + 2
    assert {bytes(letter.message) for letter in DeadLetter.objects.all()} == {*bad}
    assert all("DecodeError" in letter.error for letter in DeadLetter.objects.all())
    assert held(broker, recorder.actor.name) == [[1], [2]]


def test_what_jsonb_does_not_take_is_a_dead_letter_and_not_quoted_in_the_log(
    database: dramatiq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    odd = recorder.actor.message("c").copy(actor_name="\0" + "a" * 300)
    outbox.send_all(recorder.actor, [("a",), ("ann@example.com\x00",), ("b",)])
    OutboxMessage.objects.create(message=odd.encode())
    assert relay() == 4
    assert [args for _, args in queued()] == [["a"], ["b"]]
    first, second = DeadLetter.objects.order_by("pk")
    assert first.actor == recorder.actor.name
    assert str(second.message_id) == odd.message_id
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "ann@" not in caplog.text


def test_a_queue_that_is_not_there_is_no_reason_to_bury_anything(database: dramatiq.Broker) -> None:
    outbox.send(Recorder().actor, 1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE dramatiq.queue RENAME TO gone")
    try:
        with pytest.raises(ProgrammingError):
            relay()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE dramatiq.gone RENAME TO queue")
    assert not DeadLetter.objects.exists()
    assert relay() == 1


def test_a_queue_that_this_release_does_not_know_gets_its_messages(broker: dramatiq.Broker) -> None:
    message = Recorder().actor.message("new").copy(queue_name=f"test-{uuid4().hex}")
    OutboxMessage.objects.create(message=message.encode())
    assert relay() == 1
    assert not DeadLetter.objects.exists()
    if not isinstance(broker, DatabaseBroker):
        assert held(broker, message.queue_name) == [["new"]]
        broker.declare_queue(message.queue_name)  # for it to be removed


def test_it_ends_between_two_batches_when_it_is_told_to(database: dramatiq.Broker) -> None:
    outbox.send_all(Recorder().actor, [(number,) for number in range(2 * BATCH)])
    over = iter([False, True])
    assert relay(lambda: next(over)) == BATCH
    assert OutboxMessage.objects.count() == BATCH


def test_a_slow_broker_gets_no_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.core.relay.BATCH_SECONDS", 0)
    with unreliable(set()) as broker:
        recorder = Recorder()
        outbox.send_all(recorder.actor, [("", number) for number in range(3)])
        over = iter([False, True])
        assert relay(lambda: next(over)) == 1
        assert relay() == 2
        assert broker.taken == [("", 0), ("", 1), ("", 2)]


def test_a_relay_that_hangs_keeps_nothing_for_ever(database: dramatiq.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.core.relay.CLAIM", CLAIM.replace(f"'{IDLE}s'", "'50ms'"))
    recorder = Recorder()
    outbox.send(recorder.actor, 1)
    with closing(psycopg.connect(conninfo())) as hanging:
        hanging.execute(relay_module.CLAIM.replace("%s", "200"))
        assert relay() == 0
        wait_until(lambda: relay() == 1)
    assert [args for _, args in queued()] == [[1]]


@pytest.mark.parametrize(
    "address", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1", REDIS_IN_SILENCE, RABBIT_IN_SILENCE]
)
def test_a_broker_that_is_down_fails_no_writer_and_gets_its_messages_later(
    address: str, database: dramatiq.Broker
) -> None:
    recorder = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as silent, chosen(address.format(silent.getsockname()[1])):
        outbox.send_all(recorder.actor, [(1,), (2,)])
        with pytest.raises(Exception, match=r"(?i)refused|connection|timeout"):
            relay()
    assert OutboxMessage.objects.count() == 2
    assert relay() == 2
    assert [args for _, args in queued()] == [[1], [2]]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    transactions=st.lists(
        st.tuples(st.lists(st.sampled_from(["", "a", "b"]), min_size=1, max_size=3), st.booleans()), max_size=15
    ),
    failures=st.sets(st.integers(0, 40), max_size=5),
    batch=st.integers(1, 4),
    relays=st.integers(1, 3),
)
def test_relays_beside_writers_lose_and_double_nothing_and_keep_the_order_of_each_key(
    monkeypatch: pytest.MonkeyPatch,
    transactions: list[tuple[list[str], bool]],
    failures: set[int],
    batch: int,
    relays: int,
) -> None:
    monkeypatch.setattr("apps.core.relay.BATCH", batch)
    committed, numbers = [], count()
    with unreliable(failures) as broker:
        recorder = Recorder()
        with beside_each_other(relays):
            for keys, is_rolled_back in transactions:
                messages = [(key, next(numbers)) for key in keys]
                with transaction.atomic():
                    for key, number in messages:
                        outbox.send(recorder.actor, key, number, key=key)
                    transaction.set_rollback(is_rolled_back)
                committed += [] if is_rolled_back else messages
    assert sorted(broker.taken, key=itemgetter(1)) == committed
    assert in_order(broker.taken, "a")
    assert in_order(broker.taken, "b")
