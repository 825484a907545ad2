"""Clients that hang up before they are answered: a query is given up, on the server too; a write is carried through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async

from apps.posts.models import Post, PostStatus
from apps.users.models import User
from tests.backends import Backends, until
from tests.make import Make, access_token, gid
from tests.serving import Exchange, operations_at_work, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_stays_connected")]

QUERY = "query Feed { posts { nodes { id author { id } } } }"
TWO_WRITES = """mutation($one: ID!, $two: ID!) {
  one: archivePost(input: {id: $one}) { post { status author { posts { totalCount } } } errors { code } }
  two: archivePost(input: {id: $two}) { post { status } errors { code } }
}"""


@pytest.fixture
async def server(server: Backends) -> AsyncIterator[Backends]:
    async with serving():
        yield server


async def until_nothing_runs(server: Backends) -> None:
    """Return as soon as neither the server nor the application is at work for anybody."""

    async def is_over() -> bool:
        return not operations_at_work() and not await server.active()

    await until(is_over, 10)


async def one_is_at_work() -> bool:
    return operations_at_work() == 1


async def test_a_query_is_given_up_when_its_client_leaves(
    make: Make, server: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    await make.post()
    async with server.locked("posts_post"):
        with caplog.at_level(logging.INFO, "broadside"):
            left, stayed = Exchange(QUERY), Exchange(QUERY)
            await server.until_waiting(2)
            await left.leave()
            await asyncio.wait_for(left.task, 10)
            # Only that one's statement is cancelled, while the lock is still there.
            await server.until_waiting(1)
            await until(one_is_at_work)
        ours = [record for record in caplog.records if record.name.startswith("broadside")]
        assert [(record.levelname, record.getMessage()) for record in ours] == [("INFO", "Feed")]
        assert not stayed.task.done()
    await stayed.task
    assert len(stayed.answer["data"]["posts"]["nodes"]) == 1
    await until_nothing_runs(server)


async def test_a_query_is_given_up_wherever_it_is(make: Make, server: Backends) -> None:
    """While the viewer is looked for, and while several statements run side by side."""
    post = await make.post()
    token = await sync_to_async(access_token)(post.author)
    for table, query, statements in (
        ("users_session", "{ viewer { id } }", 1),
        ("users_user", "{ posts { nodes { author { id } } } }", 1),
        ("posts_tagging", "{ posts { nodes { id tags { name } } } }", 1),
        ("posts_post", "{ posts { totalCount } a: posts(first: 2) { totalCount } tags { nodes { id } } }", 2),
    ):
        async with server.locked(table):
            request = Exchange(query, token if table == "users_session" else None)
            await server.until_waiting(statements)
            await request.leave()
            await asyncio.wait_for(request.task, 10)
            await until_nothing_runs(server)


async def test_many_clients_leave_at_once_and_the_next_are_served(make: Make, server: Backends) -> None:
    await make.post()
    async with server.locked("posts_post"):
        requests = [Exchange(QUERY) for _ in range(30)]
        # As many as there are connections; the others wait for one.
        await server.until_waiting(10)
        await asyncio.gather(*(request.leave() for request in requests))
        await asyncio.gather(*(asyncio.wait_for(request.task, 10) for request in requests))
        await until_nothing_runs(server)
    after = [Exchange(QUERY) for _ in range(30)]
    await asyncio.gather(*(request.task for request in after))
    assert all(len(request.answer["data"]["posts"]["nodes"]) == 1 for request in after)


async def statuses(*posts: Post) -> list[str]:
    return [(await Post.objects.aget(pk=post.pk)).status for post in posts]


async def test_a_write_is_carried_through_when_its_client_leaves(make: Make, server: Backends) -> None:
    """All of them: the second mutation had not begun when the client left."""
    author: User = await make.user()
    one, two = [await make.post(author=author) for _ in range(2)]
    token = await sync_to_async(access_token)(author)
    async with server.locked("posts_post"):
        request = Exchange(TWO_WRITES, token, one=gid(one), two=gid(two))
        await server.until_waiting()
        await request.leave()
        # Everything that hears of it has its turn.
        for _ in range(100):
            await asyncio.sleep(0)
        assert not request.task.done()
        assert await server.waiting()
    await request.task
    assert await statuses(one, two) == [PostStatus.ARCHIVED, PostStatus.ARCHIVED]
    payloads = request.answer["data"]
    assert payloads["one"] == {"post": {"status": "ARCHIVED", "author": {"posts": {"totalCount": 2}}}, "errors": []}
    assert payloads["two"] == {"post": {"status": "ARCHIVED"}, "errors": []}
    await until_nothing_runs(server)


async def test_a_write_is_not_begun_when_its_client_leaves_before(make: Make, server: Backends) -> None:
    """While the viewer is still being looked for nothing has been changed."""
    post = await make.post()
    token = await sync_to_async(access_token)(post.author)
    async with server.locked("users_session"):
        request = Exchange(TWO_WRITES, token, one=gid(post), two=gid(post))
        await server.until_waiting()
        await request.leave()
        await asyncio.wait_for(request.task, 10)
        await until_nothing_runs(server)
    await until_nothing_runs(server)
    assert await statuses(post) == [PostStatus.PUBLISHED]


async def test_a_client_that_leaves_after_its_answer_changes_nothing(make: Make, server: Backends) -> None:
    await make.post()
    request = Exchange(QUERY)
    await request.task
    assert "errors" not in request.answer
    assert not operations_at_work()
