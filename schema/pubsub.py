"""Who listens to what in this process. One connection hears of all events, for as long as somebody subscribes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Generic, TypeVar

from django.conf import settings

from apps.core import events
from schema.errors import MASKS, RequestError, RequestErrorCode, unexpected

logger = logging.getLogger("broadside.events")

S = TypeVar("S")

# Of one subscription, not yet taken by its client: how many events, and how many bytes where there are several.
MAX_EVENTS = 100
MAX_BYTES = 1_000_000
# Of all subscriptions. An event that several wait for counts once.
MAX_BYTES_OF_ALL = 50_000_000
# Events of one topic that are not told yet.
MAX_UNTOLD = 1_000
# Seconds between attempts to hear again: doubled, up to the second.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Ending(Enum):
    """Why a subscription ends though its client has not ended it: the code of its last error, and what that says."""

    SESSION_ENDED = (RequestErrorCode.UNAUTHENTICATED, "This session has ended. Sign in again.")
    EXPIRED = (RequestErrorCode.UNAUTHENTICATED, "The access token has expired.")
    BEHIND = (RequestErrorCode.RATE_LIMITED, "Events came faster than they were taken. Subscribe again, and read anew.")
    OVERRUN = (RequestErrorCode.SERVICE_UNAVAILABLE, "Too much happens at once. Subscribe again, and read anew.")
    STOPPING = (RequestErrorCode.SERVICE_UNAVAILABLE, "The server is being stopped.")
    GONE = (RequestErrorCode.BAD_USER_INPUT, "The client has gone.")

    @property
    def code(self) -> RequestErrorCode:
        return self.value[0]

    @property
    def message(self) -> str:
        return self.value[1]


class Ended(Exception):
    """The feed gives nothing more."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


class Body:
    """An event as its subscribers get it: encoded once, kept once, and counted once."""

    __slots__ = ("content", "holders")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.holders = 0


class Feed(Generic[S]):
    """What one subscription gets, in a queue that is never longer than MAX_EVENTS or, of several, than MAX_BYTES.

    `subscriber` is whatever those who fill it have to know. One takes, with `next`; everything else waits for nothing.
    """

    __slots__ = ("_bodies", "_ending", "_hub", "_waiting", "size", "subscriber", "topic", "who")

    def __init__(self, hub: Hub[S], topic: str, who: Hashable, subscriber: S) -> None:
        self._hub = hub
        self._bodies: deque[Body] = deque()
        # Bytes that wait to be taken.
        self.size = 0
        self._ending: Ending | None = None
        self._waiting: asyncio.Future[None] | None = None
        self.topic = topic
        self.who = who
        self.subscriber = subscriber

    async def next(self) -> bytes:
        """The next event. Raises Ended. Told to stop, it loses none."""
        while not self._bodies:
            if self._ending is not None:
                raise Ended(self._ending)
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        body = self._bodies.popleft()
        self._let_go(body)
        return body.content

    def put(self, body: Body) -> None:
        """Have the client told. One that has not taken what came before is dropped."""
        if self._ending is not None:
            return
        size = len(body.content)
        if len(self._bodies) >= MAX_EVENTS or (self._bodies and self.size + size > MAX_BYTES):
            self.end(Ending.BEHIND)
            return
        self._hub.make_room_for(body)
        if self._ending is None:  # it may have been the one that held the most
            self._bodies.append(body)
            self.size += size
            self._hub.hold(body)
            self._wake()

    def end(self, ending: Ending) -> None:
        """Give nothing more, not even what is there."""
        if self._ending is None:
            self._ending = ending
            while self._bodies:
                self._let_go(self._bodies.popleft())
            self._hub.leave(self)
            self._wake()

    def close(self) -> None:
        """The client has ended it, or has been told of the end."""
        self.end(Ending.GONE)

    def _let_go(self, body: Body) -> None:
        self.size -= len(body.content)
        self._hub.let_go(body)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


@dataclass(frozen=True, slots=True)
class Topic(Generic[S]):
    """Something to subscribe to. `tell(key, feeds)` puts the event of the row with this key into those it is for."""

    name: str
    tell: Callable[[int, Sequence[Feed[S]]], Awaitable[None]]
    # What those get for an event that could not be told, which `tell` has raised an error for.
    failed: Callable[[RequestErrorCode], Body]


class _Audience(Generic[S]):
    """The feeds of one topic, and the events that they have not been told of. They are told of one after the other."""

    def __init__(self, topic: Topic[S]) -> None:
        self.topic = topic
        self.feeds: dict[Feed[S], None] = {}
        self._untold: deque[int] = deque()
        self._telling: asyncio.Task[None] | None = None

    def hear(self, key: int) -> None:
        if len(self._untold) >= MAX_UNTOLD:
            self.end(Ending.OVERRUN)
            return
        self._untold.append(key)
        if self._telling is None:
            # In no request's context: an event is nobody's.
            self._telling = asyncio.get_running_loop().create_task(self._tell(), context=Context())

    def end(self, ending: Ending) -> None:
        for feed in list(self.feeds):
            feed.end(ending)

    def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()

    async def _tell(self) -> None:
        while self._untold:
            key = self._untold.popleft()
            try:
                await self.topic.tell(key, list(self.feeds))
            except Exception as error:  # noqa: BLE001  (whatever it is, the next event may be told)
                code = unexpected(error, f"an event of {self.topic.name}", f"{self.topic.name}-{key}")
                body = self.topic.failed(code)
                for feed in list(self.feeds):
                    feed.put(body)
        self._telling = None


class _Listener:
    """Hears events and hands them on, until it is stopped. After an outage it connects again, with growing pauses."""

    def __init__(self, hear: Callable[[str, int], None]) -> None:
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        # Whether the current attempt to listen has succeeded.
        self._is_up: asyncio.Future[bool] = self._loop.create_future()
        self._running = self._loop.create_task(self._run(), name="events", context=Context())

    async def until_up(self) -> None:
        """Raises SERVICE_UNAVAILABLE when it cannot listen."""
        if not await asyncio.shield(self._is_up):
            code = RequestErrorCode.SERVICE_UNAVAILABLE
            raise RequestError(code, MASKS[code])

    def stop(self) -> None:
        self._running.cancel()
        self._say(is_up=False)

    def _say(self, *, is_up: bool) -> None:
        if not self._is_up.done():
            self._is_up.set_result(is_up)

    async def _run(self) -> None:
        attempts = 0
        while True:
            try:
                async with events.listening() as heard:
                    if attempts:
                        logger.warning("Events are heard again. What was said meanwhile is not known.")
                    attempts = 0
                    self._say(is_up=True)
                    async for topic, key in heard:
                        self._hear(topic, key)
            except Exception as error:
                if not attempts:
                    unknown = None if isinstance(error, events.LOST) else error
                    logger.warning("Events are not heard, until we are connected again: %s", error, exc_info=unknown)
            self._say(is_up=False)
            self._is_up = self._loop.create_future()
            pause = min(SHORTEST_PAUSE * 2 ** min(attempts, 10), LONGEST_PAUSE)
            attempts += 1
            # Not all servers at the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311


class Hub(Generic[S]):
    """The subscriptions of this process. Without any, it holds nothing: no connection, no task.

    At most GRAPHQL_MAX_SUBSCRIPTIONS, and GRAPHQL_MAX_SUBSCRIPTIONS_PER_VIEWER of one viewer or address.
    """

    # How many statements may run at a time for events: half of the connections that there are for reads.
    slots: asyncio.Semaphore

    def __init__(self) -> None:
        self._audiences: dict[str, _Audience[S]] = {}
        self._by_who: Counter[Hashable] = Counter()
        self._listener: _Listener | None = None
        # What waits for all of them to be taken.
        self._bytes = 0
        self._is_stopping = False

    @property
    def count(self) -> int:
        """How many subscriptions there are."""
        return self._by_who.total()

    def join(self, topic: Topic[S], who: Hashable, subscriber: S) -> Feed[S]:
        """A feed of what happens from now on, which has to be closed. Raises RATE_LIMITED for one too many.

        Raises SERVICE_UNAVAILABLE when the server is being stopped.
        """
        if self._is_stopping:
            raise RequestError(Ending.STOPPING.code, Ending.STOPPING.message)
        most, most_of_one = settings.GRAPHQL_MAX_SUBSCRIPTIONS, settings.GRAPHQL_MAX_SUBSCRIPTIONS_PER_VIEWER
        if self._by_who[who] >= most_of_one:
            message = f"At most {most_of_one:,} subscriptions at a time. End others first."
            raise RequestError(RequestErrorCode.RATE_LIMITED, message)
        if self.count >= most:
            raise RequestError(RequestErrorCode.RATE_LIMITED, "This server has no room for more subscriptions.")
        if topic.name not in self._audiences:
            self._audiences[topic.name] = _Audience(topic)
        feed = Feed(self, topic.name, who, subscriber)
        self._audiences[topic.name].feeds[feed] = None
        self._by_who[who] += 1
        if self._listener is None:
            self._listener = _Listener(self.hear)
            self.slots = asyncio.Semaphore(max(1, settings.READ_POOL_MAX // 2))
        return feed

    async def until_listening(self) -> None:
        """Return when events are heard. Raises SERVICE_UNAVAILABLE."""
        if self._listener is not None:
            await self._listener.until_up()

    def hear(self, topic: str, key: int) -> None:
        """Have those who subscribe to `topic` told of the row with this key."""
        if topic in self._audiences:
            self._audiences[topic].hear(key)

    def leave(self, feed: Feed[S]) -> None:
        """The feed has ended."""
        audience = self._audiences[feed.topic]
        del audience.feeds[feed]
        self._by_who[feed.who] -= 1
        if not self._by_who[feed.who]:
            del self._by_who[feed.who]
        if not audience.feeds:
            audience.close()
            del self._audiences[feed.topic]
        if not self._audiences and self._listener is not None:
            self._listener.stop()
            self._listener = None

    def make_room_for(self, body: Body) -> None:
        """Drop whoever is the furthest behind, as long as there is no room: the others shall not suffer for them."""
        while not body.holders and self._bytes and self._bytes + len(body.content) > MAX_BYTES_OF_ALL:
            feeds = (feed for audience in self._audiences.values() for feed in audience.feeds)
            max(feeds, key=attrgetter("size")).end(Ending.BEHIND)

    def hold(self, body: Body) -> None:
        body.holders += 1
        if body.holders == 1:
            self._bytes += len(body.content)

    def let_go(self, body: Body) -> None:
        body.holders -= 1
        if body.holders == 0:
            self._bytes -= len(body.content)

    def start(self) -> None:
        """Take subscriptions, as at first."""
        self._is_stopping = False

    def stop(self) -> None:
        """End all subscriptions, at once, and take no more."""
        self._is_stopping = True
        for audience in list(self._audiences.values()):
            audience.end(Ending.STOPPING)
