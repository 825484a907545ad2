"""A server as users run it: a process of its own, on a database of its own, with demo data."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from apps.core.db import conninfo
from tests.database import database_url
from tests.project import ROOT, clean_environment, copy_project
from tests.waiting import wait_until

# One for each of the processes that share the tests between them.
DATABASE = f"broadside_live_test_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"


@contextmanager
def live_server() -> Iterator[str]:
    """The origin of a uvicorn process beside the test run's PostgreSQL server; it is gone afterwards."""
    with _database() as url, tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / "clone")
        (project / "explorer").symlink_to(ROOT / "explorer")
        environment = clean_environment(
            DJANGO_SETTINGS_MODULE="config.settings.dev", DATABASE_URL=url, LOG_LEVEL="WARNING"
        )
        for command in (["migrate", "--verbosity=0"], ["seed", "--demo"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=project, env=environment, check=True)
        # It inherits the socket: a port that is only looked up could be somebody else's by then.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port, descriptor = listening.getsockname()[1], listening.fileno()
            server = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--no-access-log"]
            process = subprocess.Popen(
                [*server, f"--fd={descriptor}"], cwd=project, env=environment, pass_fds=[descriptor]
            )
        try:
            wait_until(lambda: process.poll() is not None or _answers(port))
            assert process.poll() is None, f"uvicorn ended with exit code {process.returncode}"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def work_off_live_tasks() -> None:
    """Do what the live server's outbox asks for, in a process of its own, as its worker would."""
    environment = clean_environment(
        DJANGO_SETTINGS_MODULE="config.settings.dev", DATABASE_URL=database_url(dbname=DATABASE), LOG_LEVEL="WARNING"
    )
    code = "from tests.tasks import work_off; work_off()"
    command = [sys.executable, "manage.py", "shell", "--verbosity=0", "--command", code]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


@contextmanager
def _database() -> Iterator[str]:
    """The URL of an empty database on the server that the tests use."""
    with psycopg.connect(conninfo(dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        yield database_url(dbname=DATABASE)
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False
