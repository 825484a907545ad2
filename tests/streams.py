"""Subscriptions as clients have them, over each transport, without a network in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlencode

from config.asgi import application as ours
from config.asgi import subscriptions
from schema.relay import parse_global_id
from tests.backends import until
from tests.serving import posting
from tests.sockets import Socket, connected


class EventSource:
    """One request for an event stream to `application`, as uvicorn would have it."""

    def __init__(self, body: Any, token: str | None, application: Any = None, **scope: Any) -> None:
        self._body = json.dumps(body).encode()
        self._is_sent = False
        self._has_left = asyncio.Event()
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._rest = b""
        # Of what was sent at once, in bytes.
        self.largest = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        # Cleared, the client takes nothing.
        self.takes = asyncio.Event()
        self.takes.set()
        fields = posting(token, (b"accept", b"text/event-stream")) | scope
        exchange = (application or ours)(fields, self._receive, self._send)
        self.task: asyncio.Task[None] = asyncio.create_task(exchange, name="EventSource")

    async def next_event(self) -> tuple[str, Any] | None:
        """Name and data of the next event, "" for a comment; None at the end of the response."""
        while b"\n\n" not in self._rest:
            more = await asyncio.wait_for(self._sent.get(), 10)
            if more is None:
                assert not self._rest
                return None
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\n\n")
        if text == b":":
            return "", None
        name, data = text.decode().split("\n")
        assert name.startswith("event: ")
        assert data.startswith("data:")
        return name.removeprefix("event: "), json.loads(data.removeprefix("data:") or "null")

    async def events(self) -> list[tuple[str, Any]]:
        """All events until the response has ended, without comments."""
        found = []
        while (event := await self.next_event()) is not None:
            found += [event] if event[0] else []
        await asyncio.wait_for(self.task, 10)
        return found

    async def leave(self) -> None:
        """Hang up, and wait until the application has nothing to do any more."""
        self._has_left.set()
        self.takes.set()
        await asyncio.wait_for(self.task, 10)

    async def _receive(self) -> dict[str, Any]:
        if not self._is_sent:
            self._is_sent = True
            return {"type": "http.request", "body": self._body}
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.takes.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self.largest = max(self.largest, len(message.get("body", b"")))
        self._sent.put_nowait(message.get("body", b""))
        if not message.get("more_body", False):
            self._sent.put_nowait(None)


class Live(Protocol):
    """A subscription that has begun."""

    async def next(self) -> Any:
        """The response of the next event."""

    async def refused(self) -> Any:
        """The errors that it ends with, which have to be what comes next."""

    async def leave(self) -> None:
        """End it."""


class _OverSocket:
    def __init__(self, socket: Socket) -> None:
        self.socket = socket

    async def next(self) -> Any:
        message = await self.socket.next()
        assert (message["type"], message["id"]) == ("next", "1"), message
        return message["payload"]

    async def refused(self) -> Any:
        message = await self.socket.next()
        assert (message["type"], message["id"]) == ("error", "1"), message
        return message["payload"]

    async def leave(self) -> None:
        self.socket.send({"type": "complete", "id": "1"})


class _OverEvents:
    def __init__(self, source: EventSource) -> None:
        self.source = source

    async def next(self) -> Any:
        while (event := await self.source.next_event()) == ("", None):
            pass
        assert event is not None
        assert event[0] == "next", event
        return event[1]

    async def refused(self) -> Any:
        [(_, last), completed] = await self.source.events()
        assert completed == ("complete", None)
        assert list(last) == ["errors"]
        return last["errors"]

    async def leave(self) -> None:
        await self.source.leave()


@asynccontextmanager
async def over_socket(query: str, token: str | None = None, **variables: Any) -> AsyncIterator[Live]:
    async with connected({"Authorization": f"Bearer {token}"} if token else None) as socket:
        socket.subscribe(query, **variables)
        yield _OverSocket(socket)


@asynccontextmanager
async def over_events(query: str, token: str | None = None, **variables: Any) -> AsyncIterator[Live]:
    source = EventSource({"query": query, "variables": variables}, token)
    try:
        yield _OverEvents(source)
    finally:
        await source.leave()


Transport = Callable[..., AbstractAsyncContextManager[Live]]
TRANSPORTS: dict[str, Transport] = {"websocket": over_socket, "sse": over_events}


def in_url(query: str, **variables: Any) -> bytes:
    return urlencode({"query": query, "variables": json.dumps(variables)}).encode()


async def until_there_are(number: int) -> None:
    """Return as soon as there are so many subscriptions, and events are heard."""

    async def there_are() -> bool:
        return subscriptions.hub.count == number

    await until(there_are, 10)
    await subscriptions.hub.until_listening()


def say(topic: str, key: int) -> None:
    """What PostgreSQL would say once the test had committed."""
    subscriptions.hub.hear(topic, key)


async def heard(operation: str, token: str | None, topic: str, ids: list[str]) -> list[str] | None:
    """The ids that are told of those that are said, up to the last of them, which has to be told.

    None when the subscription does not begin.
    """
    source = EventSource({"query": operation}, token)
    try:
        if await source.next_event() != ("", None):
            assert await source.events() == [("complete", None)]
            return None
        for id in ids:
            say(topic, parse_global_id(id)[1])
        told: list[str] = []
        while ids[-1] not in told:
            event = await source.next_event()
            assert event is not None
            [row] = event[1]["data"].values()
            told.append(row["id"])
        return told
    finally:
        await source.leave()
