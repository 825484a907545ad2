"""One server process as in production, on a database of its own, without limits on how many may ask."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]


def settings(url: str, **changes: str) -> dict[str, str]:
    """The environment of the server and of its commands, with the database at `url`."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.prod",
        "DATABASE_URL": url,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "JWT_SIGNING_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "127.0.0.1",
        "SECURE_SSL_REDIRECT": "false",
        "EMAIL_URL": "consolemail://",
        "LOG_LEVEL": "WARNING",
        "RATE_LIMIT_LOGIN": "off",
        "RATE_LIMIT_USER": "off",
        "RATE_LIMIT_ANONYMOUS": "off",
        **changes,
    }


def manage(environment: dict[str, str], *command: str) -> None:
    subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)


@contextmanager
def served(environment: dict[str, str]) -> Iterator[str]:
    """The origin of a uvicorn process, which ends with it."""
    port = free_port()
    with serving(environment, port):
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(environment: dict[str, str], port: int) -> Iterator[int]:
    """The process' id."""
    serve = ["-m", "uvicorn", "config.asgi:application", f"--port={port}", "--no-access-log", "--log-level=warning"]
    process = subprocess.Popen([sys.executable, *serve, "--no-proxy-headers"], cwd=ROOT, env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}/healthz")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The server did not start.")
