"""What every test can use: PostgreSQL, isolated async tests, a client of the real ASGI application, and rows."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import asgiref.sync
import httpx
import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import connections
from django.db.models.signals import post_migrate
from psycopg.conninfo import conninfo_to_dict

from apps.core import pool
from config import embedded_postgres
from tests.api import Api
from tests.backends import Backends, backends
from tests.live import live_server
from tests.make import Make, make_roles


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """The database server: DATABASE_URL's, else a throw-away one that lives as long as this run.

    Processes that run side by side have a database each.
    """
    with ExitStack() as stack:
        if not os.environ.get("DATABASE_URL"):
            server = conninfo_to_dict(stack.enter_context(embedded_postgres.temporary()))
            names = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
            connections["default"].settings_dict.update(
                {setting: server[name] for name, setting in names.items() if name in server}
            )
        yield
        connections["default"].close_pool()


@pytest.fixture(scope="session", autouse=True)
def roles_stay() -> Iterator[None]:
    """Tests that commit empty all tables behind them, that of the groups too, and Django says that it has migrated."""
    auth = apps.get_app_config("auth")
    post_migrate.connect(make_roles, sender=auth)
    yield
    post_migrate.disconnect(make_roles, sender=auth)


@pytest.fixture(autouse=True)
def async_tests_share_the_transaction(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Let ORM work of async tests run inside the transaction that the `db` fixture rolls back.

    asgiref runs it in another thread, which has connections of its own (pytest-django#580). Here that thread gets
    the test's connection, and the scopes that would use further threads or close it are switched off. Tests with
    `transaction=True` commit, and need none of this.
    """
    marker = request.node.get_closest_marker("django_db")
    if marker is None or marker.kwargs.get("transaction") or not request.node.get_closest_marker("asyncio"):
        yield
        return
    request.getfixturevalue("db")
    connection = connections["default"]
    executor = asgiref.sync.SyncToAsync.single_thread_executor

    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(asgiref.sync.ThreadSensitiveContext, "__aenter__", nothing)
    monkeypatch.setattr(asgiref.sync.ThreadSensitiveContext, "__aexit__", nothing)
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: None)
    connection.inc_thread_sharing()
    executor.submit(connections.__setitem__, "default", connection).result()
    yield
    executor.submit(connections.__delitem__, "default").result()
    connection.dec_thread_sharing()


@pytest.fixture
async def nothing_stays_connected() -> AsyncIterator[None]:
    """The thread that ORM work runs in keeps its connection, which would keep the database from being dropped."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
async def read_pool() -> AsyncIterator[None]:
    """Reads run on their pool, as in a server."""
    async with pool.opened():
        yield


@pytest.fixture
async def one_connection(settings: Any) -> AsyncIterator[None]:
    """As `read_pool`, and all of them run on the same connection."""
    settings.READ_POOL_MAX = 1
    async with pool.opened():
        yield


@pytest.fixture
async def server() -> AsyncIterator[Backends]:
    """PostgreSQL, seen from beside the application."""
    async with backends() as server:
        yield server


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """A client of the application, without a network in between; anonymous until `api.as_(user)`."""
    from config.asgi import application

    transport = httpx.ASGITransport(application)  # type: ignore[arg-type]  # httpx has its own names for ASGI's types
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield Api(client)


@pytest.fixture
def make() -> Make:
    """Makes rows: `await make.post(author=ann)`."""
    return Make()


@pytest.fixture(scope="session")
def live_server_url(django_db_modify_db_settings: None) -> Iterator[str]:
    """The origin of a real server with demo data, for browsers; its rows are not the tests'."""
    with live_server() as origin:
        yield origin
