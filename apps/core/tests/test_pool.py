"""Reads on the pool of asynchronous connections, and on Django's own: the same rows from both."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections
from django.db.models import Model

from apps.comments.models import Comment
from apps.core import pool
from apps.core.connection import Query
from apps.core.rows import KEYS, compiled, fetch, on_djangos_connection
from apps.core.statements import tally
from apps.posts.models import Post, Tag
from apps.users.models import Session, User
from tests.world import make_world

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = [User, Session, Post, Tag, Comment]


@pytest.fixture(autouse=True)
async def nothing_stays_connected() -> AsyncIterator[None]:
    """The thread that ORM work runs in keeps its connection, which would keep the database from being dropped."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
async def opened() -> AsyncIterator[None]:
    async with pool.opened():
        yield


async def sql(statement: str) -> list[tuple[Any, ...]]:
    return await pool.fetch(Query(statement))


@pytest.mark.parametrize("model", MODELS)
async def test_rows_have_djangos_values(opened: None, model: type[Model]) -> None:
    await sync_to_async(make_world)(2)
    instances = await sync_to_async(lambda: list(model._default_manager.order_by("pk")))()
    with on_djangos_connection():
        in_a_thread = await fetch(model._default_manager.order_by("pk"))
    with tally() as counted:
        rows = await fetch(model._default_manager.order_by("pk"))
    assert (counted.statements, counted.rows) == (1, len(instances))
    assert instances
    for instance, row, other in zip(instances, rows, in_a_thread, strict=True):
        loaded = {name: value for name, value in vars(instance).items() if name != "_state"}
        for found in (row, other):
            assert {name: getattr(found, name) for name in loaded} == loaded
            assert {type(getattr(found, name)) for name in loaded} == {type(value) for value in loaded.values()}


async def test_only_the_columns_that_are_asked_for_are_read(opened: None) -> None:
    await sync_to_async(make_world)(1)
    row: Any = (await fetch(Post.objects.all(), {"title", "no_column"}))[0]
    assert row.names == ("id", "title")
    with pytest.raises(AttributeError, match=r"Post\.body"):
        _ = row.body


async def test_a_deferred_column_stays_where_it_is(opened: None) -> None:
    await sync_to_async(make_world)(1)
    row: Any = (await fetch(User.objects.defer("password"), {"password", "first_name"}))[0]
    assert row.names == ("id", "first_name")


async def test_a_statement_runs_with_other_keys(opened: None) -> None:
    world = await sync_to_async(make_world)(2)
    statement = compiled(Post.objects.filter(pk__any_of=KEYS).order_by("pk"))
    one, two = sorted(post.pk for post in world.posts)[:2]
    assert [row.pk for row in await statement.fetch([one])] == [one]
    assert [row.pk for row in await statement.fetch([one, two])] == [one, two]


async def test_a_dropped_connection_is_replaced(opened: None) -> None:
    await sql("SELECT 1")
    await sync_to_async(end_other_connections)()
    assert await sql("SELECT 2") == [(2,)]


async def test_a_column_may_change_its_type_while_the_server_runs(opened: None) -> None:
    await sync_to_async(make_world)(1)
    statement = compiled(Tag.objects.filter(pk__any_of=KEYS), {"name"})
    [tag] = (await fetch(Tag.objects.order_by("pk")))[:1]
    before = await statement.fetch([tag.pk])

    def alter(kind: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE posts_tag ALTER COLUMN name TYPE {kind}")

    await sync_to_async(alter)("text")
    try:
        assert await statement.fetch([tag.pk]) == before
    finally:
        await sync_to_async(alter)("varchar(50)")


async def test_a_pool_that_is_exhausted_says_so_and_recovers(settings: Any) -> None:
    settings.READ_POOL_MAX, settings.READ_POOL_TIMEOUT_SECONDS = 1, 0.2
    async with pool.opened():
        holder = asyncio.ensure_future(sql("SELECT pg_sleep(600)"))
        await until_running("SELECT pg_sleep(600)")
        with pytest.raises(OperationalError):
            await sql("SELECT 1")
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        assert await sql("SELECT 3") == [(3,)]


async def test_a_cancelled_read_is_cancelled_on_the_server(opened: None) -> None:
    statement = "SELECT pg_sleep(599)"
    task = asyncio.ensure_future(sql(statement))
    await until_running(statement)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_running(statement, running=False)


async def test_a_read_that_runs_away_is_stopped(settings: Any) -> None:
    settings.GRAPHQL_TIMEOUT_SECONDS = 0.1
    async with pool.opened():
        with pytest.raises(OperationalError, match="statement timeout"):
            await sql("SELECT pg_sleep(600)")


def end_other_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def until_running(statement: str, *, running: bool = True) -> None:
    """Return as soon as the server runs `statement`, or no longer does."""
    for _ in range(3_000):
        if (await sync_to_async(is_running)(statement)) == running:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{statement} is {'not' if running else 'still'} running")


def is_running(statement: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = %s", [statement])
        return cursor.fetchone() is not None
