"""What a running server answers when connections are few, slow or dead; and that it comes back by itself."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from psycopg.conninfo import conninfo_to_dict

from apps.core import pool
from apps.posts.models import PostStatus
from config.embedded_postgres import running
from tests.api import Api
from tests.backends import Backends, until
from tests.make import Make, gid
from tests.proxy import network
from tests.serving import Exchange, operations_at_work, serving

pytestmark = pytest.mark.django_db(transaction=True)

POSTS, TAGS = "{ posts { nodes { id author { id } } } }", "{ tags { nodes { id } } }"
MUTATION = "mutation($id: ID!) { archivePost(input: {id: $id}) { post { status } errors { code } } }"
# Seconds that an answer may take beyond what it waits for. No test of speed: machines are busy.
LITTLE = 5.0


@pytest.fixture(autouse=True)
def djangos_pool_is_new(nothing_stays_connected: None) -> Iterator[None]:
    """Before, for what a server sets of its connections; and after, for whoever comes next and is none."""
    django: Any = connections["default"]
    django.close_pool()
    yield
    django.close_pool()


def code_of(body: Any) -> str:
    """The code of the first error, or OK."""
    return str(body["errors"][0]["extensions"]["code"]) if "errors" in body else "OK"


async def codes_at_once(api: Api, query: str, number: int) -> set[str]:
    """What becomes of `number` requests at the same time."""
    requests = [api.client.post("/graphql/", json={"query": query}) for _ in range(number)]
    return {code_of(response.json()) for response in await asyncio.gather(*requests)}


# Few


async def test_a_request_that_gets_no_connection_is_told_so_in_time(api: Api, server: Backends, settings: Any) -> None:
    settings.READ_POOL_MAX, settings.READ_POOL_TIMEOUT_SECONDS = 1, 0.3
    async with serving():
        async with server.locked("posts_tag"):
            holder = Exchange(TAGS)
            await server.until_waiting()
            started = time.monotonic()
            answer = await api(POSTS)
            assert time.monotonic() - started < 0.3 + LITTLE
            assert (answer.status, answer.codes) == (200, ["SERVICE_UNAVAILABLE"])
            assert await codes_at_once(api, POSTS, 5) == {"SERVICE_UNAVAILABLE"}
            # What needs no connection is answered.
            assert (await api("{ viewer { id } __typename }")).data["viewer"] is None
        await holder.task
        assert holder.answer == {"data": {"tags": {"nodes": []}}}
        assert (await api(POSTS)).data == {"posts": {"nodes": []}}


async def test_a_viewer_who_cannot_be_identified_is_not_taken_for_nobody(
    api: Api, make: Make, server: Backends, settings: Any
) -> None:
    settings.READ_POOL_MAX, settings.READ_POOL_TIMEOUT_SECONDS = 1, 0.2
    author = await api.as_(await make.user())
    async with serving():
        async with server.locked("posts_tag"):
            holder = Exchange(TAGS)
            await server.until_waiting()
            answer = await author("{ viewer { id } }")
            assert (answer.status, answer.codes) == (503, ["SERVICE_UNAVAILABLE"])
            assert "data" not in answer.body
        await holder.task
        assert (await author("{ viewer { id } }")).data["viewer"] is not None


async def test_more_requests_than_connections_wait_their_turn(api: Api, make: Make, settings: Any) -> None:
    settings.READ_POOL_MAX = 2
    await make.post()
    async with serving():
        for _ in range(3):
            assert await codes_at_once(api, POSTS, 40) == {"OK"}


# Dead


async def test_backends_that_end_between_requests_are_replaced(api: Api, make: Make, server: Backends) -> None:
    author = await api.as_((await make.post()).author)
    async with serving():
        for _ in range(3):
            assert await codes_at_once(api, POSTS, 20) == {"OK"}
            assert await server.terminate() > 1
            answer = await author("{ viewer { email posts { totalCount } } }")
            assert answer.data["viewer"]["posts"] == {"totalCount": 1}
            assert await server.terminate() > 0
            assert await codes_at_once(api, POSTS, 20) <= {"OK", "SERVICE_UNAVAILABLE"}
            assert await codes_at_once(api, POSTS, 20) == {"OK"}


async def test_the_first_write_after_all_idle_backends_have_ended_is_done(
    api: Api, make: Make, server: Backends
) -> None:
    """As after a restart of PostgreSQL: one that has many connections of which none is alive."""
    post = await make.post()
    author = await api.as_(post.author)
    async with serving():
        async with server.locked("posts_post"):
            writes = [Exchange(MUTATION, author.token, id=gid(post)) for _ in range(8)]
            await server.until_waiting(len(writes))
        await asyncio.gather(*(write.task for write in writes))
        assert await server.terminate() >= len(writes)
        started = time.monotonic()
        answer = await author(MUTATION, id=gid(post))
        assert time.monotonic() - started < LITTLE
        assert answer.data["archivePost"]["post"] == {"status": "ARCHIVED"}


async def test_backends_that_end_during_requests_are_replaced_once(api: Api, make: Make, server: Backends) -> None:
    await make.post()
    async with serving():
        for times in (1, 2):
            async with server.locked("posts_post"):
                requests = [Exchange(POSTS) for _ in range(5)]
                for _ in range(times):
                    await server.until_waiting(5)
                    assert await server.terminate() >= 5
                if times == 1:
                    await server.until_waiting(5)
            await asyncio.gather(*(request.task for request in requests))
            codes = {code_of(request.answer) for request in requests}
            assert codes == {"OK" if times == 1 else "SERVICE_UNAVAILABLE"}
            assert await codes_at_once(api, POSTS, 10) == {"OK"}


async def test_a_write_whose_backend_ends_is_not_done_and_not_repeated(api: Api, make: Make, server: Backends) -> None:
    post = await make.post()
    author = await api.as_(post.author)
    async with serving():
        async with server.locked("posts_post"):
            request = Exchange(MUTATION, author.token, id=gid(post))
            await server.until_waiting()
            await server.terminate()
            await request.task
        assert code_of(request.answer) == "SERVICE_UNAVAILABLE"
        await server.until_idle(LITTLE)
        assert (await api("query($id: ID!) { post(id: $id) { status } }", id=gid(post))).data["post"] is not None
        answer = await author(MUTATION, id=gid(post))
        assert answer.data["archivePost"] == {"post": {"status": "ARCHIVED"}, "errors": []}


async def test_the_database_goes_away_and_comes_back(
    api: Api, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.READ_POOL_TIMEOUT_SECONDS = 0.5
    with ExitStack() as first_run:
        url = first_run.enter_context(running(tmp_path, durable=False))
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE posts_tag (id bigint PRIMARY KEY, name text, slug text)")
        # The pool connects to what Django's settings say.
        place = conninfo_to_dict(url)
        for setting, name in {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}.items():
            monkeypatch.setitem(connections["default"].settings_dict, name, place[setting])
        async with serving():
            assert await codes_at_once(api, TAGS, 10) == {"OK"}
            first_run.close()
            for number in (1, 5, 1):
                started = time.monotonic()
                assert await codes_at_once(api, TAGS, number) == {"SERVICE_UNAVAILABLE"}
                assert time.monotonic() - started < 0.5 + LITTLE
            with running(tmp_path, durable=False):

                async def is_back() -> bool:
                    return await codes_at_once(api, TAGS, 1) == {"OK"}

                await until(is_back)
                assert await codes_at_once(api, TAGS, 20) == {"OK"}


async def test_a_server_that_starts_before_its_database_serves_when_that_is_there(
    api: Api, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.READ_POOL_TIMEOUT_SECONDS = 0.5
    with running(tmp_path, durable=False) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE posts_tag (id bigint PRIMARY KEY, name text, slug text)")
    place = conninfo_to_dict(url)
    for setting, name in {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}.items():
        monkeypatch.setitem(connections["default"].settings_dict, name, place[setting])
    async with serving():
        assert await codes_at_once(api, TAGS, 1) == {"SERVICE_UNAVAILABLE"}
        with running(tmp_path, durable=False):

            async def is_there() -> bool:
                return await codes_at_once(api, TAGS, 1) == {"OK"}

            await until(is_there)


# Slow


async def test_a_request_over_its_time_is_answered_and_its_statement_cancelled(
    api: Api, server: Backends, settings: Any
) -> None:
    async with serving():
        assert (await api(POSTS)).codes == []
        settings.GRAPHQL_TIMEOUT_SECONDS = 0.3
        async with server.locked("posts_post"):
            started = time.monotonic()
            answer = await api(POSTS)
            assert time.monotonic() - started < 0.3 + LITTLE
            assert (answer.status, answer.codes) == (504, ["TIMEOUT"])
            await server.until_idle(LITTLE)
        assert (await api(POSTS)).codes == []


async def test_the_server_stops_a_statement_over_its_time_by_itself(api: Api, server: Backends, settings: Any) -> None:
    """It would even if nobody were left to cancel it."""
    settings.GRAPHQL_TIMEOUT_SECONDS = 0.3
    async with serving():
        settings.GRAPHQL_TIMEOUT_SECONDS = 120
        async with server.locked("posts_post"):
            answer = await api(POSTS)
            assert (answer.status, answer.codes) == (200, ["SERVICE_UNAVAILABLE"])
            await server.until_idle(LITTLE)
        assert (await api(POSTS)).codes == []


async def test_many_requests_over_their_time_leave_nothing_behind(
    api: Api, make: Make, server: Backends, settings: Any
) -> None:
    settings.READ_POOL_MAX, settings.GRAPHQL_TIMEOUT_SECONDS = 3, 0.3
    await make.post(status=PostStatus.PUBLISHED)
    async with serving():
        async with server.locked("posts_post"):
            assert await codes_at_once(api, POSTS, 12) <= {"TIMEOUT", "SERVICE_UNAVAILABLE"}
            await server.until_idle(LITTLE)
        settings.GRAPHQL_TIMEOUT_SECONDS = 120
        assert await codes_at_once(api, POSTS, 12) == {"OK"}
        assert pool.is_open()


async def test_a_write_waits_for_a_lock_for_its_time_only(
    api: Api, make: Make, server: Backends, settings: Any
) -> None:
    """Nobody could interrupt its thread: with its connection it would be gone for as long as the lock is held."""
    settings.DATABASE_LOCK_TIMEOUT_SECONDS = 0.3
    post = await make.post(status=PostStatus.PUBLISHED)
    author = await api.as_(post.author)
    django: Any = connections["default"]
    django.close_pool()  # a server has no pool before it starts
    async with serving():
        async with server.locked("posts_post"):
            started = time.monotonic()
            answer = await author(MUTATION, id=gid(post))
            assert time.monotonic() - started < 0.3 + LITTLE
            assert (answer.status, answer.codes) == (200, ["SERVICE_UNAVAILABLE"])
            await server.until_idle(LITTLE)
        assert (await author(MUTATION, id=gid(post))).data == {
            "archivePost": {"post": {"status": "ARCHIVED"}, "errors": []}
        }


async def test_a_write_that_the_server_stops_is_told_so(api: Api, make: Make, server: Backends, settings: Any) -> None:
    post = await make.post(status=PostStatus.PUBLISHED)
    author = await api.as_(post.author)
    async with serving(), server.locked("posts_post"):
        write = asyncio.ensure_future(author(MUTATION, id=gid(post)))
        await server.until_waiting()
        await server.cancel()
        assert (await write).codes == ["SERVICE_UNAVAILABLE"]


# Silent


async def test_a_network_that_stands_still_keeps_nobody_waiting(
    api: Api, make: Make, settings: Any, tmp_path: Path
) -> None:
    await make.post()
    async with network(tmp_path) as between, AsyncExitStack() as stack:
        with between.used():
            await stack.enter_async_context(serving())
        assert await codes_at_once(api, POSTS, 10) == {"OK"}
        settings.GRAPHQL_TIMEOUT_SECONDS = 0.3
        between.stand_still()
        for number in (1, 20):
            started = time.monotonic()
            assert await codes_at_once(api, POSTS, number) == {"TIMEOUT"}
            assert time.monotonic() - started < 0.3 + LITTLE
        between.go_on()
        settings.GRAPHQL_TIMEOUT_SECONDS = 120

        async def is_over() -> bool:
            return not operations_at_work()

        await until(is_over)
        assert await codes_at_once(api, POSTS, 20) == {"OK"}


@pytest.mark.filterwarnings("error")
async def test_clients_that_leave_at_any_moment_take_no_connection_with_them(
    api: Api, make: Make, server: Backends, settings: Any
) -> None:
    """Left at random moments by hundreds, the pool has all that it had, and the server runs nothing for nobody."""
    await make.post()
    settings.READ_POOL_MAX, settings.READ_POOL_TIMEOUT_SECONDS = 3, 2.0
    posts, users = "posts { nodes { id author { id } tags { id } } }", "users { nodes { id posts { nodes { id } } } }"
    query = f"{{ {posts} {users} tags {{ nodes {{ id }} }} }}"
    async with serving():
        for turn in range(60):
            reads = [asyncio.ensure_future(api.client.post("/graphql/", json={"query": query})) for _ in range(6)]
            for _ in range(turn):
                await asyncio.sleep(0)
            for read in reads:
                read.cancel()
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            for read in reads:
                read.cancel()
            await asyncio.gather(*reads, return_exceptions=True)
        await server.until_idle(LITTLE)
        assert await codes_at_once(api, query, 20) == {"OK"}
    gc.collect()
