"""What the outbox has, the broker gets: all of it, once, and of each key in order."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from operator import itemgetter
from typing import Any
from uuid import uuid4

import dramatiq
import psycopg
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, connections, transaction
from django.db.models.functions import Now
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit, Retries, TimeLimit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core import outbox
from apps.core.broker import DatabaseBroker
from apps.core.db import conninfo
from apps.core.models import DeadLetter, OutboxMessage
from apps.core.relay import BATCH, POLL, Relay, relay
from tests.brokers import URLS, Recorder, answering, chosen, held
from tests.database import database_url
from tests.project import ROOT
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


def test_what_another_relay_kept_is_handed_over_soon_after(database: dramatiq.Broker) -> None:
    recorder = Recorder()
    messages = [("a", recorder.actor.message(number).encode()) for number in (1, 2)]
    with psycopg.connect(conninfo()) as other:
        for key, message in messages:  # nobody is woken by these
            OutboxMessage.objects.create(key=key, message=message)
        other.execute("SELECT FROM core_outboxmessage WHERE id = (SELECT min(id) FROM core_outboxmessage) FOR UPDATE")
        with relaying():
            wait_until(are_resting)
            assert queued() == []
            other.rollback()
            wait_until(lambda: [args for _, args in queued()] == [[1], [2]], POLL - 1)


def are_resting() -> bool:
    """Whether a relay has looked how long it can wait."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT extract%min(due_at)%' AND state = 'idle'")
        return bool(cursor.fetchall())


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


def test_what_is_notified_while_it_looks_when_to_wake_is_not_lost(database: dramatiq.Broker) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as listening:
        listening.execute(f"LISTEN {outbox.CHANNEL}")
        assert Relay(0)._until_due(listening) == POLL
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {outbox.CHANNEL}")
        assert select.select([listening.fileno()], [], [], 10)[0]
        assert Relay(0)._until_due(listening) == 0


def test_an_outage_of_the_broker_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with unreliable({1, 2, 3}) as broker, relaying():
        recorder = Recorder()
        outbox.send_all(recorder.actor, [("", number) for number in range(3)])
        wait_until(lambda: len(broker.taken) == 3)
        wait_until(lambda: not OutboxMessage.objects.exists())
    assert broker.taken == [("", 0), ("", 1), ("", 2)]
    said = [record.levelname for record in caplog.records if record.name == "broadside.relay"]
    assert said == ["ERROR", "INFO"]


def test_the_command_hands_over_once(database: dramatiq.Broker, capsys: pytest.CaptureFixture[str]) -> None:
    outbox.send_all(Recorder().actor, [(1,), (2,)])
    call_command("relay_outbox", "--once")
    assert capsys.readouterr().out == "Handed over 2 messages.\n"


def test_the_command_runs_until_a_signal_and_takes_more_of_them(database: dramatiq.Broker) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings.dev", "DATABASE_URL": database_url(), "BROKER_URL": ""}
    command = [sys.executable, "manage.py", "relay_outbox"]
    recorder = Recorder()
    outbox.send(recorder.actor, "before")
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | settings) as process:
        try:
            wait_until(lambda: len(queued()) == 1 or process.poll() is not None)
            outbox.send(recorder.actor, "meanwhile")
            wait_until(lambda: len(queued()) == 2 or process.poll() is not None, POLL - 1)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            assert process.wait(POLL) == 0
        finally:
            process.kill()
    assert [args for _, args in queued()] == [["before"], ["meanwhile"]]


class Unreliable(StubBroker):
    """Takes messages, but for those at some places in their order, which have to be brought again."""

    def __init__(self, failures: set[int]) -> None:
        super().__init__(middleware=[AgeLimit(), TimeLimit(), Retries()])
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


@contextmanager
def unreliable(failures: set[int]) -> Iterator[Unreliable]:
    broker, before = Unreliable(failures), dramatiq.get_broker()
    dramatiq.set_broker(broker)
    try:
        yield broker
    finally:
        dramatiq.set_broker(before)


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


def in_order(taken: Iterable[Sequence[Any]], key: str) -> bool:
    """Whether the messages of `key` were taken in the order of their numbers."""
    numbers = [number for its_key, number in taken if its_key == key]
    return numbers == sorted(numbers)


@contextmanager
def beside_each_other(relays: int) -> Iterator[None]:
    """So many relay during the block, and afterwards until nothing is left. Each is started again when it fails."""
    written = threading.Event()

    def relay_through() -> None:
        try:
            while not written.is_set() or OutboxMessage.objects.exists():
                with suppress(ConnectionError):
                    relay()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(relays) as threads:
        running = [threads.submit(relay_through) for _ in range(relays)]
        try:
            yield
        finally:
            written.set()
        for each in running:
            each.result(60)


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
