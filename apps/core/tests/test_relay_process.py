"""The relay as a process: it is woken, outlives outages, and ends when it is told to."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import dramatiq
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from apps.core import outbox
from apps.core.db import conninfo
from apps.core.models import OutboxMessage
from apps.core.relay import POLL, Relay
from tests.brokers import URLS, Recorder, answering
from tests.database import database_url
from tests.project import ROOT
from tests.relays import relaying, unreliable
from tests.tasks import queued, worker
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def database() -> Iterator[dramatiq.Broker]:
    with answering("postgresql") as broker:
        yield broker


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
