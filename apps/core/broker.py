"""The broker that needs no server of its own."""

from time import monotonic
from typing import Any

from dramatiq import Middleware
from dramatiq_postgres import PostgresBroker
from psycopg import Connection
from psycopg_pool import ConnectionPool

from apps.core.db import conninfo
from apps.core.postgresql.liveness import first_alive


class DatabaseBroker(PostgresBroker):  # type: ignore[misc]  # the package ships no types
    """dramatiq-postgres on Django's own database (tables in the schema `dramatiq`).

    Nothing connects before the first message: a management command that enqueues nothing opens no connection.
    """

    def __init__(self, middleware: list[Middleware]) -> None:
        super().__init__(pool=_PoolOpenedByUse(), results=False, middleware=middleware)


class _PoolOpenedByUse(ConnectionPool[Connection[Any]]):
    def __init__(self) -> None:
        # The address is read when a connection is made, because the tests change the database after start-up.
        super().__init__(
            _task_conninfo,
            min_size=0,
            max_size=16,
            open=False,
            reconnect_timeout=5,  # the same reason as in config/settings/base.py
        )

    def getconn(self, timeout: float | None = None) -> Connection[Any]:
        """One that the server has not ended meanwhile. Raises PoolTimeout when there is none within `timeout`."""
        self.open()
        deadline = monotonic() + (self.timeout if timeout is None else timeout)

        def another() -> Connection[Any]:
            return super(_PoolOpenedByUse, self).getconn(deadline - monotonic())

        return first_alive(another(), another, self.putconn)


def _task_conninfo() -> str:
    return conninfo(application_name="broadside-tasks")
