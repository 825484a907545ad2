"""The connections that reads run on, without a thread: psycopg's pool, one for the process, in its event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.db.backends.postgresql.psycopg_any import get_adapters_template
from psycopg import AsyncConnection
from psycopg.adapt import AdaptersMap
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from apps.core.db import conninfo
from apps.core.statements import count

_pool: AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]] | None = None


def is_open() -> bool:
    return _pool is not None


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """Have reads run on the pool within. It connects when it is first needed, and again after an outage."""
    global _pool  # noqa: PLW0603  (the process has one event loop, and one pool in it)
    async with AsyncConnectionPool(
        conninfo(),
        min_size=1,
        max_size=settings.READ_POOL_MAX,
        timeout=settings.READ_POOL_TIMEOUT_SECONDS,
        # As for Django's own pool: its default grows into minutes in which nobody notices that PostgreSQL is back.
        reconnect_timeout=5,
        kwargs={
            "autocommit": True,
            "prepare_threshold": 2,
            "context": _adapters(),
            "options": f"-c timezone=UTC -c statement_timeout={int(settings.GRAPHQL_TIMEOUT_SECONDS * 1000)}",
        },
        open=False,
    ) as _pool:
        try:
            yield
        finally:
            _pool = None


async def fetch(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of one reading statement. What a dead connection did not answer is sent once more, on a checked one.

    When its task is cancelled, the statement is cancelled on the server. Raises django.db.OperationalError when no
    connection is free within READ_POOL_TIMEOUT_SECONDS, and when the server is gone or stops the statement.
    """
    try:
        try:
            return await _fetch_once(sql, params)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if not _lost(error) or _pool is None:
                raise
            await _pool.check()
        return await _fetch_once(sql, params)
    except psycopg.OperationalError as error:
        raise OperationalError(str(error)) from error
    except psycopg.InterfaceError as error:
        raise InterfaceError(str(error)) from error


def _lost(error: psycopg.Error) -> bool:
    """Whether it was the connection that failed, not the statement, nor the wait for a connection."""
    return error.sqlstate in {None, "57P01", "57P02"} and not isinstance(error, PoolTimeout)


async def _fetch_once(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    if _pool is None:
        raise OperationalError("the pool is closed")
    async with _pool.connection() as connection:
        cursor = await connection.execute(sql, params)
        rows = await cursor.fetchall()
    count(1, len(rows))
    return rows


def _adapters() -> AdaptersMap:
    """Django's, so that values are Django's. Its loader of timestamps is replaced by psycopg's, which is in C.

    That gives the same: moments in the session's time zone, which is UTC.
    """
    django = connections["default"]
    adapters = AdaptersMap(get_adapters_template(settings.USE_TZ, django.timezone))
    timestamptz = psycopg.adapters.types["timestamptz"].oid
    in_c = psycopg.adapters.get_loader(timestamptz, psycopg.pq.Format.TEXT)
    if in_c is not None:
        adapters.register_loader(timestamptz, in_c)
    return adapters
