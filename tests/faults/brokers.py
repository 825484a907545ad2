"""Brokers of a drill's own: they can be stopped, and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.waiting import wait_until

# Of RabbitMQ the program itself: what Debian has in the PATH wants to be another user.
PROGRAMS = {"redis": "redis-server", "rabbitmq": "/usr/lib/rabbitmq/bin/rabbitmq-server"}


class Broker:
    """One that PostgreSQL is: nothing to start or to stop."""

    url = ""

    def start(self) -> None:
        """Return when it answers."""

    def stop(self) -> None:
        """Return when it has ended. What it has confirmed it keeps."""


class _Server(Broker):
    def __init__(self, folder: Path, command: list[str], environment: dict[str, str]) -> None:
        self.port = free_port()
        self._folder = folder
        self._command = [part.format(port=self.port, folder=folder) for part in command]
        variables = {name: value.format(port=self.port, folder=folder) for name, value in environment.items()}
        self._environment = os.environ | variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, 60, (self._folder / "log").read_text)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class _Redis(_Server):
    """A Redis that has on disk what it confirms."""

    def __init__(self, folder: Path) -> None:
        options = "--port {port} --bind 127.0.0.1 --dir {folder} --save  --appendonly yes --appendfsync always"
        super().__init__(folder, [PROGRAMS["redis"], *options.split(" ")], {})
        self.url = f"redis://127.0.0.1:{self.port}/0"


class _RabbitMQ(_Server):
    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            [PROGRAMS["rabbitmq"]],
            {
                "RABBITMQ_NODENAME": "drill{port}@localhost",
                "RABBITMQ_CONFIG_FILE": "{folder}/rabbitmq.conf",
                "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_MNESIA_BASE": "{folder}",
                "RABBITMQ_LOG_BASE": "{folder}",
                "RABBITMQ_LOGS": "-",
                "RABBITMQ_ENABLED_PLUGINS_FILE": "/dev/null",
                "RABBITMQ_PID_FILE": "{folder}/pid",
                "HOME": "{folder}",
            },
        )
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = 127.0.0.1:{self.port}\n")
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}"


NAMES = ("postgresql", *PROGRAMS)


def is_there(name: str) -> bool:
    """Whether this machine can start that broker."""
    return name not in PROGRAMS or shutil.which(PROGRAMS[name]) is not None


@contextmanager
def broker(name: str, folder: Path) -> Iterator[Broker]:
    """The broker, started."""
    made = {"postgresql": lambda _: Broker(), "redis": _Redis, "rabbitmq": _RabbitMQ}[name](folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()
