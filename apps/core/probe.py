"""What a process without a web server says about itself: `GET /healthz` and `GET /metrics`, at PROBE_PORT."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.conf import settings
from django.core.management.base import CommandError

logger = logging.getLogger("broadside.probe")


@contextmanager
def serving(healthy: Callable[[], bool]) -> Iterator[None]:
    """Answer on a thread of its own within: /healthz by 200 while `healthy()`, else by 503; /metrics for Prometheus.

    Nothing where PROBE_PORT is 0. `healthy` is called in threads, and is unhealthy when it raises. Raises CommandError
    where the port is taken.
    """
    if not settings.PROBE_PORT:
        yield
        return
    server = _listening(healthy)
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="probe")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def refuse_taken_address() -> None:
    """Raise CommandError where `serving` would: for a command that leaves the serving to another process."""
    if settings.PROBE_PORT:
        _listening(lambda: True).server_close()


def _listening(healthy: Callable[[], bool]) -> _Server:
    try:
        return _Server(healthy, settings.PROBE_HOST, settings.PROBE_PORT)
    except OSError as error:
        address = f"{settings.PROBE_HOST}:{settings.PROBE_PORT}"
        raise CommandError(f"The probe cannot listen at {address} (PROBE_HOST, PROBE_PORT): {error}") from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, healthy: Callable[[], bool], host: str, port: int) -> None:
        self.healthy = healthy
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def is_healthy(self) -> bool:
        try:
            return self.healthy()
        except Exception:
            logger.exception("Nobody knows how this process is.")
            return False


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "broadside"
    sys_version = ""
    # Seconds for a client to say what it wants.
    timeout = 5

    def do_GET(self) -> None:
        if self.path == "/healthz":
            is_healthy = self.server.is_healthy()
            status = HTTPStatus.OK if is_healthy else HTTPStatus.SERVICE_UNAVAILABLE
            body = json.dumps({"status": "ok" if is_healthy else "unhealthy"}).encode()
            self._answer(status, "application/json", body)
        elif self.path == "/metrics":
            from apps.core import metrics  # noqa: PLC0415  (a process without a probe needs no Prometheus)

            self._answer(HTTPStatus.OK, metrics.CONTENT_TYPE, metrics.exposition())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/healthz or /metrics\n")

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)
