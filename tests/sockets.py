"""The client that tests talk to the API with over a WebSocket, without a network in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from config.asgi import application as ours

INIT = {"type": "connection_init"}
ACK = {"type": "connection_ack"}
PING = {"type": "ping"}
PONG = {"type": "pong"}
TYPENAME = {"query": "{ __typename }"}


def subscribe(payload: Any, id: Any = "1") -> dict[str, Any]:
    return {"type": "subscribe", "id": id, "payload": payload}


def complete(id: Any = "1") -> dict[str, Any]:
    return {"type": "complete", "id": id}


def answered(data: Any, id: str = "1") -> list[dict[str, Any]]:
    return [{"type": "next", "id": id, "payload": {"data": data}}, complete(id)]


@dataclass(frozen=True)
class Close:
    """The end of a socket, as the application wanted it."""

    code: int
    reason: str


class Socket:
    """One socket to `application`, as uvicorn would have it."""

    def __init__(self, application: Any, headers: dict[str, str], **scope: Any) -> None:
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self._has_left = False
        # What the server makes of a client that it cannot reach any more.
        self.gone: type[Exception] = OSError
        # Cleared, the client takes nothing.
        self.takes = asyncio.Event()
        self.takes.set()
        self._sent.put_nowait({"type": "websocket.connect"})
        fields = {
            "type": "websocket",
            "path": "/graphql/",
            "raw_path": b"/graphql/",
            "root_path": "",
            "scheme": "ws",
            "query_string": b"",
            "client": ("192.0.2.1", 1),
            "headers": [(b"host", b"testserver"), *((k.lower().encode(), v.encode()) for k, v in headers.items())],
            "subprotocols": ["graphql-transport-ws"],
            "request_id": "socket-id",
        }
        self.serving = asyncio.create_task(application(fields | scope, self._sent.get, self._receive), name="Socket")

    def send(self, *messages: Any) -> None:
        """Each at once: text and bytes as they are, everything else as JSON."""
        for message in messages:
            kind = "bytes" if isinstance(message, bytes) else "text"
            frame = message if isinstance(message, str | bytes) else json.dumps(message)
            self._sent.put_nowait({"type": "websocket.receive", kind: frame})

    def subscribe(self, query: str, id: str = "1", **variables: Any) -> None:
        self.send({"type": "subscribe", "id": id, "payload": {"query": query, "variables": variables}})

    async def next(self) -> Any:
        """What the application sends next."""
        message = await asyncio.wait_for(self._received.get(), 10)
        return json.loads(message["text"]) if message["type"] == "websocket.send" else message

    async def closed(self) -> Close:
        """The end, which has to be what comes next, and the end of all work for it."""
        message = await self.next()
        assert message["type"] == "websocket.close", message
        await asyncio.wait_for(self.serving, 10)
        assert self._received.empty()
        return Close(message["code"], message.get("reason", ""))

    async def ask(self, query: str, /, **variables: Any) -> Any:
        """The response to an operation that is carried out."""
        self.subscribe(query, **variables)
        message = await self.next()
        assert message["type"] == "next", message
        assert await self.next() == {"type": "complete", "id": "1"}
        return message["payload"]

    def vanish(self, error: type[Exception]) -> None:
        """Be gone, which the application only gets to know when it sends something."""
        self._has_left, self.gone = True, error

    async def leave(self) -> None:
        """Hang up, and wait until the application has nothing to do any more."""
        self._has_left = True
        self.takes.set()
        self._sent.put_nowait({"type": "websocket.disconnect", "code": 1005})
        await asyncio.wait_for(self.serving, 10)

    @property
    def unread(self) -> int:
        """How many messages the application has not asked for yet."""
        return self._sent.qsize()

    async def _receive(self, message: Any) -> None:
        await self.takes.wait()
        if self._has_left:
            raise self.gone
        self._received.put_nowait(message)
        if message["type"] == "websocket.close":
            self._has_left = True
            self._sent.put_nowait({"type": "websocket.disconnect", "code": message["code"]})


@asynccontextmanager
async def knocking(
    application: Any = None, headers: dict[str, str] | None = None, **scope: Any
) -> AsyncIterator[Socket]:
    """A socket that is just being opened; `config.asgi.application` unless another one is given."""
    socket = Socket(application or ours, headers or {}, **scope)
    try:
        yield socket
    finally:
        await socket.leave()


@asynccontextmanager
async def opened(application: Any = None, headers: dict[str, str] | None = None, **scope: Any) -> AsyncIterator[Socket]:
    """A socket that has been accepted."""
    async with knocking(application, headers, **scope) as socket:
        assert await socket.next() == {"type": "websocket.accept", "subprotocol": "graphql-transport-ws"}
        yield socket


@asynccontextmanager
async def connected(
    payload: dict[str, Any] | None = None, application: Any = None, headers: dict[str, str] | None = None
) -> AsyncIterator[Socket]:
    """A socket whose connection has been acknowledged."""
    async with opened(application, headers) as socket:
        socket.send(INIT | ({"payload": payload} if payload is not None else {}))
        assert await socket.next() == ACK
        yield socket
