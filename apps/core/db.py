"""Connections and constraints."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import IntegrityError, InterfaceError, OperationalError, close_old_connections, connections
from psycopg.conninfo import make_conninfo

LIBPQ_KEYS = ("dbname", "user", "password", "host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey")
# A database that is gone, a pool that is exhausted, a deadlock: trying again may help.
DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)


@asynccontextmanager
async def connection_scope() -> AsyncIterator[None]:
    """Give the ORM work inside one thread and one pooled connection, which goes back to the pool at the end.

    Without it asgiref runs all requests of the process in one thread, and a connection that the server dropped
    would never be replaced. It costs nothing when there is no such work: the thread is made when it is needed.
    """
    async with ThreadSensitiveContext() as context:
        try:
            yield
        finally:
            if context in SyncToAsync.context_to_thread_executor:
                await sync_to_async(close_old_connections)()


def conninfo(**overrides: str) -> str:
    """libpq's connection string for Django's database, for those who connect without Django."""
    parameters = connections["default"].get_connection_params()
    return make_conninfo(**{key: parameters[key] for key in LIBPQ_KEYS if parameters.get(key)} | overrides)


def violated_constraint(error: IntegrityError) -> str | None:
    """The name of the constraint or unique index that refused a row, when PostgreSQL said which."""
    cause = error.__cause__
    return cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None
