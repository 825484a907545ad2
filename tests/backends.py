"""PostgreSQL seen from beside the application: what its backends do, and what can happen to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import kwargs_row

from apps.core.db import conninfo

# Of other connections to this database.
OTHERS: Final = "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND "


class Backends:
    """The backends of the tests' database, but for those that the tests have opened here."""

    def __init__(self, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._own = [connection.info.backend_pid]

    async def waiting(self) -> list[str]:
        """The statements that wait for a lock."""
        return [row[1] for row in await self._others("state = 'active' AND wait_event_type = 'Lock'")]

    async def active(self) -> list[str]:
        """The statements that run."""
        return [row[1] for row in await self._others("state = 'active'")]

    async def terminate(self) -> int:
        """End all of them; return how many there were, when they are gone."""
        pids = [row[0] for row in await self._others("true")]
        # All before waiting for any: what one of them was asked is soon asked of another.
        for milliseconds in (0, 10_000):
            await self._connection.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM unnest(%s::int[]) AS ended (pid) WHERE EXISTS "
                "(SELECT FROM pg_stat_activity AS activity WHERE activity.pid = ended.pid)",
                [milliseconds, pids],
            )
        return len(pids)

    async def cancel(self) -> None:
        """Stop the statements that run, as a `statement_timeout` would."""
        for pid, _ in await self._others("state = 'active'"):
            await self._connection.execute("SELECT pg_cancel_backend(%s)", [pid])

    async def is_running(self, pid: int) -> bool:
        return any(row[0] == pid for row in await self._others("true"))

    async def until_waiting(self, number: int = 1) -> None:
        """Return as soon as `number` statements wait for a lock."""

        async def are_waiting() -> bool:
            return len(await self.waiting()) == number

        await until(are_waiting)

    async def until_idle(self, seconds: float = 10) -> None:
        """Return as soon as no statement runs; fail when one still does after `seconds`."""

        async def is_idle() -> bool:
            return not await self.active()

        await until(is_idle, seconds)

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """Nobody else can so much as read `table` within."""
        async with await AsyncConnection.connect(conninfo()) as connection:
            self._own.append(connection.info.backend_pid)
            await connection.execute(psycopg.sql.SQL("LOCK TABLE {}").format(psycopg.sql.Identifier(table)))
            yield
            await connection.rollback()

    async def _others(self, condition: LiteralString) -> list[tuple[int, str]]:
        cursor = self._connection.cursor(row_factory=kwargs_row(lambda pid, query: (pid, query)))
        await cursor.execute(f"SELECT pid, query {OTHERS} {condition} AND pid <> ALL(%s)", [self._own])
        return await cursor.fetchall()


@asynccontextmanager
async def backends() -> AsyncIterator[Backends]:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        yield Backends(connection)


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 60) -> None:
    """Return as soon as `condition()` gives something true; fail when it does not within `seconds`."""
    for _ in range(round(seconds / 0.01)):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("this did not become true in time")
