"""Subscriptions: how one begins, and how an event becomes what each of its subscribers may see."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import orjson
from django.conf import settings
from django.db.models import Model, QuerySet

from apps.core.client import Client
from apps.core.db import connection_scope
from apps.core.rows import KEYS, Statement, compiled
from apps.core.statements import tally
from apps.core.throttling import network
from schema.build import Schema
from schema.context import Context
from schema.documents import Operation
from schema.errors import MASKS, RequestError, RequestErrorCode, bad_input
from schema.loaders import Batchers
from schema.pubsub import Body, Ending, Feed, Hub, Topic
from schema.request import Request, Sent
from schema.results import Asked, Result, failure, refusal, response

if TYPE_CHECKING:
    from apps.users.models import User

logger = logging.getLogger("broadside.event")

M = TypeVar("M", bound=Model)

# Of a subscription's document and variables, which are kept for as long as it lasts. Parsed, they take fifty times
# that; shorter documents are parsed once for all who send them.
MAX_CHARACTERS = 5_000
# Of an event as one client gets it. It is on its way to all of them at the same time, and to each as a copy.
MAX_EVENT_BYTES = 1_000_000
# How many viewers an event is executed for at a time.
SIDE_BY_SIDE = 10

# The viewers of these sessions, by session, without those that are over. One statement.
ViewersOf = Callable[[Sequence[int]], Awaitable[Mapping[int, Any]]]
MaySee = Callable[["User | None"], bool]


class News(Generic[M]):
    """A kind of events: how the row of one is loaded, and who may see it. A slice declares it beside its types.

    `rows()` are all there are, with what `seen_by(row)` needs to tell of any viewer whether they may see the row: the
    same as the slice's `visible_to` says, but without a statement.
    """

    def __init__(self, rows: Callable[[], QuerySet[M]], seen_by: Callable[[M], MaySee]) -> None:
        self._rows = rows
        self._statement: Statement[M] | None = None
        self.seen_by = seen_by

    async def load(self, key: int) -> M | None:
        """The row with this key; None when it is gone. One statement."""
        if self._statement is None:
            self._statement = compiled(self._rows().filter(pk__any_of=KEYS))
        found = await self._statement.fetch([key])
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class On(Generic[M]):
    """What the opener of a `live_field` gives: the topic of `apps.core.events`, and what its events are."""

    topic: str
    news: News[M]


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who a feed is for, and what they have asked for."""

    operation: Operation
    variables: dict[str, Any]
    cost: int
    user_id: int | None
    session_id: int | None
    # Those with equal ones get the same, byte for byte.
    alike: Hashable


Stream: TypeAlias = Feed[Subscriber]


@dataclass(slots=True)
class _Event:
    """What an event's answer is to."""

    request_id: str
    code: str = "OK"


class Subscriptions:
    """The subscriptions to `schema` in this process, over whatever they come."""

    def __init__(self, schema: Schema, viewers_of: ViewersOf) -> None:
        self._schema = schema
        self._viewers_of = viewers_of
        self.hub: Hub[Subscriber] = Hub()

    async def opened(self, request: Request, operation: Operation, sent: Sent, context: Context, cost: int) -> Stream:
        """The stream of the subscription, which is `request.stream` from then on and has to be closed.

        It takes the statements of the field's opener. Raises Refused for what the field does not take, RATE_LIMITED for
        one subscription too many, and SERVICE_UNAVAILABLE when no events can be heard.
        """
        if not request.may_stream:
            raise bad_input(
                "A subscription has many answers: send it over a WebSocket (graphql-transport-ws), or with "
                "`Accept: text/event-stream`."
            )
        variables = orjson.dumps(sent.variables, option=orjson.OPT_SORT_KEYS)
        size = len(sent.query) + len(variables)
        if size > MAX_CHARACTERS:
            message = f"The subscription and its variables have {size:,} characters, at most {MAX_CHARACTERS:,}."
            raise RequestError(RequestErrorCode.QUERY_TOO_COMPLEX, message)
        on: On[Any] = await self._schema.opened(operation, sent.variables, context)
        user_id = context.viewer.pk if context.viewer is not None else None
        who = f"user:{user_id}" if user_id is not None else f"address:{network(request.client().ip)}"
        alike = operation, variables, context.session_id
        subscriber = Subscriber(operation, sent.variables, cost, user_id, context.session_id, alike)
        topic = Topic(on.topic, partial(self._tell, on), _failed)
        request.stream = self.hub.join(topic, who, subscriber)
        await self.hub.until_listening()
        return request.stream

    async def _tell(self, on: On[Any], key: int, streams: Sequence[Stream]) -> None:
        """Give each the event, if they may see its row. A row that is gone by now is no event.

        One statement for the row, and one for all who have signed in, however many they are; and what is selected below
        the row, for each viewer and for all who have not signed in: nothing that was read for one reaches another.
        """
        started = perf_counter()
        with tally() as counted:
            told = await self._told(on, key, streams)
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                on.topic,
                extra={
                    "ms": round((perf_counter() - started) * 1000, 1),
                    "statements": counted.statements,
                    "rows": counted.rows,
                    "subscribers": told,
                },
            )

    async def _told(self, on: On[Any], key: int, streams: Sequence[Stream]) -> int:
        # Requests shall not wait for connections because an event has many subscribers.
        slots = self.hub.slots
        async with slots, connection_scope():
            row = await on.news.load(key)
            if row is None:
                return 0
            sessions = {each.subscriber.session_id for each in streams if each.subscriber.session_id is not None}
            viewers = await self._viewers_of(list(sessions)) if sessions else {}
        may_see = on.news.seen_by(row)
        groups: dict[Hashable, tuple[Any, list[Stream]]] = {}
        for stream in streams:
            subscriber, viewer = stream.subscriber, None
            if subscriber.session_id is not None:
                viewer = viewers.get(subscriber.session_id)
                if viewer is None or viewer.pk != subscriber.user_id:
                    stream.end(Ending.SESSION_ENDED)
                    continue
            if may_see(viewer):
                groups.setdefault(subscriber.alike, (viewer, []))[1].append(stream)
        waiting = iter(groups.values())
        await asyncio.gather(*(self._work_off(waiting, row, slots) for _ in range(min(SIDE_BY_SIDE, len(groups)))))
        return sum(len(alike) for _, alike in groups.values())

    async def _work_off(self, groups: Iterator[tuple[Any, list[Stream]]], row: Any, slots: asyncio.Semaphore) -> None:
        for viewer, alike in groups:
            result = await self._executed(alike[0].subscriber, viewer, row, slots)
            body = Body(result.body)
            for stream in alike:
                stream.put(body)
            # Nor shall they wait until all have been told.
            await asyncio.sleep(0)

    async def _executed(self, subscriber: Subscriber, viewer: Any, row: Any, slots: asyncio.Semaphore) -> Result:
        event, operation = _Event(uuid.uuid4().hex), subscriber.operation
        context = Context(event.request_id, viewer, subscriber.session_id, Client, batchers=Batchers(slots))
        try:
            async with asyncio.timeout(settings.GRAPHQL_TIMEOUT_SECONDS), connection_scope():
                result = await self._schema.run(operation, subscriber.variables, context, row)
                limit = min(MAX_EVENT_BYTES, settings.GRAPHQL_MAX_RESPONSE_BYTES)
                return response(event, result, subscriber.cost, operation.longest_key, limit)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is this event's)
            return failure(event, error, "an event")
        finally:
            context.close()


def last_words(asked: Asked, ending: Ending) -> Result:
    """What a client is told of the end of its subscription."""
    return refusal(asked, ending.code, ending.message)


def _failed(code: RequestErrorCode) -> Body:
    return Body(refusal(_Event(uuid.uuid4().hex), code, MASKS[code]).body)
