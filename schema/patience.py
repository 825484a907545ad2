"""How long a request may take, and whether anybody still waits for its answer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import cast

from django.conf import settings
from starlette.requests import ClientDisconnect

from schema.http import Call

# Seconds after which it is worth while to look whether the client still waits: nearly all requests have ended by then.
SOON = 0.05


class Patience:
    """Ends what runs within it when GRAPHQL_TIMEOUT_SECONDS are over, or when the client of a query has gone.

    It is asyncio.timeout with a client to watch: what runs within is cancelled, and TimeoutError or ClientDisconnect
    raised. What a write has begun is carried through, whether or not somebody waits for it.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._reason: type[Exception] | None = None
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = cast("asyncio.Task[object]", asyncio.current_task())
        self._cancelling = self._task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + settings.GRAPHQL_TIMEOUT_SECONDS
        self._look_again(SOON)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()
        if self._reason is not None and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._reason from error

    def _look_again(self, seconds: float) -> None:
        self._timer = self._loop.call_at(min(self._loop.time() + seconds, self._deadline), self._look)

    def _look(self) -> None:
        if self._loop.time() >= self._deadline:
            self._end(TimeoutError)
        elif not self._call.is_read:
            self._look_again(SOON)
        else:
            # uvloop's timers may be a moment early, so this may not be the first time.
            self._listening = self._listening or asyncio.ensure_future(self._listen())
            self._look_again(settings.GRAPHQL_TIMEOUT_SECONDS)

    async def _listen(self) -> None:
        while (await self._call.receive())["type"] != "http.disconnect":
            pass
        if not self._call.writes:
            self._end(ClientDisconnect)

    def _end(self, reason: type[Exception]) -> None:
        if self._reason is None:
            self._reason = reason
            self._task.cancel()
