"""The bounds of what waits for subscribers, without a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from schema import pubsub
from schema.errors import RequestErrorCode
from schema.pubsub import Body, Ended, Ending, Feed, Hub, Topic

pytestmark = pytest.mark.django_db


async def tell_nobody(key: int, feeds: Sequence[Feed[str]]) -> None:
    return None


NEWS = Topic("news", tell_nobody, lambda code: Body(code.encode()))


@pytest.fixture
async def hub() -> AsyncIterator[Hub[str]]:
    hub: Hub[str] = Hub()
    yield hub
    hub.stop()
    assert (hub.count, hub._bytes) == (0, 0)


def joined(hub: Hub[str], number: int, topic: Topic[str] = NEWS) -> list[Feed[str]]:
    return [hub.join(topic, f"client {place}", "") for place in range(number)]


async def ending_of(feed: Feed[str]) -> Ending:
    with pytest.raises(Ended) as ended:
        await asyncio.wait_for(feed.next(), 1)
    return ended.value.ending


async def test_no_more_events_wait_than_the_bound(hub: Hub[str]) -> None:
    [feed] = joined(hub, 1)
    for number in range(pubsub.MAX_EVENTS):
        feed.put(Body(b"%d" % number))
    assert [await feed.next() for _ in range(3)] == [b"0", b"1", b"2"]
    for _ in range(4):
        feed.put(Body(b""))
    assert await ending_of(feed) is Ending.BEHIND


async def test_no_more_bytes_wait_than_the_bound_but_one_event_always_may(hub: Hub[str]) -> None:
    [feed] = joined(hub, 1)
    for _ in range(2):
        feed.put(Body(b"x" * (pubsub.MAX_BYTES + 1)))
        assert len(await feed.next()) == pubsub.MAX_BYTES + 1
    feed.put(Body(b"x" * pubsub.MAX_BYTES))
    feed.put(Body(b"x"))
    assert await ending_of(feed) is Ending.BEHIND


async def test_what_several_wait_for_counts_once(hub: Hub[str]) -> None:
    feeds, body = joined(hub, 3), Body(b"x" * 1_000)
    for feed in feeds:
        feed.put(body)
    assert hub._bytes == 1_000
    await feeds[0].next()
    feeds[1].close()
    assert hub._bytes == 1_000
    await feeds[2].next()
    assert hub._bytes == 0


async def test_who_is_the_furthest_behind_makes_room_for_the_others(
    hub: Hub[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "MAX_BYTES_OF_ALL", 100)
    slow, slower, quick = joined(hub, 3)
    slow.put(Body(b"x" * 30))
    for _ in range(2):
        slower.put(Body(b"x" * 30))
    quick.put(Body(b"x" * 30))
    assert await ending_of(slower) is Ending.BEHIND
    assert [len(await feed.next()) for feed in (slow, quick)] == [30, 30]
    # More than there is room for at all goes to who waits for it.
    quick.put(Body(b"x" * 200))
    assert len(await quick.next()) == 200


async def test_more_events_than_can_be_told_end_the_subscriptions(
    hub: Hub[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "MAX_UNTOLD", 2)
    told, may_go_on = [], asyncio.Event()

    async def tell(key: int, feeds: Sequence[Feed[str]]) -> None:
        told.append(key)
        await may_go_on.wait()

    [feed] = joined(hub, 1, Topic("busy", tell, NEWS.failed))
    [other] = joined(hub, 1)
    for key in range(4):
        hub.hear("busy", key)
        await asyncio.sleep(0)
    assert await ending_of(feed) is Ending.OVERRUN
    assert told == [0]
    other.put(Body(b"fine"))
    assert await other.next() == b"fine"


async def test_events_of_a_topic_are_told_in_their_order_and_one_that_fails_is_told_as_an_error(hub: Hub[str]) -> None:
    async def tell(key: int, feeds: Sequence[Feed[str]]) -> None:
        await asyncio.sleep(0)
        if key == 2:
            raise ZeroDivisionError
        for feed in feeds:
            feed.put(Body(b"%d" % key))

    [feed] = joined(hub, 1, Topic("numbers", tell, NEWS.failed))
    for key in (1, 2, 3):
        hub.hear("numbers", key)
    assert [await feed.next() for _ in range(3)] == [b"1", RequestErrorCode.INTERNAL.encode(), b"3"]


async def test_whoever_stops_waiting_for_an_event_loses_none(hub: Hub[str]) -> None:
    [feed] = joined(hub, 1)
    waiting = asyncio.create_task(feed.next())
    await asyncio.sleep(0)
    feed.put(Body(b"one"))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert await feed.next() == b"one"
