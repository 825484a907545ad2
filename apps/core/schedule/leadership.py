"""Which of several processes is the one that acts: the one that holds a lock in PostgreSQL."""

from contextlib import suppress

import psycopg
from django.db import connections

from apps.core.db import conninfo

# With these the lock of a host that has vanished is free after some ten seconds, and its holder knows as soon. The
# server's own side is set by the session. Sockets of the same machine take no notice.
ASKED_AFTER_SECONDS, ASKED_EVERY_SECONDS, ASKED_TIMES, GIVEN_UP_AFTER_MS = 4, 2, 3, 10_000
SESSION = (
    f"-c tcp_keepalives_idle={ASKED_AFTER_SECONDS} -c tcp_keepalives_interval={ASKED_EVERY_SECONDS} "
    f"-c tcp_keepalives_count={ASKED_TIMES} -c tcp_user_timeout={GIVEN_UP_AFTER_MS} "
    # The lock is all that this session is for: it is idle nearly always.
    "-c idle_session_timeout=0"
)


class Leadership:
    """A lock that one process has at a time, for as long as its connection lives: no clock is asked.

    The lock is a session's advisory one, on a connection beside the pools, so a pooler in between has to keep to a
    session, too. `name` is part of the lock's key: see HELD.
    """

    # Whether anybody holds the lock of a name, in a statement with that name as its parameter.
    HELD = (
        "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND classid = hashtext('broadside')::oid AND objid = hashtext(%(leadership)s)::oid AND objsubid = 2)"
    )

    def __init__(self, name: str) -> None:
        self._name = name
        self._connection: psycopg.Connection[tuple[bool]] | None = None

    def attempt(self) -> bool:
        """Take the lock unless another has it. Raises psycopg.OperationalError when the database does not answer."""
        if self._connection is None:
            self._connection = self._connect()
        try:
            lock = "SELECT pg_try_advisory_lock(hashtext('broadside'), hashtext(%s))"
            return self._connection.execute(lock, [self._name]).fetchone() == (True,)
        except psycopg.Error:
            self.give_up()
            raise

    def holds(self) -> bool:
        """Whether the lock is still held: its connection lives. One round trip."""
        if self._connection is None:
            return False
        try:
            self._connection.execute("SELECT true")
        except psycopg.Error:
            self.give_up()
            return False
        return True

    def fileno(self) -> int:
        """What can be read from as soon as the server ends the connection of the lock that is held."""
        if self._connection is None:
            raise ValueError("Nothing is held.")
        return self._connection.fileno()

    def give_up(self) -> None:
        """Let another have the lock. It may be attempted again."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> "psycopg.Connection[tuple[bool]]":
        of_the_url = connections["default"].get_connection_params().get("options", "")
        known = conninfo(
            application_name=f"broadside-{self._name}",
            options=f"{of_the_url} {SESSION}",
            connect_timeout="5",
            keepalives_idle=str(ASKED_AFTER_SECONDS),
            keepalives_interval=str(ASKED_EVERY_SECONDS),
            keepalives_count=str(ASKED_TIMES),
            tcp_user_timeout=str(GIVEN_UP_AFTER_MS),
        )
        return psycopg.connect(known, autocommit=True)
