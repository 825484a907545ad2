"""The pool of asynchronous connections that reads run on: lending, losing and replacing them."""

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections

from apps.core import pool
from apps.core.connection import KEYS, Query
from apps.core.rows import compiled, fetch
from apps.posts.models import Post
from tests.backends import backends, until
from tests.proxy import network, tcp_network
from tests.reads import end_connections, sql, the_pool, until_running

pytestmark = pytest.mark.django_db(transaction=True)

# Seconds that something may take beyond what it waits for. No test of speed: machines are busy.
LITTLE = 5.0


@pytest.fixture(autouse=True)
async def nothing_stays_asleep(nothing_stays_connected: None) -> AsyncIterator[None]:
    """What a test that fails leaves running would keep the database from being dropped."""
    yield
    await sync_to_async(end_connections)("query LIKE '%%pg_sleep%%' AND pid <> pg_backend_pid()")


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


async def test_a_cancelled_read_that_was_large_waits_for_nobody(one_connection: None) -> None:
    """It takes another way to the server, and to an end, than one that the socket takes at once."""
    statement = "SELECT pg_sleep(598) WHERE cardinality(%s::bigint[]) > 0"
    query = Query(statement, [KEYS])
    read = asyncio.ensure_future(pool.fetch(query, range(10**9, 10**9 + 2 * 10**6)))
    await until_running(query.sql.decode())
    read.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert read.cancelled()
    await until_running(query.sql.decode(), running=False)
    assert await sql("SELECT 1") == [(1,)]


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


def test_connections_over_tcp_are_replaced_on_uvloop() -> None:
    """As in production. A server that ends a connection closes it, and answers what is sent then with a reset."""

    async def end_all_and_read() -> list[list[tuple[Any, ...]]]:
        answers = []
        async with backends() as server, tcp_network() as between, AsyncExitStack() as stack:
            with between.used():
                await stack.enter_async_context(pool.opened())
            for number in range(5):
                async with asyncio.timeout(LITTLE):
                    answers += await asyncio.gather(*(sql(f"SELECT {number}") for _ in range(10)))
                assert await server.terminate() > 0
        return answers

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(end_all_and_read()) == [[(number,)] for number in range(5) for _ in range(10)]


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


async def test_once_in_a_while_psycopg_sees_all_connections(read_pool: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It closes those that nobody needs, and replaces old ones."""
    reads = the_pool()
    lent = [await reads.take() for _ in range(3)]
    # On a slow machine psycopg has opened one more meanwhile than were needed.
    spare = reads._pool.get_stats().get("pool_available", 0)
    await reads.give_back(lent.pop())
    assert reads._pool.get_stats()["pool_available"] == spare
    monkeypatch.setattr(pool, "AT_HAND_SECONDS", 0)
    await reads.give_back(lent.pop())
    assert reads._pool.get_stats()["pool_available"] == spare + 2
    await reads.give_back(lent.pop())


async def test_whoever_gives_all_back_may_be_told_to_stop_at_once(read_pool: None) -> None:
    ours = the_pool()
    for taken in [await ours.take() for _ in range(3)]:
        await ours.give_back(taken)
    giving = asyncio.ensure_future(ours.give_all_back())
    asyncio.get_running_loop().call_soon(giving.cancel)
    with pytest.raises(asyncio.CancelledError):
        await giving

    async def all_are_back() -> bool:
        return ours._pool.get_stats()["pool_available"] >= 3

    await until(all_are_back)
