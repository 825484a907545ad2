"""GraphQL as server-sent events: the form of a stream, its end, and who gets one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.comments.tasks import comments_on
from apps.core.ids import global_id
from apps.users.tokens import LEEWAY_SECONDS
from schema import sse
from schema.tests.test_subscriptions import COMMENT_IDS, POSTS, codes
from tests.api import Api
from tests.make import Make, gid
from tests.streams import TRANSPORTS, EventSource, in_url, say, until_there_are

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
async def _nothing_stays() -> Any:
    yield
    await until_there_are(0)


async def test_a_stream_is_kept_from_caches_and_buffers_and_says_that_it_is_there(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE", 0.01)
    source = EventSource({"query": POSTS}, None)
    assert [await source.next_event() for _ in range(3)] == [("", None)] * 3
    known = {name: source.headers.get(name) for name in ("content-type", "cache-control", "x-accel-buffering")}
    assert known == {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no"}
    assert (source.status, "x-request-id" in source.headers) == (200, True)
    await source.leave()


async def test_a_stream_ends_with_its_token(api: Api, make: Make, settings: Any) -> None:
    settings.JWT_ACCESS_LIFETIME = timedelta(seconds=1 - LEEWAY_SECONDS)
    async with TRANSPORTS["sse"](POSTS, (await api.as_(await make.user())).token) as live:
        [error] = await live.refused()
    assert (error["extensions"]["code"], error["message"]) == ("UNAUTHENTICATED", "The access token has expired.")


async def test_a_subscription_may_come_by_get(make: Make) -> None:
    comment = await make.comment()
    query = in_url(COMMENT_IDS, post=global_id("Post", comment.post_id))
    source = EventSource(None, None, method="GET", query_string=query)
    await until_there_are(1)
    say(comments_on(comment.post_id), comment.pk)
    assert await source.next_event() == ("", None)
    assert await source.next_event() == ("next", {"data": {"commentAdded": {"id": gid(comment)}}})
    await source.leave()


async def test_other_operations_are_one_event_long() -> None:
    answered = [("next", {"data": {"__typename": "Query"}}), ("complete", None)]
    assert await EventSource({"query": "{ __typename }"}, None).events() == answered
    by_get = EventSource(None, None, method="GET", query_string=in_url("{ __typename }"))
    assert await by_get.events() == answered
    mutation = 'mutation { logout(input: {refreshToken: "x"}) { success } }'
    [(_, body), completed] = await EventSource({"query": mutation}, None).events()
    assert body["data"]["logout"]
    assert completed == ("complete", None)
    refused = EventSource(None, None, method="GET", query_string=in_url(mutation))
    [(_, body), _] = await refused.events()
    assert (refused.status, codes(body["errors"])) == (400, ["BAD_USER_INPUT"])


async def test_a_bad_token_is_a_status_too() -> None:
    source = EventSource({"query": POSTS}, "bad")
    [(_, body), _] = await source.events()
    assert (source.status, source.headers["www-authenticate"]) == (401, "Bearer")
    assert codes(body["errors"]) == ["UNAUTHENTICATED"]


@pytest.mark.parametrize("accept", ["application/json, text/event-stream", "*/*, text/event-stream"])
async def test_a_client_that_takes_both_gets_json_where_there_is_one_answer(api: Api, accept: str) -> None:
    answer = await api.post({"query": "{ __typename }"}, headers={"Accept": accept})
    assert answer.data == {"__typename": "Query"}
    assert answer.headers["content-type"] == "application/json"


async def test_a_client_that_does_not_want_events_gets_none(api: Api) -> None:
    answer = await api.post({"query": POSTS}, headers={"Accept": "text/event-stream;q=0, application/json"})
    assert answer.codes == ["BAD_USER_INPUT"]
