"""Reads on the pool, from below: bare SQL, and what becomes of it on the server."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection

from apps.core import pool
from apps.core.connection import Query
from tests.backends import until


def the_pool() -> pool.ReadPool:
    assert pool._pool is not None
    return pool._pool


async def sql(statement: str) -> list[tuple[Any, ...]]:
    return await pool.fetch(Query(statement))


async def prepared() -> dict[str, tuple[int, int]]:
    """The statements that the one connection keeps, but for this one, and how often each ran on either plan.

    Generic plans first, then those made for the values of one run.
    """
    look = "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements"
    return {statement: (generic, custom) for statement, generic, custom in await sql(look) if statement != look}


def end_connections(condition: str, *params: int) -> None:
    """Return when they are gone."""
    look = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND "
    with connection.cursor() as cursor:
        cursor.execute(look + condition, params)


async def until_running(statement: str, *, running: bool = True) -> None:
    """Return as soon as the server sleeps in `statement`, or no longer does.

    Before it sleeps, while it is being prepared, a cancellation may come too early to stop it.
    """

    async def is_so() -> bool:
        return await sync_to_async(is_running)(statement) == running

    await until(is_so)


def is_running(statement: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND query = %s",
            [statement],
        )
        return cursor.fetchone() is not None
