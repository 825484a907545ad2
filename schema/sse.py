"""GraphQL as server-sent events: the "distinct connections mode" of the protocol graphql-sse.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import time

from django.conf import settings
from starlette.types import Message, Receive, Scope, Send

from schema.http import EVENT_STREAM, Call
from schema.pubsub import Ended, Ending
from schema.results import Result
from schema.subscriptions import Stream, last_words

# Seconds. What stands between a server and its clients cuts off what is silent for long; some do so after 15.
KEEP_ALIVE = 12
# Bytes. Whatever is given to the server at once it keeps, for each client, until that has taken it or hung up.
PIECE = 64_000
# A comment, which no client gets to see.
STILL_HERE = b":\n\n"
# Without a field `data` a browser would pass over it.
COMPLETE = b"event: complete\ndata:\n\n"


@dataclass(frozen=True, slots=True)
class EventStream:
    """A response that tells of what comes as it comes: of one result, or of a subscription's until it ends.

    A client that takes nothing for GRAPHQL_TIMEOUT_SECONDS has gone. The stream ends with the request's token.
    """

    call: Call
    source: Result | Stream
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source = self.source
        headers = [
            (b"content-type", EVENT_STREAM.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            # nginx would wait until it has a few kilobytes.
            (b"x-accel-buffering", b"no"),
            *self.headers,
        ]
        status = source.status if isinstance(source, Result) else 200
        start = {"type": "http.response.start", "status": status, "headers": headers}
        if isinstance(source, Result):
            await send(start)
            await send({"type": "http.response.body", "body": _next(source.body) + COMPLETE})
            return
        ending = asyncio.create_task(self._end_with_the_client(source))
        timer = self._end_with_the_token(source)
        try:
            await _deliver(send, start)
            await self._pass_on(source, send)
        except (TimeoutError, asyncio.CancelledError):
            # It takes nothing; or uvicorn, which stops, ends what still runs, and would log it as an error of ours.
            pass
        finally:
            source.close()
            ending.cancel()
            if timer is not None:
                timer.cancel()

    async def _pass_on(self, stream: Stream, send: Send) -> None:
        # So that the client hears at once that it is heard.
        await _deliver(send, _part(STILL_HERE))
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    pieces = _pieces(await stream.next())
            except TimeoutError:
                pieces = iter([STILL_HERE])
            except Ended as ended:
                if ended.ending is not Ending.GONE:
                    await _deliver(send, _part(self._last(ended.ending), more=False))
                return
            for piece in pieces:
                await _deliver(send, _part(piece))

    def _last(self, ending: Ending) -> bytes:
        if ending is Ending.STOPPING:
            return COMPLETE
        return _next(last_words(self.call, ending).body) + COMPLETE

    async def _end_with_the_client(self, stream: Stream) -> None:
        while (await self.call.receive())["type"] != "http.disconnect":
            pass
        stream.close()

    def _end_with_the_token(self, stream: Stream) -> asyncio.TimerHandle | None:
        good_until = getattr(self.call.scope["auth"], "good_until", None)
        if good_until is None:
            return None
        return asyncio.get_running_loop().call_later(good_until - time(), stream.end, Ending.EXPIRED)


async def _deliver(send: Send, message: Message) -> None:
    """Raises TimeoutError when the client has not taken what came before."""
    async with asyncio.timeout(settings.GRAPHQL_TIMEOUT_SECONDS):
        await send(message)


def _part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _pieces(body: bytes) -> Iterator[bytes]:
    """The event of one result, without a copy of all of it: clients share what waits for them."""
    if len(body) <= PIECE:
        yield _next(body)
        return
    yield b"event: next\ndata: "
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]
    yield b"\n\n"


def _next(body: bytes) -> bytes:
    """The event of one result. JSON as we write it has no line breaks."""
    return b"event: next\ndata: " + body + b"\n\n"
