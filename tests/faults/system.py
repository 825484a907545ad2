"""The whole system in processes of its own: web server, relay, worker and scheduler, and what they need."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg

from config import embedded_postgres
from tests.faults import brokers, clock, killer, mailbox
from tests.project import ROOT, clean_environment
from tests.waiting import wait_until

MANAGE = [sys.executable, str(ROOT / "manage.py")]
COMMANDS = {
    "web": [sys.executable, "-m", "uvicorn", "config.asgi:application", "--no-access-log", "--log-level=warning"],
    "relay": [*MANAGE, "relay_outbox"],
    "worker": [*MANAGE, "worker", "--threads", "2", "--shutdown-seconds", "5"],
    "scheduler": [*MANAGE, "scheduler"],
}


class System:
    """Processes that are started again when they are killed, as a service manager would."""

    def __init__(self, folder: Path, broker: brokers.Broker) -> None:
        self.broker = broker
        self.mails = folder / "mails"
        self.kills = 0
        self._folder = folder
        self._postgres = ExitStack()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1_000)
        self.origin = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._is_ending = False
        self._clock = folder / "clock"
        self.set_clock(0)

    @property
    def database(self) -> Path:
        return self._folder / "postgres"

    def start_postgresql(self) -> None:
        self._postgres.enter_context(embedded_postgres.running(self.database))

    def stop_postgresql(self) -> None:
        self._postgres.close()

    def set_clock(self, offset: int) -> None:
        """Have the clocks of all processes be off by as many seconds, at once."""
        new = self._folder / "clock.new"
        new.write_text(str(offset))
        new.rename(self._clock)

    def run(self, *arguments: str) -> str:
        """What a management command prints."""
        command = [*MANAGE, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment(), capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sql(self, statement: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(embedded_postgres.url(self.database), autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def start(self, *names: str, kill_at: str = "", **environment: str) -> None:
        """Start these processes; the first of each dies at the step `kill_at`, "step:n"."""
        for name in names:
            number = sum(each.partition(" ")[0] == name.partition(" ")[0] for each in self._processes)
            label = f"{name} {number}"
            self._start(label, environment | ({killer.VARIABLE: kill_at} if kill_at else {}))
            threading.Thread(target=self._keep_up, args=(label, environment), daemon=True).start()

    def kill(self, name: str) -> None:
        """End the process with SIGKILL, and all that it has started."""
        process = self._processes[f"{name} 0"]
        os.killpg(process.pid, signal.SIGKILL)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.origin}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def log(self) -> str:
        """The ends of what the processes have said."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3_000:]}" for log in sorted(self._folder.glob("*.log")))

    def stop(self) -> None:
        """SIGTERM for all, as at the end of a deployment; each has to end by itself."""
        self._is_ending = True
        for process in self._processes.values():
            process.terminate()
        for label, process in self._processes.items():
            try:
                process.wait(30)
            finally:
                _kill_group(process.pid)
            assert process.returncode in {0, -signal.SIGTERM, -signal.SIGKILL}, (label, process.returncode, self.log())
        self._listening.close()

    def _start(self, label: str, environment: dict[str, str]) -> None:
        name = label.partition(" ")[0]
        command = [*COMMANDS[name]]
        inherited: list[int] = []
        if name == "web":
            inherited.append(self._listening.fileno())
            command.append(f"--fd={inherited[0]}")
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[label] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment() | environment,
                stdout=log,
                stderr=log,
                pass_fds=inherited,
                start_new_session=True,
            )

    def _keep_up(self, label: str, environment: dict[str, str]) -> None:
        while not self._is_ending:
            process = self._processes[label]
            process.wait()
            # What it has started goes as well: a service manager kills the whole group.
            _kill_group(process.pid)
            if not self._is_ending:
                self.kills += 1
                self._start(label, environment)

    def _environment(self) -> dict[str, str]:
        environment = clean_environment(
            DJANGO_SETTINGS_MODULE="tests.faults.settings",
            DATABASE_URL=embedded_postgres.url(self.database),
            BROKER_URL=self.broker.url,
            LOG_LEVEL="INFO",
            **{mailbox.FILE: str(self.mails), clock.FILE: str(self._clock)},
        )
        # Whoever is killed has measured nothing, and measuring takes its time.
        environment.pop("COVERAGE_PROCESS_CONFIG", None)
        return environment


@contextmanager
def system(broker_name: str, folder: Path) -> Iterator[System]:
    """A migrated database and a broker; none of the processes runs yet."""
    (folder / "broker").mkdir()
    with brokers.broker(broker_name, folder / "broker") as broker:
        made = System(folder, broker)
        made.start_postgresql()
        try:
            made.run("migrate", "--verbosity=0")
            yield made
        finally:
            made.stop()
            made.stop_postgresql()


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def until_ready(running: System) -> None:
    wait_until(running.answers, 60, running.log)
