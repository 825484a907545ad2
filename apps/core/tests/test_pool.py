"""Reads on the pool of asynchronous connections, and on Django's own: the same rows from both."""

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections
from django.db.models import Model
from psycopg.types.numeric import Int2, Int4

from apps.comments.models import Comment
from apps.core import pool
from apps.core.connection import MAX_PREPARED, Query
from apps.core.rows import KEYS, compiled, fetch, on_djangos_connection
from apps.core.statements import tally
from apps.posts.models import Post, Tag
from apps.users.models import Session, User
from tests.backends import backends, until
from tests.proxy import network
from tests.world import make_world

pytestmark = pytest.mark.django_db(transaction=True)

# Seconds that something may take beyond what it waits for. No test of speed: machines are busy.
LITTLE = 5.0
MODELS = [User, Session, Post, Tag, Comment]


@pytest.fixture(autouse=True)
async def nothing_stays_asleep(nothing_stays_connected: None) -> AsyncIterator[None]:
    """What a test that fails leaves running would keep the database from being dropped."""
    yield
    await sync_to_async(end_connections)("query LIKE '%%pg_sleep%%' AND pid <> pg_backend_pid()")


def the_pool() -> pool.ReadPool:
    assert pool._pool is not None
    return pool._pool


async def sql(statement: str) -> list[tuple[Any, ...]]:
    return await pool.fetch(Query(statement))


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


async def test_a_dropped_connection_is_replaced(read_pool: None) -> None:
    [(pid,)] = await sql("SELECT pg_backend_pid()")
    await sync_to_async(end_connections)("pid = %s", pid)
    assert await sql("SELECT 2") == [(2,)]


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


async def test_a_cancelled_read_is_cancelled_on_the_server(read_pool: None) -> None:
    statement = "SELECT pg_sleep(599)"
    task = asyncio.ensure_future(sql(statement))
    await until_running(statement)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_running(statement, running=False)


async def test_a_statement_ends_soon_after_its_connection(read_pool: None) -> None:
    """Though no request to cancel it has reached the server."""
    connection = await the_pool().take()
    statement = "SELECT pg_sleep(597)"
    connection.pgconn.send_query(statement.encode())
    assert connection.pgconn.flush() == 0
    await until_running(statement)
    connection.pgconn.finish()
    await the_pool().discard(connection)
    await until_running(statement, running=False)


async def test_a_read_that_runs_away_is_stopped(settings: Any) -> None:
    settings.GRAPHQL_TIMEOUT_SECONDS = 0.1
    async with pool.opened():
        with pytest.raises(OperationalError, match="statement timeout"):
            await sql("SELECT pg_sleep(600)")


# What a connection keeps


@pytest.fixture
async def one_connection(settings: Any) -> AsyncIterator[None]:
    """All reads run on the same connection."""
    settings.READ_POOL_MAX = 1
    async with pool.opened():
        yield


async def prepared() -> dict[str, tuple[int, int]]:
    """The statements that the one connection keeps, but for this one, and how often each ran on either plan.

    Generic plans first, then those made for the values of one run.
    """
    look = "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements"
    return {statement: (generic, custom) for statement, generic, custom in await sql(look) if statement != look}


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
    for broken in ("SELECT 1 / 0", "SELECT no_column", "SELEC"):
        for _ in range(2):
            with pytest.raises(psycopg.Error):
                await sql(broken)
            assert await sql("SELECT pg_backend_pid()") == [(pid,)]


async def test_reads_that_are_cancelled_leave_the_pool_whole(read_pool: None, settings: Any) -> None:
    """Wherever they are: waiting for a connection, preparing, running, or giving it back."""
    for turns in range(60):
        statement = compiled(Post.objects.filter(version=turns % 7))
        reads = [asyncio.ensure_future(statement.fetch()) for _ in range(settings.READ_POOL_MAX + 2)]
        for _ in range(turns // 2):
            await asyncio.sleep(0)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    # As many as there may be run at the same time, each on a connection of its own.
    async with backends() as server, server.locked(Post._meta.db_table):
        reads = [asyncio.ensure_future(fetch(Post.objects.all())) for _ in range(settings.READ_POOL_MAX)]

        async def all_wait() -> bool:
            return len(await server.waiting()) == len(reads)

        await until(all_wait)
    assert await asyncio.gather(*reads) == [[]] * settings.READ_POOL_MAX


# How a connection is made


async def test_reads_connect_as_writes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What DATABASE_URL says behind its question mark holds for both: `?options=-csearch_path%3Dtenant`."""
    given = {"options": "-c search_path=pg_catalog", "application_name": "given"}
    options = connections["default"].settings_dict["OPTIONS"]
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", options | given)
    async with pool.opened():
        [found] = await sql("SELECT current_setting('search_path'), current_setting('application_name')")
    assert found == ("pg_catalog", "given")


async def test_reads_are_in_utc_and_have_their_time(read_pool: None, settings: Any) -> None:
    [found] = await sql("SELECT current_setting('timezone'), current_setting('statement_timeout')")
    assert found == ("UTC", f"{settings.GRAPHQL_TIMEOUT_SECONDS // 60:.0f}min")


# What happens to connections


async def test_the_connection_that_came_back_last_goes_out_first(read_pool: None) -> None:
    reads = the_pool()
    one, two, three = [await reads.take() for _ in range(3)]
    for each in (two, one, three):
        await reads.give_back(each)
    assert [await reads.take() for _ in range(3)] == [three, one, two]
    await reads.give_back(one)
    assert await reads.take() is one
    for each in (one, two, three):
        await reads.give_back(each)


async def test_a_connection_that_comes_back_goes_to_whoever_waits(one_connection: None) -> None:
    reads = the_pool()
    lent = await reads.take()
    waiting = asyncio.ensure_future(reads.take())

    async def waits() -> bool:
        return bool(reads._pool.get_stats()["requests_waiting"])

    await until(waits)
    await reads.give_back(lent)
    assert await asyncio.wait_for(waiting, LITTLE) is lent
    await reads.give_back(lent)


async def test_a_connection_that_comes_back_after_the_pool_has_closed_is_closed() -> None:
    async with pool.opened():
        reads = the_pool()
        lent = await reads.take()
    assert not lent.closed
    await reads.give_back(lent)
    assert lent.closed


async def test_a_read_that_runs_while_the_pool_closes_is_carried_through() -> None:
    statement = "SELECT 5, pg_sleep(0.3)::text"
    async with pool.opened():
        read = asyncio.ensure_future(sql(statement))
        await until_running(statement)
    assert await read == [(5, "")]


async def test_a_read_can_be_cancelled_after_the_pool_has_closed() -> None:
    statement = "SELECT pg_sleep(598)"
    async with pool.opened():
        read = asyncio.ensure_future(sql(statement))
        await until_running(statement)
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    await until_running(statement, running=False)


async def test_a_connection_that_the_server_found_idle_for_too_long_is_replaced(one_connection: None) -> None:
    """Where `idle_session_timeout` is set, the first read after a quiet hour is a read like any other."""
    [(pid,)] = await sql("SELECT pg_backend_pid()")
    await sql("SELECT set_config('idle_session_timeout', '20ms', false)")
    async with backends() as server:

        async def is_gone() -> bool:
            return not await server.is_running(pid)

        await until(is_gone)
    assert await sql("SELECT 4") == [(4,)]


async def test_replacing_connections_waits_for_none_of_them(tmp_path: Path) -> None:
    """One is dead, and no word comes from the others: a read that is told to stop then stops."""
    async with network(tmp_path) as between, AsyncExitStack() as stack:
        with between.used():
            await stack.enter_async_context(pool.opened())
        lent = [await the_pool().take() for _ in range(4)]
        for each in lent:
            await the_pool().give_back(each)
        # The one that is lent next.
        await sync_to_async(end_connections)("pid = %s", lent[-1].info.backend_pid)

        async def is_told() -> bool:
            return bool(select.select([lent[-1]], [], [], 0)[0])

        await until(is_told)
        between.stand_still()
        read = asyncio.ensure_future(sql("SELECT 1"))
        try:
            assert await asyncio.wait([read], timeout=0.3) == (set(), {read})
            read.cancel()
            await asyncio.wait([read], timeout=LITTLE)
            assert read.cancelled()
        finally:
            between.go_on()
        assert await asyncio.gather(*(sql("SELECT 1, pg_sleep(0.1)::text") for _ in range(20))) == [[(1, "")]] * 20


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


def end_connections(condition: str, *params: int) -> None:
    """Return when they are gone."""
    look = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND "
    with connection.cursor() as cursor:
        cursor.execute(look + condition, params)


async def until_running(statement: str, *, running: bool = True) -> None:
    """Return as soon as the server sleeps in `statement`, or no longer does.

    Before it sleeps, while it is being prepared, a cancellation may come too early to stop it.
    """
    for _ in range(3_000):
        if (await sync_to_async(is_running)(statement)) == running:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{statement} is {'not' if running else 'still'} running")


def is_running(statement: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND query = %s",
            [statement],
        )
        return cursor.fetchone() is not None


async def test_whoever_gives_all_back_may_be_told_to_stop_at_once(read_pool: None) -> None:
    ours = pool._pool
    assert ours is not None
    for taken in [await ours.take() for _ in range(3)]:
        await ours.give_back(taken)
    giving = asyncio.ensure_future(ours.give_all_back())
    asyncio.get_running_loop().call_soon(giving.cancel)
    with pytest.raises(asyncio.CancelledError):
        await giving

    async def all_are_back() -> bool:
        return ours._pool.get_stats()["pool_available"] == 3

    await until(all_are_back)


async def test_numbers_larger_than_their_field_stay_as_large(read_pool: None) -> None:
    for number in (2**31, 2**40 + 1, 2**63, -(2**31) - 1):
        query = Query("SELECT %s, %s", [Int4(number), Int2(number)])
        assert await pool.fetch(query) == [(number, number)]
