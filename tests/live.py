"""A server as users run it: a process of its own, on a database of its own, with demo data."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict

from apps.core.db import conninfo
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "broadside_live_test"


@contextmanager
def live_server() -> Iterator[str]:
    """The origin of a uvicorn process beside the test run's PostgreSQL server; it is gone afterwards."""
    with _database() as url:
        settings = {"DJANGO_SETTINGS_MODULE": "config.settings.dev", "DATABASE_URL": url}
        environment = {**os.environ, **settings, "LOG_LEVEL": "WARNING"}
        for command in (["migrate", "--verbosity=0"], ["seed", "--demo"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
        port = _free_port()
        server = [sys.executable, "-m", "uvicorn", "config.asgi:application", f"--port={port}", "--no-access-log"]
        process = subprocess.Popen(server, cwd=ROOT, env=environment)
        try:
            wait_until(lambda: _answers(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def _database() -> Iterator[str]:
    """The URL of an empty database on the server that the tests use."""
    with psycopg.connect(conninfo(dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        server = {name: quote(str(value), safe="/") for name, value in conninfo_to_dict(conninfo()).items()}
        credentials = f"{server.get('user', '')}:{server.get('password', '')}@" if "user" in server else ""
        yield f"postgresql://{credentials}:{server.get('port', '')}/{DATABASE}?host={server.get('host', '')}"
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False
