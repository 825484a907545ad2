"""The application as a server runs it: with its lifespan, and with clients that may hang up."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

Message = dict[str, Any]


@asynccontextmanager
async def serving() -> AsyncIterator[None]:
    """The lifespan of `config.asgi.application`: reads have their pool within."""
    from config.asgi import application

    received: asyncio.Queue[Message] = asyncio.Queue()
    sent: asyncio.Queue[Message] = asyncio.Queue()
    threshold = gc.get_threshold()
    running = asyncio.ensure_future(application({"type": "lifespan"}, received.get, sent.put))  # type: ignore[arg-type]
    try:
        await received.put({"type": "lifespan.startup"})
        assert (await sent.get())["type"] == "lifespan.startup.complete"
        yield
    finally:
        await received.put({"type": "lifespan.shutdown"})
        await running
        # A server changes these for good; the tests of this process go on.
        gc.unfreeze()
        gc.set_threshold(*threshold)
    assert sent.get_nowait()["type"] == "lifespan.shutdown.complete"


def posting(token: str | None, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """The ASGI scope of an operation that is sent by POST."""
    known = [(b"host", b"testserver"), (b"content-type", b"application/json"), *headers]
    if token is not None:
        known.append((b"authorization", f"Bearer {token}".encode()))
    return {
        "type": "http",
        "method": "POST",
        "path": "/graphql/",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "client": ("192.0.2.1", 1),
        "headers": known,
    }


class Exchange:
    """One operation sent to `config.asgi.application` by a client that is there until `leave()`."""

    def __init__(self, query: str, token: str | None = None, **variables: Any) -> None:
        from config.asgi import application

        self._body = json.dumps({"query": query, "variables": variables}).encode()
        self._is_sent = False
        self._has_left = asyncio.Event()
        self._is_heard = asyncio.Event()
        self.sent: list[Message] = []
        exchange = application(posting(token), self._receive, self._send)  # type: ignore[arg-type]
        self.task = asyncio.create_task(exchange, name="Exchange")

    async def leave(self) -> None:
        """Hang up; return as soon as the application has heard of it."""
        self._has_left.set()
        await asyncio.wait_for(self._is_heard.wait(), 10)

    @property
    def answer(self) -> Any:
        """What the application sent."""
        return json.loads(b"".join(message.get("body", b"") for message in self.sent))

    async def _receive(self) -> Message:
        if not self._is_sent:
            self._is_sent = True
            return {"type": "http.request", "body": self._body}
        await self._has_left.wait()
        self._is_heard.set()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


def operations_at_work() -> int:
    """How many operations are being executed or cleared away, whether or not somebody waits for them."""
    ours = ("Exchange", "ReadPool._interrupt", "SyncToAsync.__call__")
    return sum(any(name in repr(task) for name in ours) for task in asyncio.all_tasks())
