"""Waiting for an answer on a socket, registered with the event loop once, not anew for each wait."""

from __future__ import annotations

import asyncio
import os
import select
from weakref import finalize


class Readiness:
    """Tells when the socket `descriptor` has something to read.

    Registering and deregistering it costs six system calls a wait, which take longer than a small query does. It
    watches a duplicate of the descriptor: libpq closes its own when a connection breaks, the number would go to the
    next socket, and the event loop would never hear of that one. `owner` gone or `close` called, the duplicate goes.
    """

    def __init__(self, descriptor: int, owner: object) -> None:
        self._descriptor = os.dup(descriptor)
        self._broken = select.poll()
        self._broken.register(self._descriptor, 0)  # errors and hang-ups are always told
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._is_registered = False
        self.close = finalize(owner, self._close)
        # At the end of the process the event loop is no longer there.
        self.close.atexit = False

    async def wait(self) -> None:
        """Return when there is something to read, or when the other side has closed. One waits at a time."""
        if self._broken.poll(0):
            # uvloop tells of an error once, and then watches the socket no more.
            return
        if not self._is_registered:
            self._loop.add_reader(self._descriptor, self._wake)
            self._is_registered = True
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is None:
            # Nobody here has asked: psycopg itself has, or the server ends the connection. It would go on for ever.
            self._deregister()
        elif not self._waiting.done():
            self._waiting.set_result(None)

    def _deregister(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._is_registered = False

    def _close(self) -> None:
        if self._is_registered and not self._loop.is_closed():
            self._deregister()
        os.close(self._descriptor)
