"""`manage.py worker`, as a supervisor runs it: real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from dramatiq import Message
from prometheus_client.parser import text_string_to_metric_families

from apps.core.models import OutboxMessage
from tests.database import database_url
from tests.ports import free_port
from tests.project import ROOT
from tests.waiting import is_running, wait_until
from tests.worker import Bench
from tests.worker_app.tasks import effect, effects

pytestmark = pytest.mark.django_db(transaction=True)


class Running:
    """A worker, and what it has logged."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def lines(self, logger: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return [line for line in lines if line["logger"] == logger]

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]


@contextmanager
def running(bench: Bench, folder: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    """`manage.py worker` in a process group of its own, which does not outlive the block."""
    log = folder / f"{uuid.uuid4().hex}.log"
    settings = {
        "DJANGO_SETTINGS_MODULE": "tests.worker_app.settings",
        "DATABASE_URL": database_url(),
        "BROKER_URL": bench.url,
        "BROADSIDE_TEST_QUEUE": bench.queue,
        "TMPDIR": str(folder),  # what is killed leaves its files
    }
    command = [sys.executable, "manage.py", "worker", "--threads=2", f"--queues={bench.queue}", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **settings, **environment},
            stderr=output,
            stdout=output,
            start_new_session=True,
        )
    try:
        yield Running(process, log)
    except BaseException:
        print(log.read_text())  # noqa: T201  (pytest shows it with the failure)
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def message(bench: Bench, task: str, key: str) -> Message[Any]:
    return Message(bench.queue, task, (key,), {}, {})


def test_a_task_that_does_not_end_in_time_is_done_elsewhere(bench: Bench, tmp_path: Path) -> None:
    with running(bench, tmp_path, "--shutdown-seconds=1") as first:
        bench.send(message(bench, "wait", "it"), message(bench, "wait_once", "that"))
        wait_until(lambda: effects("it has begun") == 1 and is_in_transaction())
        os.killpg(first.process.pid, signal.SIGTERM)
        assert first.process.wait(15) == 0
        assert first.log.count("has not ended in time") == 2
        with running(bench, tmp_path):
            effect("go")
            wait_until(lambda: effects("it has ended") == effects("that has ended") == 1, 20)
    assert (effects("it has begun"), effects("that has begun")) == (2, 1)


def is_in_transaction() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND xact_start IS NOT NULL AND query LIKE '%%core_throttle%%'"
        )
        return bool(cursor.fetchone()[0])


def test_a_task_that_ends_in_time_is_waited_for_however_often_the_worker_is_told_to_stop(
    on_database: Bench, tmp_path: Path
) -> None:
    with running(on_database, tmp_path, "--shutdown-seconds=20") as worker:
        on_database.send(message(on_database, "wait", "it"), message(on_database, "wait", "it"))
        wait_until(lambda: effects("it has begun") == 2)
        on_database.send(message(on_database, "wait", "another"))
        for _ in range(3):
            os.killpg(worker.process.pid, signal.SIGTERM)
        wait_until(lambda: "Shutting down..." in worker.log)
        effect("go")
        assert worker.process.wait(15) == 0
    assert (effects("it has begun"), effects("it has ended"), effects("another has begun")) == (2, 2, 0)
    with running(on_database, tmp_path):
        wait_until(lambda: effects("another has ended") == 1, 20)


def test_the_processes_of_a_worker_that_was_killed_end_too(on_database: Bench, tmp_path: Path) -> None:
    with running(on_database, tmp_path, "--processes=2", PROBE_PORT=str(free_port())) as worker:
        wait_until(lambda: len(worker.children()) == 3 and worker.log.count("ready for action") == 3)
        children = worker.children()
        worker.process.kill()
        wait_until(lambda: not any(map(is_running, children)), 15)


def test_a_worker_ends_with_one_of_its_processes(on_database: Bench, tmp_path: Path) -> None:
    with running(on_database, tmp_path, "--processes=2") as worker:
        wait_until(lambda: worker.log.count("ready for action") == 2)
        os.kill(worker.children()[0], signal.SIGKILL)
        assert worker.process.wait(15) != 0


def test_the_probe_and_the_log_say_how_all_processes_are(on_database: Bench, tmp_path: Path) -> None:
    port = free_port()

    def status() -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code
        except httpx.TransportError:
            return 0

    def metrics() -> dict[tuple[str, str, str], float]:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        return {
            (sample.name, sample.labels.get("actor", ""), sample.labels.get("outcome", "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    with running(on_database, tmp_path, "--processes=2", PROBE_PORT=str(port)) as worker:
        wait_until(lambda: status() == 200, 20)
        sent = [message(on_database, "note", "secret@example.com") for _ in range(20)]
        on_database.send(*sent, message(on_database, "fail", "secret@example.com"))
        on_database.send(message(on_database, "pigeons", "secret@example.com"))
        on_database.send(message(on_database, "show", "statement_timeout"))
        wait_until(lambda: effects("secret@example.com") == 20 and OutboxMessage.objects.count() == 2)
        wait_until(lambda: len(worker.lines("broadside.task")) == 23)
        assert effects("statement_timeout 1min") == 1

        found = metrics()
        assert found["broadside_tasks_total", "note", "done"] == 20
        assert found["broadside_tasks_total", "fail", "retried"] == 1
        assert found["broadside_tasks_total", "unknown", "retried"] == 1
        assert found["broadside_task_seconds_count", "note", ""] == 20
        assert 0 < found["broadside_task_lag_seconds_sum", "note", ""] < 20 * 60
        assert found["broadside_outbox_messages", "", ""] == 2
        assert found["broadside_database_up", "", ""] == 1

        line = next(line for line in worker.lines("broadside.task") if line["message"] == "fail")
        assert (line["outcome"], line["retries"], line["level"]) == ("retried", 1, "INFO")
        [error] = [line for line in worker.lines("broadside.errors") if line["message"] == "The task fail has failed"]
        assert (error["message_id"], error["traceback"].count("ValueError: on purpose")) == (line["message_id"], 1)
        assert "secret@example.com" not in worker.log
        assert "CRITICAL" not in worker.log

        # The process that answers is none of those that work.
        busy = [pid for pid in worker.children() if psutil.Process(pid).num_threads() > 3]
        assert len(busy) == 2
        os.kill(busy[0], signal.SIGSTOP)
        wait_until(lambda: status() == 503, 20)
        os.kill(busy[0], signal.SIGCONT)
        wait_until(lambda: status() == 200, 20)


@pytest.mark.parametrize("arguments", [["--threads=0"], ["--threads=1000"], ["--processes=0"]])
def test_numbers_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="DATABASE_POOL_MAX"):
        call_command("worker", *arguments)


def test_what_it_cannot_do_is_told_at_once(settings: Any) -> None:
    with pytest.raises(CommandError, match="No task names the queue nosuch"):
        call_command("worker", "--queues", "nosuch")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings.PROBE_HOST, settings.PROBE_PORT = taken.getsockname()
        with pytest.raises(CommandError, match="PROBE_PORT"):
            call_command("worker")
