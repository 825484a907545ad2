"""Health checks for whatever runs the process."""

import asyncio
import logging
from functools import cache

import psycopg
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse

from apps.core.db import conninfo

logger = logging.getLogger("broadside.health")

# Seconds. Load balancers give up soon after.
PATIENCE = 2

_asking: asyncio.Task[set[tuple[str, str]]] | None = None


def live(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers; it asks nothing else, so that a database outage restarts nobody."""
    return JsonResponse({"status": "ok"})


async def ready(request: HttpRequest) -> JsonResponse:
    """200 when the database answers within PATIENCE and is migrated, else 503 with the reason.

    On a connection of its own: those of the pools may all be busy, which is no reason to send requests elsewhere. All
    who ask at the same time share it, and the answer.
    """
    global _asking  # noqa: PLW0603  (one for the process, as its event loop is)
    if _asking is None or _asking.done() or _asking.get_loop() is not asyncio.get_running_loop():
        _asking = asyncio.ensure_future(_applied())
        # Its failure is known by then to those who asked; asyncio would complain that nobody has waited for it.
        _asking.add_done_callback(lambda asking: asking.cancelled() or asking.exception())
    try:
        async with asyncio.timeout(PATIENCE):  # told to stop, psycopg itself waits ten seconds more
            applied = await asyncio.shield(_asking)
    except (psycopg.Error, TimeoutError):
        logger.exception("The database does not answer.")
        return JsonResponse({"status": "no database"}, status=503)
    if _wanted() <= applied:
        return JsonResponse({"status": "ok"})
    return JsonResponse({"status": "unmigrated"}, status=503)


async def _applied() -> set[tuple[str, str]]:
    """App and name of each migration that the database has seen. Raises TimeoutError after PATIENCE."""
    async with (
        asyncio.timeout(PATIENCE),
        await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection,
    ):
        try:
            cursor = await connection.execute("SELECT app, name FROM django_migrations")
        except psycopg.errors.UndefinedTable:
            return set()
        return {(app, name) for app, name in await cursor.fetchall()}


@cache
def _wanted() -> frozenset[tuple[str, str]]:
    """App and name of each migration of this release."""
    return frozenset(MigrationLoader(None).disk_migrations)
