"""`make run` as a user meets it, on a copy of the project: the developer's own database is left alone."""

import http.client
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from config import embedded_postgres
from tests.waiting import is_running, wait_until

ROOT = Path(__file__).resolve().parents[1]
# Without the explorer, whose build takes longer than all of this.
NOT_COPIED = shutil.ignore_patterns(".*", "var", "explorer", "docs", "tests", "__pycache__", "htmlcov")
PATIENCE = 90


class Dev:
    """A running `manage.py dev` and what it has said so far."""

    def __init__(self, project: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "dev", *arguments],
            cwd=project,
            env=environment(),
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
                self.output += self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"did not say {text!r} in time, but:\n{self.output}")

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


def environment() -> dict[str, str]:
    ours = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PORT", "HOST"}
    return {name: value for name, value in os.environ.items() if name not in ours}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a database of its own."""
    copy = tmp_path_factory.mktemp("clone") / "a broadside"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    return copy


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
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_ctrl_c_ends_everything_that_make_run_started(project: Path, port: int, dev: Dev) -> None:
    assert f"http://127.0.0.1:{port}/graphql/" in dev.output
    assert "author@example.com" in dev.output
    assert status_of(port, "/readyz") == 200
    family = dev.family()
    # dev, web, due, worker's two, PostgreSQL's keeper and its own.
    assert len(family) > 7

    dev.process.send_signal(signal.SIGINT)

    assert dev.wait() == 0
    assert "Traceback" not in dev.output
    assert dev.output.endswith("Stopped.\n")
    wait_for_the_end_of(family)
    assert not (project / "var" / "postgres" / "cluster" / "postmaster.pid").exists()


def test_kill_9_leaves_no_process_either(dev: Dev) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent has died")
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


def test_commands_start_the_database_when_nobody_else_does(project: Path) -> None:
    done = manage(project, "shell", "-c", "from django.db import connection as c; c.ensure_connection(); print('up')")
    assert done.stdout.splitlines()[-1] == "up"
    assert not (project / "var" / "postgres" / "cluster" / "postmaster.pid").exists()


def test_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "clone", ignore=NOT_COPIED)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = Dev(tmp_path / "clone", "--port", str(taken.getsockname()[1]))
        assert second.wait() == 1
    assert "is taken, perhaps by another `make run`" in second.output
    assert not (tmp_path / "clone" / "var").exists()


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


def test_with_database_url_no_postgresql_of_ours_is_started(project: Path, tmp_path: Path) -> None:
    with embedded_postgres.temporary() as database_url:
        clone = tmp_path / "clone"
        shutil.copytree(project, clone, ignore=NOT_COPIED)
        (clone / ".env").write_text(f"DATABASE_URL={database_url}\n")

        done = manage(clone, "migrate", "core", "--verbosity", "0")

        assert (done.returncode, done.stderr) == (0, "")
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(*) > 0 FROM django_migrations").fetchone() == (True,)
    assert not (clone / "var").exists()
