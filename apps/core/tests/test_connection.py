"""Statements on a connection of the pool: what they give, and what the connection keeps of them."""

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DataError, ProgrammingError, connection
from django.db.models import Model
from psycopg.types.numeric import Int2, Int4

from apps.comments.models import Comment
from apps.core import pool
from apps.core.connection import MAX_PREPARED, Query
from apps.core.rows import KEYS, compiled, fetch, on_djangos_connection
from apps.core.statements import tally
from apps.posts.models import Post, Tag
from apps.users.models import Session, User
from tests.reads import prepared, sql, the_pool
from tests.world import make_world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_stays_connected")]

MODELS = [User, Session, Post, Tag, Comment]


@pytest.mark.parametrize("model", MODELS)
async def test_rows_have_djangos_values(read_pool: None, model: type[Model]) -> None:
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


async def test_only_the_columns_that_are_asked_for_are_read(read_pool: None) -> None:
    await sync_to_async(make_world)(1)
    row: Any = (await fetch(Post.objects.all(), {"title", "no_column"}))[0]
    assert row.names == ("id", "title")
    with pytest.raises(AttributeError, match=r"Post\.body"):
        _ = row.body


async def test_a_deferred_column_stays_where_it_is(read_pool: None) -> None:
    await sync_to_async(make_world)(1)
    row: Any = (await fetch(User.objects.defer("password"), {"password", "first_name"}))[0]
    assert row.names == ("id", "first_name")


async def test_a_statement_runs_with_other_keys(read_pool: None) -> None:
    world = await sync_to_async(make_world)(2)
    statement = compiled(Post.objects.filter(pk__any_of=KEYS).order_by("pk"))
    one, two = sorted(post.pk for post in world.posts)[:2]
    assert [row.pk for row in await statement.fetch([one])] == [one]
    assert [row.pk for row in await statement.fetch([one, two])] == [one, two]


async def test_a_statement_may_be_larger_than_what_the_socket_takes_at_once(read_pool: None) -> None:
    world = await sync_to_async(make_world)(1)
    post = world.posts[0].pk
    keys = [*range(10**9, 10**9 + 2 * 10**6), post]
    assert [row.pk for row in await compiled(Post.objects.filter(pk__any_of=KEYS)).fetch(keys)] == [post]


async def test_numbers_larger_than_their_field_stay_as_large(read_pool: None) -> None:
    for number in (2**31, 2**40 + 1, 2**63, -(2**31) - 1):
        query = Query("SELECT %s, %s", [Int4(number), Int2(number)])
        assert await pool.fetch(query) == [(number, number)]


async def plan_cache_mode() -> str:
    """Asked on the connection itself: a read would set it."""
    connection = await the_pool().take()
    [(mode,)] = await (await connection.execute("SHOW plan_cache_mode")).fetchall()
    await the_pool().give_back(connection)
    return str(mode)


async def test_what_is_planned_once_runs_on_one_plan_whatever_the_keys(one_connection: None) -> None:
    world = await sync_to_async(make_world)(2)
    statement = compiled(Post.objects.filter(pk__any_of=KEYS))
    for keys in ([], [world.posts[0].pk], [post.pk for post in world.posts], [1] * 1_000):
        await statement.fetch(keys)
        assert await plan_cache_mode() == "force_generic_plan"
    [(text, plans)] = (await prepared()).items()
    assert "= ANY" in text
    assert plans == (4, 0)


async def test_what_holds_a_clients_values_is_planned_for_them(one_connection: None) -> None:
    """Five times; then PostgreSQL may judge that a plan for all values is as good."""
    await sync_to_async(make_world)(2)
    by_key = compiled(Post.objects.filter(pk__any_of=KEYS))
    for place in range(5):
        await by_key.fetch([place])
        await compiled(Post.objects.filter(title=f"World {place}"), planned_once=False).fetch()
        assert await plan_cache_mode() == "auto"
    plans = await prepared()
    assert sorted(plans.values()) == [(0, 5), (5, 0)]


async def test_a_connection_keeps_so_many_statements_and_no_more(one_connection: None) -> None:
    numbers = [*range(250), 0, 249, 1]
    assert [await sql(f"SELECT {number} AS a_number") for number in numbers] == [[(number,)] for number in numbers]
    # The one that looks is among them.
    kept = await prepared()
    assert len(kept) == MAX_PREPARED - 1
    assert {f"SELECT {number} AS a_number" for number in (0, 1, 249)} <= kept.keys()
    assert "SELECT 2 AS a_number" not in kept


async def test_a_statement_in_use_is_kept(one_connection: None) -> None:
    for number in range(MAX_PREPARED + 50):
        await sql("SELECT 'often'")
        await sql(f"SELECT {number}")
    kept = await prepared()
    assert kept["SELECT 'often'"] == (MAX_PREPARED + 50, 0)


async def test_a_statement_that_fails_leaves_the_connection_as_it_was(one_connection: None) -> None:
    [(pid,)] = await sql("SELECT pg_backend_pid()")
    for broken, error in (("SELECT 1 / 0", DataError), ("SELECT no_column", ProgrammingError)):
        for _ in range(2):
            with pytest.raises(error):
                await sql(broken)
            assert await sql("SELECT pg_backend_pid()") == [(pid,)]


async def test_what_was_prepared_may_be_thrown_away_by_others(one_connection: None) -> None:
    """As poolers between us and PostgreSQL do with DISCARD ALL."""
    assert await sql("SELECT 1") == [(1,)]
    connection = await the_pool().take()
    await connection.execute("DISCARD ALL")
    await the_pool().give_back(connection)
    assert await sql("SELECT 1") == [(1,)]
    assert list(await prepared()) == ["SELECT 1"]


async def test_nobody_relies_on_a_mode_whose_setting_was_interrupted(one_connection: None) -> None:
    query = Query("SELECT 1", planned_once=False)
    assert await pool.fetch(query) == [(1,)]
    read = asyncio.ensure_future(sql("SELECT 2"))
    await asyncio.sleep(0)
    read.cancel()
    await asyncio.wait([read])
    assert await pool.fetch(query) == [(1,)]
    assert await plan_cache_mode() == "auto"


async def test_closed_it_lets_go_of_its_socket(one_connection: None) -> None:
    await sql("SELECT 1")
    connection = await the_pool().take()
    readiness = connection._readiness
    assert readiness is not None
    assert readiness.close.alive
    await connection.close()
    assert not readiness.close.alive
    await the_pool().discard(connection)


async def test_a_column_may_be_changed_while_the_server_runs(one_connection: None) -> None:
    """A migration that widens it is released before the servers are, and they go on."""
    await sync_to_async(make_world)(2)
    statement = compiled(Session.objects.order_by("pk"))
    before = await statement.fetch()
    await sync_to_async(alter)("ALTER TABLE users_session ALTER COLUMN user_agent TYPE varchar(300)")
    try:
        assert await statement.fetch() == before
    finally:
        await sync_to_async(alter)("ALTER TABLE users_session ALTER COLUMN user_agent TYPE varchar(255)")


def alter(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
