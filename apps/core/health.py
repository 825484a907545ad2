"""Health checks for whatever runs the process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, TypeAlias

import psycopg
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse

from apps.core import background_state
from apps.core.db import conninfo

logger = logging.getLogger("broadside.health")

# What a look at the database shows: the migrations that it has seen, and how the background work is, where asked for.
Seen: TypeAlias = tuple[set[tuple[str, str]], dict[str, Any] | None]
Look: TypeAlias = Callable[[], Coroutine[None, None, Seen]]

# Seconds. Load balancers give up soon after.
PATIENCE = 2

_asking: dict[Look, asyncio.Task[Seen]] = {}


def live(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers; it asks nothing else, so that a database outage restarts nobody."""
    return JsonResponse({"status": "ok"})


async def ready(request: HttpRequest) -> JsonResponse:
    """200 when the database answers within PATIENCE and is migrated, else 503 with the reason.

    With `?verbose` the same, and how the background work is: see `background_state`. Whatever that is, it changes the
    status's word to "degraded", and not the code: requests are answered all the same.

    On a connection of its own: those of the pools may all be busy, which is no reason to send requests elsewhere. All
    who ask for the same at the same time share it, and the answer.
    """
    is_verbose = "verbose" in request.GET
    try:
        applied, seen = await _shared(_look_closely if is_verbose else _look)
    except (psycopg.Error, TimeoutError):
        logger.exception("The database does not answer.")
        return JsonResponse({"status": "no database"}, status=503)
    if not _wanted() <= applied:
        return JsonResponse({"status": "unmigrated"}, status=503)
    if not is_verbose:
        return JsonResponse({"status": "ok"})
    if seen is None:
        return JsonResponse({"status": "degraded"})
    is_well = seen.pop("is_well")
    return JsonResponse({"status": "ok" if is_well else "degraded", **seen})


async def _shared(look: Look) -> Seen:
    """What `look` gives, to all who ask for it now. Raises TimeoutError after PATIENCE, and what `look` raises."""
    asking = _asking.get(look)
    if asking is None or asking.done() or asking.get_loop() is not asyncio.get_running_loop():
        asking = _asking[look] = asyncio.ensure_future(look())
        # Its failure is known by then to those who asked; asyncio would complain that nobody has waited for it.
        asking.add_done_callback(lambda asking: asking.cancelled() or asking.exception())
    async with asyncio.timeout(PATIENCE):  # told to stop, psycopg itself waits ten seconds more
        return await asyncio.shield(asking)


async def _look() -> Seen:
    async with _connected() as connection:
        return await _applied(connection), None


async def _look_closely() -> Seen:
    async with _connected() as connection:
        applied = await _applied(connection)
        try:
            # Less than PATIENCE: a look that takes too long must not cost the answer.
            async with asyncio.timeout(PATIENCE / 2):
                return applied, await background_state.look(connection)
        except (psycopg.Error, TimeoutError):
            logger.exception("Nothing is known of the background work.")
            return applied, None


@asynccontextmanager
async def _connected() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection for one look. Raises TimeoutError within after PATIENCE."""
    async with (
        asyncio.timeout(PATIENCE),
        await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection,
    ):
        yield connection


async def _applied(connection: psycopg.AsyncConnection[Any]) -> set[tuple[str, str]]:
    """App and name of each migration that the database has seen."""
    try:
        cursor = await connection.execute("SELECT app, name FROM django_migrations")
    except psycopg.errors.UndefinedTable:
        return set()
    return {(app, name) for app, name in await cursor.fetchall()}


@cache
def _wanted() -> frozenset[tuple[str, str]]:
    """App and name of each migration of this release."""
    return frozenset(MigrationLoader(None).disk_migrations)
