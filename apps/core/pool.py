"""The connections that reads run on, without a thread: psycopg's pool, one for the process, in its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import psycopg
from django.conf import settings
from django.db import OperationalError, connections, utils
from django.db.backends.postgresql.psycopg_any import get_adapters_template
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from apps.core.connection import Query, ReadConnection
from apps.core.db import conninfo
from apps.core.statements import count

# How long connections stay at hand before psycopg's pool gets to see them.
AT_HAND_SECONDS = 60
# How often the server looks whether anybody still waits for what it does. Now and then a request to cancel arrives
# before the statement that it is for, and is lost; the connection is closed then, which by itself stops nothing.
STILL_THERE_MS = 1_000


class ReadPool:
    """psycopg's pool, with the connections that were used last at hand.

    psycopg lends its connections in turn, so that every statement meets a server process whose caches, and ours for
    it, have gone cold: a third of a small query's time. Here the one that came back last goes out first. Once in a
    while all go back to psycopg, which replaces old ones and closes those that nobody needs.
    """

    def __init__(self, pool: AsyncConnectionPool[ReadConnection]) -> None:
        self._pool = pool
        self._at_hand: list[ReadConnection] = []
        self._waiting = 0
        self._since = monotonic()
        self._returning: set[asyncio.Task[None]] = set()

    async def take(self) -> ReadConnection:
        """A connection. Raises PoolTimeout when none is free within READ_POOL_TIMEOUT_SECONDS."""
        if self._at_hand:
            return self._at_hand.pop()
        self._waiting += 1
        try:
            return await self._pool.getconn()
        finally:
            self._waiting -= 1

    async def give_back(self, connection: ReadConnection) -> None:
        """Have it at hand for the next, unless somebody waits for it already, or nobody will come."""
        if self._waiting or self._pool.closed:
            await self.discard(connection)
            return
        self._at_hand.append(connection)
        if monotonic() - self._since > AT_HAND_SECONDS:
            await self.give_all_back()

    def leave(self, connection: ReadConnection) -> None:
        """Have the statement that runs on it stopped. Whoever was told to stop need not wait until it is."""
        self._carried_through(self._interrupt(connection))

    async def close(self) -> None:
        """Give back those at hand, and wait for those that are on their way."""
        await self.give_all_back()
        await asyncio.gather(*self._returning)

    async def _interrupt(self, connection: ReadConnection) -> None:
        try:
            await connection.interrupt()
        finally:
            await self._pool.putconn(connection)

    async def discard(self, connection: ReadConnection) -> None:
        """Let psycopg see what is left of it: a broken one is replaced."""
        await asyncio.shield(self._carried_through(self._pool.putconn(connection)))

    def _carried_through(self, returning: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Though whoever gives it back be told to stop meanwhile: the connection would be nobody's."""
        task = asyncio.ensure_future(returning)
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)
        return task

    async def give_all_back(self) -> None:
        self._since = monotonic()
        at_hand, self._at_hand = self._at_hand, []
        # Begun here, not by gather(): told to stop at once, it would begin none, and all were nobody's.
        returning = [self._carried_through(self._pool.putconn(connection)) for connection in at_hand]
        await asyncio.shield(asyncio.gather(*returning))

    async def replace_all(self) -> None:
        """Have new connections for all, after one has failed: what ended that one has ended more.

        Waits for none of them. psycopg's `check()` asks each, which takes for ever where the network stands still,
        and it goes on when it is told to stop. Whoever has one goes on with it.
        """
        await self.give_all_back()
        await self._pool.drain()


_pool: ReadPool | None = None


def is_open() -> bool:
    return _pool is not None


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """Have reads run on the pool within. It keeps one connection at least, and connects again after an outage."""
    global _pool  # noqa: PLW0603  (the process has one event loop, and one pool in it)
    server = conninfo()
    given = conninfo_to_dict(server).get("options", "")
    timeout_ms = int(settings.GRAPHQL_TIMEOUT_SECONDS * 1000)
    async with AsyncConnectionPool(
        server,
        connection_class=ReadConnection,
        min_size=1,
        max_size=settings.READ_POOL_MAX,
        timeout=settings.READ_POOL_TIMEOUT_SECONDS,
        # As for Django's own pool: its default grows into minutes in which nobody notices that PostgreSQL is back.
        reconnect_timeout=5,
        kwargs={
            "autocommit": True,
            "context": _adapters(),
            "options": f"{given} -c timezone=UTC -c statement_timeout={timeout_ms} "
            f"-c client_connection_check_interval={STILL_THERE_MS}",
        },
        open=False,
    ) as psycopgs:
        pool = _pool = ReadPool(psycopgs)
        try:
            yield
        finally:
            _pool = None
            # Those that are still out go back to a pool that is closed by then, which closes them.
            await pool.close()


async def fetch(query: Query, keys: Sequence[Any] = (), viewer: int | None = None) -> list[tuple[Any, ...]]:
    """The rows of one reading statement. What a dead connection did not answer is sent once more, on a new one.

    When its task is cancelled, it ends at once, and the statement is stopped on the server; or, should the request to
    do so be lost, it ends with its connection, six seconds later. Raises django.db.OperationalError when no connection
    is free within READ_POOL_TIMEOUT_SECONDS, and when the server is gone or stops the statement; what PostgreSQL does
    not take raises Django's other errors.
    """
    try:
        try:
            return await _fetch_once(query, keys, viewer)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if not _lost(error) or _pool is None:
                raise
            await _pool.replace_all()
        return await _fetch_once(query, keys, viewer)
    except psycopg.Error as error:
        raise _as_djangos(error) from error


def _as_djangos(error: psycopg.Error) -> Exception:
    """The error that Django would raise: it has those of the DB-API by the same names."""
    names = (kind.__name__ for kind in type(error).__mro__)
    kind: type[Exception] = next(vars(utils)[name] for name in names if name in vars(utils))
    return kind(str(error))


def _lost(error: psycopg.Error) -> bool:
    """Whether it was the connection that failed, not the statement, nor the wait for a connection."""
    # Ended by an administrator, by a crash, or for having been idle.
    return error.sqlstate in {None, "57P01", "57P02", "57P05"} and not isinstance(error, PoolTimeout)


async def _fetch_once(query: Query, keys: Sequence[Any], viewer: int | None) -> list[tuple[Any, ...]]:
    if _pool is None:
        raise OperationalError("the pool is closed")
    # Not the one that is open by the time that the connection comes back.
    pool = _pool
    connection = await pool.take()
    try:
        rows = await connection.fetch(query, keys, viewer)
    except asyncio.CancelledError:
        pool.leave(connection)
        raise
    except BaseException:
        await pool.discard(connection)
        raise
    await pool.give_back(connection)
    count(len(rows))
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
