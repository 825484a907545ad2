"""`make run` as a user meets it, on a copy of the project: the developer's own database is left alone."""

import http.client
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from apps.core import demo
from apps.core.management.commands.dev import Command
from config import embedded_postgres
from tests.project import ROOT, clean_environment, copy_project
from tests.waiting import is_running, wait_until

PATIENCE = 90


class Dev:
    """A running `manage.py dev` and what it has said so far."""

    def __init__(self, project: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "dev", *arguments],
            cwd=project,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"did not say {text!r} in time, but:\n{self.output}")
            if not line:
                pytest.fail(f"ended before it said {text!r}:\n{self.output}")
            self.output += line

    def family(self) -> list[psutil.Process]:
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def wait(self) -> int:
        try:
            code = self.process.wait(PATIENCE)
        finally:
            self.kill()
        while not self._lines.empty():
            self.output += self._lines.get()
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout:
            for line in self.process.stdout:
                self._lines.put(line)
        self._lines.put("")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a database of its own."""
    return copy_project(tmp_path_factory.mktemp("clone") / "a broadside")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    return free


@pytest.fixture
def dev(project: Path, port: int) -> Iterator[Dev]:
    """The whole of it, up and answering."""
    running = Dev(project, "--port", str(port))
    try:
        running.read_until("Ctrl-C stops everything.")
        yield running
    finally:
        running.kill()


def wait_for_the_end_of(family: list[psutil.Process]) -> None:
    def left() -> list[psutil.Process]:
        return [process for process in family if is_running(process.pid)]

    wait_until(lambda: not left(), otherwise=lambda: [process.cmdline() for process in left()])


def status_of(port: int, path: str) -> int:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        client.request("GET", path)
        return client.getresponse().status
    finally:
        client.close()


def manage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_ctrl_c_ends_everything_that_make_run_started(project: Path, port: int, dev: Dev) -> None:
    assert f"http://127.0.0.1:{port}/graphql/" in dev.output
    assert "author@example.com or staff@example.com (admin too), password" in dev.output
    assert status_of(port, "/readyz") == 200
    family = dev.family()
    # Where the links of mails lead.
    assert {f"http://127.0.0.1:{port}"} < {process.environ().get("PUBLIC_URL") for process in family}
    # dev, web, scheduler, relay, worker's two, PostgreSQL's watcher, its keeper and its own.
    assert len(family) > 9

    dev.process.send_signal(signal.SIGINT)

    assert dev.wait() == 0
    assert "Traceback" not in dev.output
    assert dev.output.endswith("Stopped.\n")
    wait_for_the_end_of(family)
    assert not (project / "var" / "postgres" / "cluster" / "postmaster.pid").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_kill_9_leaves_no_process_either(dev: Dev) -> None:
    family = dev.family()

    dev.process.kill()

    wait_for_the_end_of(family)


def test_commands_share_the_database_of_make_run_and_leave_it_running(project: Path, port: int, dev: Dev) -> None:
    done = manage(project, "migrate", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert status_of(port, "/readyz") == 200

    second = Dev(project, "--port", str(port))
    assert second.wait() == 1
    assert second.output == (
        f"Port {port} is taken, perhaps by another `make run`. For another port: PORT={port + 1} make run\n"
    )
    assert status_of(port, "/readyz") == 200
    dev.process.send_signal(signal.SIGTERM)
    assert dev.wait() == 0


def test_a_child_that_dies_takes_the_rest_down_and_is_named(dev: Dev) -> None:
    family = dev.family()
    web = next(process for process in family if "uvicorn" in process.cmdline())

    web.kill()

    assert dev.wait() == 1
    assert "web ended with exit code -9" in dev.output
    wait_for_the_end_of(family)


@pytest.mark.parametrize("host", ["::1", "::"])
def test_the_banner_writes_an_address_of_ipv6_as_urls_do(host: str) -> None:
    assert "http://[::1]:8000/graphql/" in Command().banner(host, 8000)


def test_nobody_on_this_machine_can_say_where_they_come_from(port: int, dev: Dev) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    login = "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }"
    account = {"input": {"email": demo.AUTHOR_EMAIL, "password": demo.PASSWORD}}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=forged, timeout=PATIENCE) as client:
        answer = client.post("/graphql/", json={"query": login, "variables": account}).json()
        client.headers["Authorization"] = f"Bearer {answer['data']['login']['accessToken']}"
        answer = client.post("/graphql/", json={"query": "{ viewer { sessions { ip } } }"}).json()
    assert answer["data"]["viewer"]["sessions"] == [{"ip": "127.0.0.1"}]


def test_it_stops_when_its_database_ends_also_one_that_another_process_started(project: Path, port: int) -> None:
    data_dir = project / "var" / "postgres"
    with embedded_postgres.running(data_dir):
        dev = Dev(project, "--port", str(port))
        dev.read_until("Ctrl-C stops everything.")
        family = dev.family()

        psutil.Process(int((data_dir / "cluster" / "postmaster.pid").read_text().splitlines()[0])).kill()

        assert dev.wait() == 1
    assert f"PostgreSQL has ended. It may have said why in {data_dir / 'server.log'}" in dev.output
    assert dev.output.endswith("postgres ended with exit code 1, so everything was stopped.\n")
    wait_for_the_end_of(family)


def test_two_may_start_at_once_on_a_fresh_clone(tmp_path: Path) -> None:
    clone = copy_project(tmp_path / "clone")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [str(taken.getsockname()[1]) for taken in (one, other)]
    both = [Dev(clone, "--port", port) for port in ports]
    try:
        for dev in both:
            dev.read_until("Ctrl-C stops everything.")
    finally:
        for dev in both:
            dev.kill()


def test_a_database_that_does_not_answer_is_named_in_one_line(tmp_path: Path, port: int) -> None:
    clone = copy_project(tmp_path / "clone")
    (clone / ".env").write_text("DATABASE_URL=postgresql://me:hush@127.0.0.1:1/broadside\n")

    refused = Dev(clone, "--port", str(port))

    assert refused.wait() == 1
    step, error = refused.output.splitlines()
    assert step == "Migrating …"
    assert error.startswith("Cannot use the database of DATABASE_URL: ")
    assert 'server at "127.0.0.1", port 1 failed: Connection refused' in error
    assert "hush" not in error


def test_commands_start_the_database_when_nobody_else_does(project: Path) -> None:
    done = manage(project, "shell", "-c", "from django.db import connection as c; c.ensure_connection(); print('up')")
    assert done.stdout.splitlines()[-1] == "up"
    assert not (project / "var" / "postgres" / "cluster" / "postmaster.pid").exists()


def test_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    clone = copy_project(tmp_path / "clone")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = Dev(clone, "--port", str(taken.getsockname()[1]))
        assert second.wait() == 1
    assert "is taken, perhaps by another `make run`" in second.output
    assert not (clone / "var").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "192.0.2.1"), "Cannot listen on 192.0.2.1, port 8000"),
        (("--host", "nobody.invalid"), "Cannot listen on nobody.invalid, port 8000"),
        (("--port", "70000"), "PORT has to be between 1 and 65535, not 70000."),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_a_reason(
    project: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = Dev(project, *arguments)
    assert refused.wait() == 1
    assert refused.output.startswith(message)
    assert "Traceback" not in refused.output


def test_manage_without_its_packages_says_how_to_install_them() -> None:
    # -S: a Python without its packages.
    command = [sys.executable, "-S", "manage.py", "migrate"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Django is not installed in this Python. `make run` installs everything")


@pytest.mark.parametrize("arguments", [("dev",), ("migrate",)])
def test_settings_that_lack_something_say_what(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    clone = copy_project(tmp_path / "clone")
    settings = ("DJANGO_SETTINGS_MODULE=config.settings.prod", "SECRET_KEY=", "JWT_SIGNING_KEY=", "ALLOWED_HOSTS=a")
    (clone / ".env").write_text("\n".join(settings))

    done = manage(clone, *arguments)

    assert (done.returncode, done.stderr) == (1, "config.settings.prod: Set the SECRET_KEY environment variable.\n")


def test_with_database_url_no_postgresql_of_ours_is_started(tmp_path: Path) -> None:
    with embedded_postgres.temporary() as database_url:
        clone = copy_project(tmp_path / "clone")
        (clone / ".env").write_text(f"DATABASE_URL={database_url}\n")

        done = manage(clone, "migrate", "core", "--verbosity", "0")

        assert (done.returncode, done.stderr) == (0, "")
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(*) > 0 FROM django_migrations").fetchone() == (True,)
    assert not (clone / "var").exists()
