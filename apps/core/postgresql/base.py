"""Django's backend for PostgreSQL, but for how it takes a connection from its pool. ENGINE names this package."""

from __future__ import annotations

from time import monotonic
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper as DjangosWrapper
from psycopg import Connection

from apps.core.postgresql.liveness import first_alive


class DatabaseWrapper(DjangosWrapper):
    """Takes no connection that the server has ended, and asks the server nothing to find out.

    With CONN_HEALTH_CHECKS psycopg's pool asks it with a round trip before each lending, and pauses for longer and
    longer between those that do not answer: after a restart the first write would wait until it fails.
    """

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        """One from the pool. Raises PoolTimeout when there is none within the pool's timeout."""
        pool = self.pool
        if pool is None:
            alone: Connection[Any] = super().get_new_connection(conn_params)
            return alone
        deadline = monotonic() + pool.timeout
        first: Connection[Any] = super().get_new_connection(conn_params)

        def another() -> Connection[Any]:
            connection: Connection[Any] = pool.getconn(deadline - monotonic())
            connection.isolation_level = first.isolation_level  # which Django has set
            return connection

        return first_alive(first, another, pool.putconn)
