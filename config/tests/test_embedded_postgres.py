"""Real clusters, started, shared, killed and stopped."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import environ
import psycopg
import pytest
from dramatiq_postgres.utils import make_pool

from config import embedded_postgres
from config.embedded_postgres import EmbeddedPostgresError, running, temporary, url
from tests.waiting import is_running, wait_until

ROOT = Path(__file__).resolve().parents[2]
USER_OF_THE_SERVER = """
import sys, time
from pathlib import Path
from config.embedded_postgres import running
with running(Path(sys.argv[1]), durable=False):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data directory for many tests: initialising is most of a test's time."""
    return tmp_path_factory.mktemp("postgres")


@pytest.fixture
def other_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server on `data_dir`, until its stdin is closed."""
    process = start_other_process(data_dir)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def start_other_process(data_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USER_OF_THE_SERVER, str(data_dir)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def fetch_value(database_url: str, query: str) -> object:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row
    return row[0]


def test_the_server_is_there_inside_the_block_and_gone_after_it(data_dir: Path) -> None:
    with running(data_dir) as database_url:
        pid = postmaster(data_dir)
        assert fetch_value(database_url, "SELECT current_database() || ' ' || current_user") == "broadside broadside"

    assert not is_running(pid)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database_url)


def test_text_is_utf8_and_lower_case_and_words_are_unicode(data_dir: Path) -> None:
    with running(data_dir) as database_url:
        assert fetch_value(database_url, "SHOW server_encoding") == "UTF8"
        assert fetch_value(database_url, "SELECT lower('ÄÉ')") == "äé"
        # With libc's locale C the quotes would be letters.
        words = fetch_value(database_url, "SELECT to_tsvector('simple', '“straße” — ‘naïve’…')::text")
        assert words == "'naïve':2 'straße':1"


def test_durability_is_on_unless_waived(data_dir: Path) -> None:
    with running(data_dir) as database_url:
        assert fetch_value(database_url, "SHOW fsync") == "on"
    with running(data_dir, durable=False) as database_url:
        assert fetch_value(database_url, "SHOW fsync") == "off"
        assert fetch_value(database_url, "SHOW synchronous_commit") == "off"
        assert fetch_value(database_url, "SHOW full_page_writes") == "off"


def test_no_port_is_open_and_nobody_else_may_enter(data_dir: Path) -> None:
    with running(data_dir) as database_url:
        assert fetch_value(database_url, "SHOW listen_addresses") == ""
    for folder in (data_dir, data_dir / "socket"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    with running(data_dir):
        assert os.getsid(postmaster(data_dir)) != os.getsid(0)


def test_variables_for_another_postgresql_change_nothing(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGPORT": "1",
        "PGHOST": "elsewhere",
        "PGUSER": "x",
        "PGDATABASE": "y",
        "PGDATA": "/z",
    }.items():
        monkeypatch.setenv(name, value)

    with running(data_dir) as database_url:
        assert fetch_value(database_url, "SELECT current_database()") == "broadside"


def test_the_url_says_the_same_to_django_and_dramatiq(data_dir: Path) -> None:
    settings = environ.Env.db_url_config(url(data_dir))
    assert settings["NAME"] == settings["USER"] == "broadside"
    assert settings["HOST"] == ""
    assert settings["OPTIONS"] == {"host": str(data_dir / "socket")}

    with running(data_dir) as database_url, make_pool(database_url) as pool, pool.connection() as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("broadside",)


def test_a_dropped_database_is_made_again(data_dir: Path) -> None:
    with running(data_dir) as database_url:
        maintenance = database_url.replace("/broadside?", "/postgres?")
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute("DROP DATABASE broadside")

    with running(data_dir) as database_url:
        assert fetch_value(database_url, "SELECT 1") == 1


def test_a_second_user_shares_the_server_and_outlives_the_first(
    data_dir: Path, other_process: subprocess.Popen[str]
) -> None:
    pid = postmaster(data_dir)
    with running(data_dir) as database_url:
        assert postmaster(data_dir) == pid
        other_process.communicate("")
        assert other_process.returncode == 0
        assert fetch_value(database_url, "SELECT 1") == 1
    assert not (data_dir / "cluster" / "postmaster.pid").exists()


def test_leaving_a_shared_server_does_not_stop_it(data_dir: Path, other_process: subprocess.Popen[str]) -> None:
    with running(data_dir) as database_url:
        pass

    assert fetch_value(database_url, "SELECT 1") == 1
    other_process.communicate("")
    assert not (data_dir / "cluster" / "postmaster.pid").exists()


def test_two_users_that_start_at_once_get_one_server(data_dir: Path) -> None:
    first, second = start_other_process(data_dir), start_other_process(data_dir)
    for process in (first, second):
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    assert fetch_value(url(data_dir), "SELECT 1") == 1

    first.communicate("")
    second.communicate("")
    assert (first.returncode, second.returncode) == (0, 0)
    assert not (data_dir / "cluster" / "postmaster.pid").exists()


def test_kill_9_of_the_only_user_ends_the_server_and_loses_nothing(
    data_dir: Path, other_process: subprocess.Popen[str]
) -> None:
    with psycopg.connect(url(data_dir)) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    pid = postmaster(data_dir)

    other_process.kill()

    wait_until(lambda: not is_running(pid))
    with running(data_dir) as database_url:
        assert fetch_value(database_url, "SELECT count(*) FROM kept") == 0


def test_the_server_comes_back_after_its_own_violent_end(data_dir: Path, other_process: subprocess.Popen[str]) -> None:
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    assert (data_dir / "cluster" / "postmaster.pid").exists()

    with running(data_dir) as database_url:
        assert fetch_value(database_url, "SELECT 1") == 1


def test_a_server_that_was_killed_just_now_is_left_without_a_fuss(data_dir: Path) -> None:
    with running(data_dir) as database_url:
        os.kill(postmaster(data_dir), signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database_url)


def test_a_starter_that_is_killed_half_way_leaves_no_server_in_the_way(data_dir: Path) -> None:
    starter = start_other_process(data_dir)
    wait_until((data_dir / "cluster" / "postmaster.pid").exists)
    starter.kill()
    starter.communicate()

    with running(data_dir) as database_url:
        assert fetch_value(database_url, "SELECT 1") == 1


def test_a_killed_servers_children_may_finish_before_the_next_one_starts(data_dir: Path) -> None:
    busy = b"DO $$ BEGIN WHILE clock_timestamp() < now() + interval '2 seconds' LOOP END LOOP; END $$"
    with running(data_dir) as database_url, closing(psycopg.connect(database_url)) as connection:
        pid, backend = postmaster(data_dir), connection.info.backend_pid
        connection.pgconn.send_query(busy)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid))
        with running(data_dir):
            assert not is_running(backend)
            assert fetch_value(database_url, "SELECT 1") == 1


def test_an_interrupted_initialisation_is_done_again(tmp_path: Path) -> None:
    process = start_other_process(tmp_path)
    # Whoever looks too late finds the cluster complete, and has interrupted nothing.
    wait_until(lambda: (tmp_path / "partial" / "PG_VERSION").exists() or (tmp_path / "cluster").exists())
    process.kill()
    process.communicate()

    with running(tmp_path, durable=False) as database_url:
        assert fetch_value(database_url, "SELECT 1") == 1
    assert not (tmp_path / "partial").exists()


def test_any_path_will_do(tmp_path: Path) -> None:
    data_dir = tmp_path / 'a space, a comma, a "quote" and ümlauts' / ("long" * 25)
    try:
        with running(data_dir, durable=False) as database_url:
            assert fetch_value(database_url, "SELECT 1") == 1
    finally:
        shutil.rmtree(embedded_postgres._socket_dir(data_dir))


def test_a_socket_folder_prepared_by_somebody_else_is_refused(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").symlink_to(data_dir)

    with pytest.raises(EmbeddedPostgresError, match="is not a folder"):
        embedded_postgres._make_private(tmp_path / "theirs")


def test_a_temporary_server_leaves_nothing() -> None:
    with temporary() as database_url:
        folder = Path(str(fetch_value(database_url, "SHOW data_directory"))).parent
        socket_dir = Path(str(fetch_value(database_url, "SHOW unix_socket_directories")).strip('"'))
        assert fetch_value(database_url, "SHOW fsync") == "off"
        pid = postmaster(folder)

    assert not is_running(pid)
    assert not folder.exists()
    assert not socket_dir.exists()


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    theirs = Path("/usr")
    if os.geteuid() == 0:
        theirs = tmp_path
        os.chown(theirs, 12345, 12345)

    with pytest.raises(EmbeddedPostgresError, match=r"belongs to .*, and this runs as .* or remove the folder"):
        running(theirs).__enter__()


def test_a_cluster_of_another_major_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedPostgresError, match="was made by PostgreSQL 9") as caught:
        running(tmp_path).__enter__()
    assert str(tmp_path) in str(caught.value)


def test_a_server_that_does_not_start_shows_why(data_dir: Path) -> None:
    broken = data_dir / "cluster" / "postgresql.auto.conf"
    with running(data_dir):
        whole = broken.read_text()
    broken.write_text("no_such_setting = on\n")
    try:
        with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
            running(data_dir).__enter__()
    finally:
        broken.write_text(whole)


def test_a_file_that_cannot_be_written_is_named(data_dir: Path) -> None:
    log = data_dir / "server.log"
    log.unlink(missing_ok=True)
    log.mkdir()
    try:
        with pytest.raises(EmbeddedPostgresError, match=f"Cannot start PostgreSQL: .*Is a directory.*{log}"):
            running(data_dir).__enter__()
    finally:
        log.rmdir()


def test_without_the_wheel_the_error_says_what_to_do(tmp_path: Path) -> None:
    # -S: a Python without its packages.
    done = subprocess.run(
        [sys.executable, "-S", "-c", USER_OF_THE_SERVER, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "set DATABASE_URL to one that runs, or install requirements/dev.txt" in done.stderr


def test_root_without_setpriv_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    if os.geteuid() == 0:
        with pytest.raises(EmbeddedPostgresError, match="setpriv"):
            embedded_postgres._as_server_user()
    else:
        assert embedded_postgres._as_server_user() == []
