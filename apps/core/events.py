"""Telling all servers what has happened, and hearing it. They tell those of their subscribers who may know."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Final, TypeAlias

from django.conf import settings
from django.db import OperationalError, connection
from psycopg import AsyncConnection, Error, Notify
from redis import RedisError
from redis import asyncio as redis_asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisGone

from apps.core.db import conninfo
from apps.core.readiness import Readiness
from apps.core.redis_client import redis_client

# Where the servers listen.
CHANNEL: Final = "broadside_events"
# Seconds: a publisher waits no longer for Redis, and is tried again.
TIMEOUT = 5
# Seconds after which a Redis that has said nothing is asked whether it is still there.
SILENCE = 20

# A topic, and the key of the row that is news there.
Event: TypeAlias = tuple[str, int]
# What no key of ours is longer than; a longer number would be none of PostgreSQL's, or take Python long to read.
KEY_DIGITS = 18
# What ends listening: the server is gone, or the network to it.
LOST = (Error, RedisError, OSError)


def publish(topic: str, key: int) -> None:
    """Say that `topic` has news: the row with this key. One statement, or one call of Redis where PUBSUB_URL names one.

    Nobody is told twice by this, and nobody hears what was said before they listened. PostgreSQL says it when the
    surrounding transaction commits. Redis says it at once, though the transaction may still fail: said after the
    commit, it would be lost with a process that ends between the two, and to be told twice is the lesser harm. The row
    itself has to be committed by then. Raises django.db.OperationalError when Redis does not answer.
    """
    if settings.PUBSUB_URL:
        try:
            redis_client(settings.PUBSUB_URL, TIMEOUT).publish(_channel(settings.PUBSUB_URL), f"{topic} {key}")
        except RedisError as error:
            raise OperationalError("Redis, which carries events, does not answer as it should.") from error
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{topic} {key}"])


def listening() -> AbstractAsyncContextManager[AsyncIterator[Event]]:
    """What is published from now on, to be iterated over; it holds one connection of its own, in the event loop.

    Raises one of LOST, to begin with or later, when the server is gone.
    """
    return _listening_to_redis(settings.PUBSUB_URL) if settings.PUBSUB_URL else _listening_to_postgresql()


@asynccontextmanager
async def _listening_to_postgresql() -> AsyncIterator[AsyncIterator[Event]]:
    server = conninfo(application_name="broadside-events")
    async with await AsyncConnection.connect(server, autocommit=True) as listener:
        early: deque[Notify] = deque()
        listener.add_notify_handler(early.append)
        await listener.execute(f"LISTEN {CHANNEL}")
        async with aclosing(_notified(listener, early)) as events:
            yield events


async def _notified(listener: AsyncConnection[tuple[object, ...]], early: deque[Notify]) -> AsyncGenerator[Event]:
    """psycopg's own `notifies()` wakes up ten times a second."""
    readiness = Readiness(listener.pgconn.socket, listener)
    try:
        for notify in early:
            if event := _parsed(notify.payload):
                yield event
        while True:
            await readiness.wait()
            listener.pgconn.consume_input()
            while heard := listener.pgconn.notifies():
                if event := _parsed(heard.extra.decode(errors="replace")):
                    yield event
    finally:
        readiness.close()


@asynccontextmanager
async def _listening_to_redis(url: str) -> AsyncIterator[AsyncIterator[Event]]:
    # Connected again in silence, it would not tell that events were missed.
    once = AsyncRetry(NoBackoff(), 0)
    async with (
        redis_asyncio.Redis.from_url(url, retry=once, socket_connect_timeout=TIMEOUT) as server,
        server.pubsub() as listener,
    ):
        await listener.subscribe(_channel(url))
        if await listener.get_message(timeout=TIMEOUT) is None:
            raise RedisGone("Redis does not answer.")
        async with aclosing(_told(listener)) as events:
            yield events


async def _told(listener: redis_asyncio.client.PubSub) -> AsyncGenerator[Event]:
    is_asked = False
    while True:
        message = await listener.get_message(timeout=SILENCE)
        if message is None:
            if is_asked:
                raise RedisGone("Redis does not answer.")
            await listener.ping()
            is_asked = True
            continue
        is_asked = False
        if message["type"] == "message" and (event := _parsed(message["data"].decode(errors="replace"))):
            yield event


def _parsed(payload: str) -> Event | None:
    """None for what is not ours: whoever can connect can say anything."""
    topic, _, key = payload.rpartition(" ")
    is_one = topic and key.isascii() and key.isdigit() and len(key) <= KEY_DIGITS
    return (topic, int(key)) if is_one else None


def _channel(url: str) -> str:
    """Redis' channels are those of all its databases: two sites that share a server would hear each other."""
    return f"{CHANNEL}_{redis_client(url, TIMEOUT).get_connection_kwargs().get('db') or 0}"
