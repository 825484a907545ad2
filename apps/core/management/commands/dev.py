"""`manage.py dev`: everything that a developer needs, in one terminal. `make run` is this."""

import errno
import http.client
import os
import signal
import socket
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from apps.core import demo
from apps.core.db import conninfo
from apps.core.processes import Processes
from config import embedded_postgres, explorer_build

EXPLORER = "explorer"


class Command(BaseCommand):
    """Runs PostgreSQL, the web server, the scheduler, the relay and the worker until Ctrl-C or until one fails."""

    help = __doc__
    # They would run before PostgreSQL does; `migrate` runs them.
    requires_system_checks = ()
    demo_accounts = ""
    data_dir: Path | None = None
    interrupted = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address from the options, else from HOST and PORT."""
        parser.add_argument("--host", default=os.environ.get("HOST") or "127.0.0.1")
        parser.add_argument("--port", type=int, default=os.environ.get("PORT") or 8000)
        parser.add_argument("--reload", action="store_true", help="restart the web server when code changes")

    def handle(self, *, host: str, port: int, reload: bool, **_: Any) -> None:
        """Run until told to stop (then quietly) or until a child fails (then with exit code 1)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.interrupt)
        try:
            refuse_taken_address(host, port)
            with self.database():
                self.prepare_database()
                self.run_processes(host, port, reload=reload)
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        except (CommandError, embedded_postgres.EmbeddedPostgresError) as error:
            sys.exit(str(error))

    def database(self) -> AbstractContextManager[object]:
        """The embedded PostgreSQL, unless DATABASE_URL names another; the children find it by that name."""
        if os.environ.get("DATABASE_URL"):
            return nullcontext()
        self.say("Starting PostgreSQL …")
        self.data_dir = settings.BASE_DIR / "var" / "postgres"
        os.environ["DATABASE_URL"] = embedded_postgres.url(self.data_dir)
        return embedded_postgres.running(self.data_dir)

    def prepare_database(self) -> None:
        """Migrate, and fill an empty database with demo data. Raises CommandError when PostgreSQL lets nobody in."""
        self.say("Migrating …")
        with alone():
            call_command("migrate", interactive=False, verbosity=0)
            call_command("seed", demo=True)
        if get_user_model().objects.filter(email=demo.AUTHOR_EMAIL).exists():
            accounts = f"{demo.AUTHOR_EMAIL} or {demo.STAFF_EMAIL} (admin too), password {demo.PASSWORD}"
            self.demo_accounts = f"  Sign in    as {accounts}\n"
        # The pool's threads have no business in a process that starts others.
        database = connections["default"]
        database.close()
        if isinstance(database, DatabaseWrapper):
            database.close_pool()

    def run_processes(self, host: str, port: int, *, reload: bool) -> None:
        """Run the children until one of them ends that should not. Raises CommandError with its name."""
        # The links in mails lead here, unless somewhere else is set.
        os.environ["PUBLIC_URL"] = settings.PUBLIC_URL or origin(host, port)
        # They would all want the same one.
        os.environ["PROBE_PORT"] = "0"
        with Processes(sys.stdout, cwd=settings.BASE_DIR) as processes:
            processes.start("web", web_command(host, port, reload=reload))
            # In this order they are stopped, too: what still writes messages before what carries them.
            processes.start("schedule", manage("scheduler"))
            processes.start("relay", manage("relay_outbox"))
            processes.start("worker", manage("worker", "--threads", "4", "--shutdown-seconds", "5"))
            if self.data_dir:
                processes.start("postgres", embedded_postgres.watcher(self.data_dir))
            log = self.build_explorer(processes)
            banner = self.banner(host, port)
            threading.Thread(target=announce, args=(processes, host, port, banner), daemon=True).start()
            try:
                self.go_on()
                while (child := processes.wait()).name == EXPLORER:
                    outcome = f"could not be built: see {log}. All else works" if child.code else "is built"
                    processes.write(f"The explorer {outcome}.\n")
            except KeyboardInterrupt:
                processes.write("\nStopping …\n")
                raise
        raise CommandError(f"{child.name} ended with exit code {child.code}, so everything was stopped.")

    def build_explorer(self, processes: Processes) -> Path:
        """Build the explorer in the background when its sources have changed. Returns the path of the log."""
        log: Path = settings.BASE_DIR / "var" / "explorer-build.log"
        if explorer_build.stale(explorer_build.EXPLORER_DIR):
            self.say("Building the explorer in the background (about half a minute) …")
            log.parent.mkdir(exist_ok=True)
            processes.start(EXPLORER, [sys.executable, "-m", "config.explorer_build"], log=log)
        return log

    def banner(self, host: str, port: int) -> str:
        """What to say when the server answers."""
        site = origin(host, port)
        return f"""
Broadside is up.

  Explorer   {site}/graphql/
  Admin      {site}/admin/
{self.demo_accounts}  Mails      are printed here, by the worker

  Ctrl-C stops everything.

"""

    def interrupt(self, *_: object) -> None:
        """Take note of a signal and leave by an exception, like Python's own handler."""
        self.interrupted = True
        raise KeyboardInterrupt

    def go_on(self) -> None:
        """Stop here when told to: an exception raised within a garbage collection is printed and dropped."""
        if self.interrupted:
            raise KeyboardInterrupt

    def say(self, message: str) -> None:
        """Announce the next step at once, also into a pipe, unless told to stop."""
        self.go_on()
        self.stdout.write(message)
        self.stdout.flush()


def web_command(host: str, port: int, *, reload: bool) -> list[str]:
    """One uvicorn process. The endpoint writes its own line for each operation, and TRUSTED_PROXIES says whose
    X-Forwarded-For counts: uvicorn by itself believes everybody on this machine."""
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application", f"--host={host}", f"--port={port}"]
    command += ["--workers=1", "--ws=websockets-sansio", "--no-access-log", "--no-proxy-headers"]
    command += ["--timeout-graceful-shutdown=5"]
    if reload:
        command += ["--reload", "--reload-dir=apps", "--reload-dir=config", "--reload-dir=schema"]
    return command


@contextmanager
def alone() -> Iterator[None]:
    """Keep others who also start waiting, by an advisory lock. Raises CommandError when nobody can connect."""
    try:
        connection = psycopg.connect(conninfo(), autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise CommandError(f"Cannot use the database of DATABASE_URL: {' '.join(str(error).split())}") from None
    with connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('broadside.dev'))")
        yield


def manage(*arguments: str) -> list[str]:
    """The command line of another management command."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


def refuse_taken_address(host: str, port: int) -> None:
    """Raise CommandError, saying what to do, when nobody could listen there."""
    if not 0 < port < 65_536:
        raise CommandError(f"PORT has to be between 1 and 65535, not {port}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As uvicorn does: connections of the last run that linger are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise CommandError(f"Cannot listen on {host}, port {port}: {error.strerror}.") from None
        raise CommandError(
            f"Port {port} is taken, perhaps by another `make run`. For another port: PORT={port + 1} make run"
        ) from None


def origin(host: str, port: int) -> str:
    """What the URLs of the server begin with, from this machine."""
    name = _reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def announce(processes: Processes, host: str, port: int, banner: str) -> None:
    """Write the banner as soon as the server answers."""
    while not _answers(host, port):
        time.sleep(0.1)
    processes.write(banner)


def _answers(host: str, port: int) -> bool:
    client = http.client.HTTPConnection(_reachable(host), port, timeout=5)
    try:
        client.request("GET", "/healthz")
        return client.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


def _reachable(host: str) -> str:
    # A server that listens everywhere is found on this machine.
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
