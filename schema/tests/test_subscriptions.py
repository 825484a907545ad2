"""Subscriptions over both transports: how they begin, what an event is to whom, and how they end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from django.utils import timezone

from apps.comments.models import Comment
from apps.comments.tasks import comments_on
from apps.core.ids import global_id
from apps.posts.models import BODY_MAX, Post, PostStatus
from apps.posts.tasks import POST_PUBLISHED
from apps.users.models import Session, User
from config.asgi import subscriptions
from schema import pubsub
from schema.sse import PIECE
from schema.subscriptions import MAX_EVENT_BYTES
from tests.api import Api
from tests.make import Make, gid
from tests.sockets import Close, connected
from tests.streams import TRANSPORTS, EventSource, Transport, say, until_there_are

pytestmark = pytest.mark.django_db

POSTS = "subscription { postPublished { id } }"
COMMENTS = "subscription($post: ID!) { commentAdded(postId: $post) { id body author { id } viewerCanEdit } }"
COMMENT_IDS = "subscription($post: ID!) { commentAdded(postId: $post) { id } }"
THREADS = "posts(first: 100) { nodes { comments(first: 100) { nodes { id body depth } } } }"
ENDED = "UNAUTHENTICATED: This session has ended. Sign in again."


@pytest.fixture(params=TRANSPORTS)
def subscribed(request: pytest.FixtureRequest) -> Transport:
    return TRANSPORTS[request.param]


@pytest.fixture(autouse=True)
async def _nothing_stays() -> Any:
    yield
    await until_there_are(0)


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == name]


def codes(errors: Any) -> list[str]:
    return [error["extensions"]["code"] for error in errors]


# To whom an event is told


async def test_a_comment_is_told_to_each_as_they_see_it(api: Api, make: Make, subscribed: Transport) -> None:
    comment = await make.comment()
    author, stranger = await api.as_(comment.author), await api.as_(await make.user())
    post = global_id("Post", comment.post_id)
    async with (
        subscribed(COMMENTS, post=post) as anonymous,
        subscribed(COMMENTS, author.token, post=post) as writer,
        subscribed(COMMENTS, stranger.token, post=post) as reader,
    ):
        await until_there_are(3)
        say(comments_on(comment.post_id), comment.pk)
        for live, may_edit in ((anonymous, False), (writer, True), (reader, False)):
            fields = {"id": gid(comment), "body": comment.body, "viewerCanEdit": may_edit}
            told = fields | {"author": {"id": gid(comment.author)}}
            assert await live.next() == {"data": {"commentAdded": told}}


@pytest.mark.parametrize("status", PostStatus)
async def test_a_post_is_told_to_who_may_see_it_by_then(
    api: Api, make: Make, subscribed: Transport, status: PostStatus
) -> None:
    hidden, shown = await make.post(status=status), await make.post()
    viewers: dict[str, str | None] = {
        "anonymous": None,
        "stranger": (await api.as_(await make.user())).token,
        "author": (await api.as_(hidden.author)).token,
        "editor": (await api.as_(await make.user(role="editor"))).token,
    }
    all_see = status == PostStatus.PUBLISHED
    async with AsyncExitStack() as stack:
        lives = {name: await stack.enter_async_context(subscribed(POSTS, token)) for name, token in viewers.items()}
        await until_there_are(4)
        say(POST_PUBLISHED, hidden.pk)
        say(POST_PUBLISHED, shown.pk)
        for name, live in lives.items():
            for post in [hidden, shown] if all_see or name in {"author", "editor"} else [shown]:
                assert await live.next() == {"data": {"postPublished": {"id": gid(post)}}}


async def test_what_is_gone_by_then_is_passed_over(make: Make, subscribed: Transport) -> None:
    post = await make.post()
    deleted, last = await make.comment(post=post), await make.comment(post=post)
    place = await make.comment(post=post)
    await make.comment(parent=place)
    await Comment.objects.filter(pk=place.pk).aupdate(body="", deleted_at=timezone.now())
    await Comment.objects.filter(pk=deleted.pk).adelete()
    async with subscribed(COMMENT_IDS, post=gid(post)) as live:
        await until_there_are(1)
        for key in (deleted.pk, place.pk, last.pk):
            say(comments_on(post.pk), key)
        assert await live.next() == {"data": {"commentAdded": {"id": gid(last)}}}


async def test_only_the_comments_of_the_post_are_told(make: Make, subscribed: Transport) -> None:
    other, mine = await make.comment(), await make.comment()
    async with subscribed(COMMENT_IDS, post=global_id("Post", mine.post_id)) as live:
        await until_there_are(1)
        for comment in (other, mine):
            say(comments_on(comment.post_id), comment.pk)
        assert await live.next() == {"data": {"commentAdded": {"id": gid(mine)}}}


async def test_a_post_that_is_taken_back_has_nothing_to_tell(make: Make, subscribed: Transport) -> None:
    comment = await make.comment()
    async with subscribed(COMMENT_IDS, post=global_id("Post", comment.post_id)) as live:
        await until_there_are(1)
        posts = Post.objects.filter(pk=comment.post_id)
        await posts.aupdate(status=PostStatus.ARCHIVED)
        say(comments_on(comment.post_id), comment.pk)
        await told_all()
        await posts.aupdate(status=PostStatus.PUBLISHED)
        later = await make.comment(post_id=comment.post_id)
        say(comments_on(comment.post_id), later.pk)
        assert await live.next() == {"data": {"commentAdded": {"id": gid(later)}}}


async def told_all() -> None:
    """Return when all that was said has been told."""
    telling = [task for task in asyncio.all_tasks() if "_Audience" in repr(task)]
    await asyncio.wait_for(asyncio.gather(*telling), 10)


@pytest.mark.parametrize(
    "change",
    [
        lambda user: Session.objects.filter(user=user).aupdate(revoked_at=timezone.now()),
        lambda user: Session.objects.filter(user=user).aupdate(expires_at=timezone.now()),
        lambda user: User.objects.filter(pk=user.pk).aupdate(is_active=False),
        lambda user: Session.objects.filter(user=user).adelete(),
    ],
    ids=["revoked", "expired", "locked", "gone"],
)
async def test_whose_session_has_ended_is_told_that_and_nothing_else(
    api: Api, make: Make, subscribed: Transport, change: Any
) -> None:
    comment, user = await make.comment(), await make.user()
    post = global_id("Post", comment.post_id)
    async with (
        subscribed(COMMENT_IDS, (await api.as_(user)).token, post=post) as live,
        subscribed(COMMENT_IDS, (await api.as_(await make.user())).token, post=post) as other,
    ):
        await until_there_are(2)
        await change(user)
        say(comments_on(comment.post_id), comment.pk)
        assert codes(await live.refused()) == ["UNAUTHENTICATED"]
        assert (await other.next())["data"]
        if subscribed is TRANSPORTS["websocket"]:
            assert await live.socket.closed() == Close(4403, ENDED)  # type: ignore[attr-defined]


async def test_rights_are_those_of_the_moment_of_the_event(api: Api, make: Make, subscribed: Transport) -> None:
    post, editor = await make.post(status=PostStatus.DRAFT), await make.user()
    async with subscribed(POSTS, (await api.as_(editor)).token) as live:
        await until_there_are(1)
        await User.objects.filter(pk=editor.pk).aupdate(is_staff=True)
        say(POST_PUBLISHED, post.pk)
        assert await live.next() == {"data": {"postPublished": {"id": gid(post)}}}


# What it costs


async def test_an_event_takes_the_same_statements_for_one_subscriber_and_for_many(
    api: Api, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The row and the viewers. What is selected beyond is read for each viewer, and once for all without one."""
    comment, query = await make.comment(), "subscription($post: ID!) { commentAdded(postId: $post) { %s } }"
    post = global_id("Post", comment.post_id)
    tokens = [(await api.as_(await make.user())).token for _ in range(3)]
    for selected, signed_in, each in (("id body", [], 0), ("author { bio }", [], 1), ("id body", tokens, 0)):
        for number in (1, 3):
            caplog.clear()
            async with AsyncExitStack() as stack:
                given = signed_in[:number] or [None] * number
                for token in given:
                    opening = TRANSPORTS["sse"](query % selected, token, post=post)
                    live = await stack.enter_async_context(opening)
                await until_there_are(number)
                say(comments_on(comment.post_id), comment.pk)
                assert await live.next()
                await told_all()
            [line] = lines(caplog, "broadside.event")
            assert (line["statements"], line["subscribers"]) == (1 + bool(signed_in) + each, number)
            begun = {line["statements"] for line in lines(caplog, "broadside.operation")}
            assert begun == {1 + bool(signed_in)}


async def test_nothing_is_read_for_nobody(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    comment = await make.comment()
    async with TRANSPORTS["websocket"](COMMENT_IDS, post=global_id("Post", comment.post_id)):
        await until_there_are(1)
        say(comments_on(comment.post_id + 1), comment.pk)
        say(POST_PUBLISHED, comment.post_id)
        await told_all()
    assert lines(caplog, "broadside.event") == []


# What cannot begin


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        (COMMENTS, {"post": "x"}, "BAD_USER_INPUT"),
        (COMMENTS, {"post": global_id("Comment", 1)}, "BAD_USER_INPUT"),
        (COMMENTS, {}, "BAD_USER_INPUT"),
        (COMMENTS, {"post": None}, "BAD_USER_INPUT"),
        (COMMENTS, {"post": {}}, "BAD_USER_INPUT"),
        ("subscription($post: ID = null) { commentAdded(postId: $post) { id } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { commentAdded(postId: "x") { id } }', {}, "BAD_USER_INPUT"),
        ("subscription { commentAdded { id } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { postPublished { id } b: postPublished { id } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { __typename }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { __schema { types { name } } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { postPublished @skip(if: true) { id } }", {}, "GRAPHQL_VALIDATION_FAILED"),
        (f"subscription {{ postPublished {{ id }} }} # {'x' * 5_000}", {}, "QUERY_TOO_COMPLEX"),
        (POSTS, {"unused": "x" * 5_000}, "QUERY_TOO_COMPLEX"),
        (f"subscription {{ postPublished {{ author {{ {THREADS} }} }} }}", {}, "QUERY_TOO_COMPLEX"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_is_wrong_is_told_at_the_start(
    subscribed: Transport, query: str, variables: dict[str, Any], code: str
) -> None:
    async with subscribed(query, **variables) as live:
        assert set(codes(await live.refused())) == {code}
        assert subscriptions.hub.count == 0


async def test_a_hidden_post_equals_a_missing_one(api: Api, make: Make, subscribed: Transport) -> None:
    draft = await make.post(status=PostStatus.DRAFT)
    told = []
    for post in (gid(draft), global_id("Post", 10**15)):
        async with subscribed(COMMENTS, post=post) as live:
            [error] = await live.refused()
            assert error["extensions"].pop("requestId")
            told.append(error)
    assert told[0] == told[1]
    assert told[0]["path"] == ["commentAdded"]
    assert told[0]["extensions"] == {"code": "NOT_FOUND", "status": 404}
    async with subscribed(COMMENTS, (await api.as_(draft.author)).token, post=gid(draft)):
        await until_there_are(1)


async def test_a_closed_site_tells_nobody_without_a_token(
    api: Api, make: Make, settings: Any, subscribed: Transport
) -> None:
    settings.PUBLIC_READS = False
    async with subscribed(POSTS) as live:
        assert codes(await live.refused()) == ["UNAUTHENTICATED"]
    async with subscribed(POSTS, (await api.as_(await make.user())).token):
        await until_there_are(1)


async def test_over_http_alone_there_are_no_subscriptions(api: Api) -> None:
    answer = await api(POSTS)
    assert (answer.status, answer.codes) == (400, ["BAD_USER_INPUT"])
    message = answer.body["errors"][0]["message"]
    assert "graphql-transport-ws" in message
    assert "text/event-stream" in message


async def test_one_too_many_is_refused(api: Api, make: Make, settings: Any, subscribed: Transport) -> None:
    settings.GRAPHQL_MAX_SUBSCRIPTIONS_PER_VIEWER = 1
    settings.GRAPHQL_MAX_SUBSCRIPTIONS = 3
    users = [await make.user() for _ in range(3)]
    tokens = [None, *[(await api.as_(user)).token for user in users]]
    async with AsyncExitStack() as stack:
        for number, token in enumerate(tokens[:3], start=1):
            await stack.enter_async_context(subscribed(POSTS, token))
            await until_there_are(number)
            # Of another session of the same viewer, or from the same address.
            again = (await api.as_(users[number - 2])).token if token else None
            async with subscribed(POSTS, again) as live:
                [error] = await live.refused()
                assert (error["extensions"]["code"], error["message"][:10]) == ("RATE_LIMITED", "At most 1 ")
        async with subscribed(POSTS, tokens[3]) as live:
            [error] = await live.refused()
            assert error["extensions"]["code"] == "RATE_LIMITED"
            assert "no room" in error["message"]
    async with subscribed(POSTS, tokens[3]):
        await until_there_are(1)


async def test_subscribing_counts_as_an_operation(settings: Any, subscribed: Transport) -> None:
    settings.RATE_LIMIT_ANONYMOUS = "1/hour"
    async with subscribed(POSTS), subscribed(POSTS) as live:
        assert codes(await live.refused()) == ["RATE_LIMITED"]


# What an event can do


async def test_an_error_belongs_to_its_event(make: Make, settings: Any, subscribed: Transport) -> None:
    post = await make.post()
    long, short = await make.comment(post=post, body="x" * 2_000), await make.comment(post=post)
    async with subscribed("subscription($post: ID!) { commentAdded(postId: $post) { body } }", post=gid(post)) as live:
        await until_there_are(1)
        settings.GRAPHQL_MAX_RESPONSE_BYTES = 1_000
        for comment in (long, short):
            say(comments_on(post.pk), comment.pk)
        [error] = (await live.next())["errors"]
        assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
        assert await live.next() == {"data": {"commentAdded": {"body": short.body}}}


async def test_an_event_that_is_too_large_is_an_error_of_its_own(make: Make, subscribed: Transport) -> None:
    large, small = await make.post(body="x" * BODY_MAX), await make.post()
    bodies = " ".join(f"body{number}: body" for number in range(MAX_EVENT_BYTES // BODY_MAX))
    async with subscribed(f"subscription {{ postPublished {{ {bodies} }} }}") as live:
        await until_there_are(1)
        for post in (large, small):
            say(POST_PUBLISHED, post.pk)
        assert codes((await live.next())["errors"]) == ["QUERY_TOO_COMPLEX"]
        assert "errors" not in await live.next()


async def test_a_large_event_goes_to_the_server_in_pieces(make: Make) -> None:
    post = await make.post(body="x" * BODY_MAX)
    source = EventSource({"query": "subscription { postPublished { body } }"}, None)
    assert await source.next_event() == ("", None)
    say(POST_PUBLISHED, post.pk)
    assert await source.next_event() == ("next", {"data": {"postPublished": {"body": post.body}}})
    await source.leave()
    assert source.largest <= PIECE < BODY_MAX


async def test_a_database_that_fails_is_an_error_of_the_event(
    make: Make, subscribed: Transport, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    comment = await make.comment()
    async with subscribed(COMMENT_IDS, post=global_id("Post", comment.post_id)) as live:
        await until_there_are(1)
        # No row has a key of this size, which PostgreSQL takes for a mistake.
        say(comments_on(comment.post_id), 2**70)
        [error] = (await live.next())["errors"]
        assert error["extensions"]["code"] == "INTERNAL"
    assert len(lines(caplog, "broadside.errors")) == 1


# How it ends


async def test_a_client_that_ends_it_leaves_nothing_behind(make: Make, subscribed: Transport) -> None:
    comment = await make.comment()
    async with subscribed(COMMENT_IDS, post=global_id("Post", comment.post_id)) as live:
        await until_there_are(1)
        await live.leave()
        await until_there_are(0)
    assert [task for task in asyncio.all_tasks() if task.get_name() == "events" and not task.cancelling()] == []


async def test_an_id_is_free_again_after_complete(make: Make) -> None:
    comment = await make.comment()
    async with connected() as socket:
        for _ in range(3):
            socket.subscribe(COMMENT_IDS, post=global_id("Post", comment.post_id))
            socket.send({"type": "complete", "id": "1"})
        socket.subscribe(COMMENT_IDS, post=global_id("Post", comment.post_id))
        await until_there_are(1)
        say(comments_on(comment.post_id), comment.pk)
        assert (await socket.next())["payload"]["data"]


async def test_subscriptions_count_among_the_operations_of_a_socket(settings: Any) -> None:
    settings.GRAPHQL_SOCKET_MAX_OPERATIONS = 2
    async with connected() as socket:
        for id in "123":
            socket.subscribe(POSTS, id)
        message = await socket.next()
        assert (message["type"], message["id"], codes(message["payload"])) == ("error", "3", ["RATE_LIMITED"])


async def test_who_takes_too_little_is_dropped_and_nobody_else(make: Make, subscribed: Transport) -> None:
    comment = await make.comment()
    post = global_id("Post", comment.post_id)
    async with subscribed(COMMENT_IDS, post=post) as slow, subscribed(COMMENT_IDS, post=post) as quick:
        await until_there_are(2)
        client = getattr(slow, "socket", None) or slow.source  # type: ignore[attr-defined]
        client.takes.clear()
        for _ in range(pubsub.MAX_EVENTS + 2):
            say(comments_on(comment.post_id), comment.pk)
            assert (await quick.next())["data"]
        await until_there_are(1)
        client.takes.set()
        assert (await slow.next())["data"]  # it was on its way
        if subscribed is TRANSPORTS["sse"]:
            assert codes(await slow.refused()) == ["RATE_LIMITED"]
        else:
            close = await client.closed()
            assert close.code == 1013
            assert close.reason.startswith("RATE_LIMITED: Events came faster")


async def test_who_takes_nothing_for_long_has_gone(make: Make, settings: Any, subscribed: Transport) -> None:
    comment = await make.comment()
    async with subscribed(COMMENT_IDS, post=global_id("Post", comment.post_id)) as slow:
        await until_there_are(1)
        client = getattr(slow, "socket", None) or slow.source  # type: ignore[attr-defined]
        settings.GRAPHQL_TIMEOUT_SECONDS = 0.1
        client.takes.clear()
        say(comments_on(comment.post_id), comment.pk)
        await until_there_are(0)


async def test_a_server_that_stops_ends_all_and_takes_no_more(subscribed: Transport) -> None:
    async with subscribed(POSTS) as live:
        await until_there_are(1)
        try:
            subscriptions.hub.stop()
            if subscribed is TRANSPORTS["sse"]:
                assert await live.source.events() == [("complete", None)]  # type: ignore[attr-defined]
            else:
                assert await live.socket.closed() == Close(1012, "The server is being stopped.")  # type: ignore[attr-defined]
            async with subscribed(POSTS) as another:
                assert codes(await another.refused()) == ["SERVICE_UNAVAILABLE"]
        finally:
            subscriptions.hub.start()
