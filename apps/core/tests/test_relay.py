"""What the outbox has, the broker gets: all of it, once, and of each key in order."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from operator import itemgetter
from typing import Any

import dramatiq
import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.models.functions import Now
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Retries, TimeLimit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core import outbox
from apps.core.models import DeadLetter, OutboxMessage
from apps.core.relay import BATCH, POLL, Relay, relay
from tests.brokers import URLS, Recorder, answering, chosen
from tests.tasks import queued, worker
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=URLS)
def broker(request: pytest.FixtureRequest) -> Iterator[dramatiq.Broker]:
    with answering(request.param) as broker:
        yield broker


@pytest.fixture
def database() -> Iterator[dramatiq.Broker]:
    with answering("postgresql") as broker:
        yield broker


def test_a_worker_gets_what_was_written_in_its_order(broker: dramatiq.Broker) -> None:
    recorder = Recorder()
    outbox.send_all(recorder.actor, [(number,) for number in range(BATCH + 20)])
    assert relay() == BATCH + 20
    assert not OutboxMessage.objects.exists()
    with worker(broker):
        wait_until(lambda: len(recorder.calls) == BATCH + 20)
    assert sorted(recorder.calls) == [*range(BATCH + 20)]


def test_what_is_not_due_waits(broker: dramatiq.Broker) -> None:
    recorder = Recorder()
    outbox.send(recorder.actor, "later", delay=timedelta(hours=1))
    outbox.send(recorder.actor, "now")
    assert relay() == 1
    OutboxMessage.objects.update(due_at=Now())
    assert relay() == 1
    with worker(broker):
        wait_until(lambda: sorted(recorder.calls) == ["later", "now"])


def test_a_message_that_is_refused_is_a_dead_letter_and_keeps_nobody_waiting(broker: dramatiq.Broker) -> None:
    recorder = Recorder()
    outbox.send(recorder.actor, 1)
    OutboxMessage.objects.create(message=b"not a message")
    outbox.send(recorder.actor, 2)
    assert relay() == 3
    [letter] = DeadLetter.objects.all()
    assert bytes(letter.message) == b"not a message"
    assert "DecodeError" in letter.error
    with worker(broker):
        wait_until(lambda: sorted(recorder.calls) == [1, 2])


def test_what_jsonb_does_not_take_is_a_dead_letter(database: dramatiq.Broker) -> None:
    recorder = Recorder()
    outbox.send_all(recorder.actor, [("a",), ("\x00",), ("b",)])
    assert relay() == 3
    assert [args for _, args in queued()] == [["a"], ["b"]]
    [letter] = DeadLetter.objects.all()
    assert letter.actor == recorder.actor.name


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1"])
def test_a_broker_that_is_down_fails_no_writer_and_gets_its_messages_later(url: str, database: dramatiq.Broker) -> None:
    recorder = Recorder()
    with chosen(url) as down:
        down.declare_queue(recorder.actor.message().queue_name)
        outbox.send_all(recorder.actor, [(1,), (2,)])
        with pytest.raises(Exception, match=r"refused|Connection"):
            relay()
    assert OutboxMessage.objects.count() == 2
    assert relay() == 2
    assert [args for _, args in queued()] == [[1], [2]]


@pytest.mark.parametrize("name", URLS)
def test_the_process_relays_what_is_written_until_it_is_told_to_stop(name: str) -> None:
    with answering(name) as broker, relaying():
        recorder = Recorder()
        with worker(broker):
            outbox.send(recorder.actor, "now")
            wait_until(lambda: recorder.calls == ["now"], POLL - 1)
            outbox.send(recorder.actor, "soon", delay=timedelta(seconds=0.3))
            wait_until(lambda: recorder.calls == ["now", "soon"], POLL - 1)


def test_the_process_outlives_its_connections_and_says_so_once(
    database: dramatiq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    with relaying(), worker(database):
        outbox.send(recorder.actor, 1)
        wait_until(lambda: recorder.calls == [1])
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND application_name = 'broadside-relay'"
            )
        outbox.send(recorder.actor, 2)
        wait_until(lambda: recorder.calls == [1, 2])
    said = [record.levelname for record in caplog.records if record.name == "broadside.relay"]
    assert said == ["ERROR", "INFO"]


def test_the_command_hands_over_once(database: dramatiq.Broker, capsys: pytest.CaptureFixture[str]) -> None:
    outbox.send_all(Recorder().actor, [(1,), (2,)])
    call_command("relay_outbox", "--once")
    assert capsys.readouterr().out == "Handed over 2 messages.\n"


class Unreliable(StubBroker):
    """Takes messages, but for those at some places in their order, which have to be brought again."""

    def __init__(self, failures: set[int]) -> None:
        super().__init__(middleware=[TimeLimit(), Retries()])
        self.taken: list[tuple[str, int]] = []
        self._failures = failures
        self._lock = threading.Lock()
        self._numbers = count()

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        with self._lock:
            if next(self._numbers) in self._failures:
                raise ConnectionError("not now")
            self.taken.append((message.args[0], message.args[1]))
        return message


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(st.sampled_from(["", "a", "b"]), max_size=25),
    failures=st.sets(st.integers(0, 40), max_size=5),
    batch=st.integers(1, 4),
    relays=st.integers(1, 3),
)
def test_relays_beside_each_other_lose_and_double_nothing_and_keep_the_order_of_each_key(
    monkeypatch: pytest.MonkeyPatch, keys: list[str], failures: set[int], batch: int, relays: int
) -> None:
    monkeypatch.setattr("apps.core.relay.BATCH", batch)
    broker, before = Unreliable(failures), dramatiq.get_broker()
    dramatiq.set_broker(broker)
    try:
        recorder = Recorder()
        for number, key in enumerate(keys):
            outbox.send(recorder.actor, key, number, key=key)
        with ThreadPoolExecutor(relays) as threads:
            for relaying_through in [threads.submit(_relay_through) for _ in range(relays)]:
                relaying_through.result(60)
    finally:
        dramatiq.set_broker(before)
    assert sorted(broker.taken, key=itemgetter(1)) == [(key, number) for number, key in enumerate(keys)]
    for key in ("a", "b"):
        numbers = [number for taken, number in broker.taken if taken == key]
        assert numbers == sorted(numbers)


def _relay_through() -> None:
    """Relay until nothing is left, as a process does that is started again whenever it fails."""
    try:
        while OutboxMessage.objects.exists():
            with suppress(ConnectionError):
                relay()
    finally:
        connections.close_all()


@contextmanager
def relaying() -> Iterator[None]:
    """The relay's process, as a thread."""
    told, tell = os.pipe()

    def run() -> None:
        try:
            Relay(told).run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        os.write(tell, b".")
        thread.join(20)
        os.close(told)
        os.close(tell)
    assert not thread.is_alive()
