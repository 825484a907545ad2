"""From a write to its subscribers: outbox, worker, NOTIFY or Redis, and whatever may be away in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections, transaction
from psycopg.conninfo import conninfo_to_dict
from redis import Redis, RedisError

from apps.comments.tasks import comments_on
from apps.core import events
from apps.core.db import conninfo
from apps.core.ids import global_id
from apps.posts.models import PostStatus
from config.asgi import subscriptions
from config.embedded_postgres import running
from schema.pubsub import Body, Feed, Hub, Topic
from tests.api import Api
from tests.backends import Backends, until
from tests.make import Make, gid
from tests.serving import serving
from tests.streams import over_events, over_socket, until_there_are
from tests.tasks import work_off

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_stays_connected")]

COMMENTS = "subscription($post: ID!) { commentAdded(postId: $post) { body author { id } } }"
POSTS = "subscription { postPublished { id title } }"
REDIS_URL, ELSEWHERE = "redis://127.0.0.1:6379/12", "redis://127.0.0.1:6379/13"
# For a key.
TOO_MUCH = 2**99


@pytest.fixture(params=["postgresql", "redis"])
def carrier(request: pytest.FixtureRequest, settings: Any) -> str:
    if request.param == "redis":
        settings.PUBSUB_URL = redis_url()
    return str(request.param)


def redis_url() -> str:
    with Redis.from_url(REDIS_URL) as server:
        try:
            server.ping()
        except RedisError as error:
            pytest.skip(f"NOT TESTED: nothing answers at {REDIS_URL} ({error})")
    return REDIS_URL


@pytest.mark.usefixtures("carrier")
async def test_what_is_written_reaches_who_listens(api: Api, make: Make) -> None:
    post = await make.post()
    commenter = await api.as_(await make.user())
    async with (
        serving(),
        over_socket(COMMENTS, post=gid(post)) as reader,
        over_events(COMMENTS, (await api.as_(post.author)).token, post=gid(post)) as author,
        over_socket(POSTS) as other,
    ):
        await until_there_are(3)
        for body in ("One.", "Two."):
            payload = await commenter.payload("addComment", "comment { author { id } }", postId=gid(post), body=body)
            await sync_to_async(work_off)()
            told = {"body": body, "author": payload["comment"]["author"]}
            for live in (reader, author):
                assert await live.next() == {"data": {"commentAdded": told}}
        written = await commenter.payload("createPost", "post { id title }", title="News", body="Text.", publish=True)
        await sync_to_async(work_off)()
        assert await other.next() == {"data": {"postPublished": written["post"]}}


async def test_what_was_rolled_back_is_not_told(api: Api, make: Make) -> None:
    post, other = await make.post(), await make.post()

    @sync_to_async
    def say() -> None:
        with transaction.atomic():
            events.publish("post_published", other.pk)
            transaction.set_rollback(True)
        events.publish("post_published", post.pk)

    async with serving(), over_socket(POSTS) as live:
        await until_there_are(1)
        await say()
        assert (await live.next())["data"]["postPublished"]["id"] == gid(post)


async def test_what_anybody_may_say_is_no_event(make: Make, server: Backends) -> None:
    post = await make.post()
    async with serving(), over_socket(POSTS) as live:
        await until_there_are(1)
        async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection:
            for text in (
                "",
                "post_published",
                "post_published x",
                "post_published -1",
                " 1",
                f"post_published {2**99}",
                f"post_published {'9' * 7_000}",
            ):
                await connection.execute("SELECT pg_notify(%s, %s)", [events.CHANNEL, text])
            await connection.execute("SELECT pg_notify(%s, %s)", [events.CHANNEL, f"post_published {post.pk}"])
        # It has been heard without a break: the listener has not had to connect again.
        assert (await live.next())["data"]["postPublished"]["id"] == gid(post)


async def test_subscriptions_hold_no_connection_but_one(api: Api, make: Make, settings: Any, server: Backends) -> None:
    settings.READ_POOL_MAX = 1
    async with serving():
        await api("{ posts { nodes { id } } }")
        before = await listening(server)
        async with AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(over_socket(POSTS))
            await until_there_are(20)
            assert (before, await listening(server)) == (0, 1)
            assert (await api("{ posts { nodes { id } } }")).codes == []
            assert await server.active() == []
        await until_there_are(0)

        async def nobody_listens() -> bool:
            return await listening(server) == 0

        await until(nobody_listens, 10)


async def test_an_event_for_many_leaves_connections_to_requests(
    api: Api, make: Make, settings: Any, server: Backends
) -> None:
    settings.READ_POOL_MAX = 2
    comment = await make.comment()
    post = global_id("Post", comment.post_id)
    async with serving(), AsyncExitStack() as stack:
        # Each is executed by itself, because its variables are.
        opening = [over_socket(COMMENTS, post=post, own=number) for number in range(5)]
        lives = [await stack.enter_async_context(each) for each in opening]
        await until_there_are(5)
        async with server.locked("users_user"):
            await sync_to_async(events.publish)(comments_on(comment.post_id), comment.pk)
            await server.until_waiting(1)
            for _ in range(5):
                assert (await api("{ tags { nodes { id } } }")).data
            assert len(await server.waiting()) == 1
        for live in lives:
            assert (await live.next())["data"]["commentAdded"]["body"] == comment.body


async def listening(server: Backends) -> int:
    """How many connections hear events."""
    return len([query for _, query in await server._others("true") if query.startswith("LISTEN broadside_events")])


async def test_events_are_heard_again_after_connections_were_ended(
    make: Make, server: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    post = await make.post()
    async with serving(), over_socket(POSTS) as live:
        await until_there_are(1)
        await server.terminate()

        async def is_heard_again() -> bool:
            return await listening(server) == 1

        await until(is_heard_again, 10)
        await sync_to_async(connections.close_all)()
        await sync_to_async(events.publish)("post_published", post.pk)
        assert (await live.next())["data"]["postPublished"]["id"] == gid(post)
    said = [record.getMessage() for record in caplog.records if record.name == "broadside.events"]
    assert [text.partition(",")[0].partition(".")[0] for text in said] == [
        "Events are not heard",
        "Events are heard again",
    ]


async def test_an_outage_of_postgresql_is_logged_once_and_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    async def tell(key: int, feeds: Sequence[Feed[None]]) -> None:
        heard.append(key)

    hub: Hub[None] = Hub()
    with ExitStack() as first_run:
        url = first_run.enter_context(running(tmp_path, durable=False))
        place = conninfo_to_dict(url)
        for setting, name in {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}.items():
            monkeypatch.setitem(connections["default"].settings_dict, name, place[setting])
        feed = hub.join(Topic("news", tell, lambda code: Body(b"")), "somebody", None)
        try:
            await hub.until_listening()
            await asyncio.to_thread(first_run.close)
            caplog.set_level(logging.WARNING, "broadside.events")

            async def is_told() -> bool:
                return bool(caplog.records)

            await until(is_told, 10)
            with pytest.raises(Exception, match="not available"):
                await hub.until_listening()
            with running(tmp_path, durable=False):

                async def is_heard() -> bool:
                    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                        await connection.execute("SELECT pg_notify(%s, 'news 7')", [events.CHANNEL])
                    return bool(heard)

                await until(is_heard, 20)
                feed.close()
        finally:
            feed.close()
    assert set(heard) == {7}
    assert [record.getMessage()[:22] for record in caplog.records] == [
        "Events are not heard, ",
        "Events are heard again",
    ]


async def test_a_redis_that_is_away_has_the_worker_try_again_and_clients_told(
    make: Make, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PUBSUB_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(OperationalError, match="Redis"):
        await sync_to_async(events.publish)("post_published", 1)
    async with over_socket(POSTS) as live:
        [error] = await live.refused()
        assert error["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert subscriptions.hub.count == 0


async def test_sites_that_share_a_redis_do_not_hear_each_other(make: Make, settings: Any) -> None:
    settings.PUBSUB_URL = redis_url()
    mine, elsewhere = await make.post(), await make.post()
    async with serving(), over_socket(POSTS) as live:
        await until_there_are(1)
        settings.PUBSUB_URL = ELSEWHERE
        await sync_to_async(events.publish)("post_published", elsewhere.pk)
        settings.PUBSUB_URL = REDIS_URL
        await sync_to_async(events.publish)("post_published", mine.pk)
        assert (await live.next())["data"]["postPublished"]["id"] == gid(mine)


async def test_a_draft_that_is_published_is_news_once(api: Api, make: Make) -> None:
    post = await make.post(status=PostStatus.DRAFT)
    author = await api.as_(post.author)
    async with serving(), over_socket(POSTS) as live:
        await until_there_are(1)
        for mutation in ("publishPost", "archivePost", "publishPost"):
            await author.payload(mutation, "post { id }", id=gid(post))
            await sync_to_async(work_off)()
        await author.payload("createPost", "post { id }", title="Next", publish=True)
        await sync_to_async(work_off)()
        told = [(await live.next())["data"]["postPublished"]["title"] for _ in range(2)]
    assert told == [post.title, "Next"]
