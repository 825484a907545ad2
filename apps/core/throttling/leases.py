"""Counting what comes often: a process takes a part of a key's rate at a time, and spends it without asking anybody."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import cache
from math import ceil
from time import monotonic, time

from django.db import Error

from apps.core.db import connection_scope, in_one_go
from apps.core.throttling.rates import Rate
from apps.core.throttling.stores import store

logger = logging.getLogger("broadside.errors")

# A lease is a hundredth of the rate, at least 1.
PARTS = 100
# For more keys than this in one window, which may be strangers' inventions, nothing is kept.
MAX_KEYS = 20_000
# Seconds that an operation waits for the store, and for which nothing is counted when it has not answered.
PATIENCE = 2
PAUSE = 5


@dataclass(slots=True)
class _Lease:
    left: int = 0
    refused_until: float = 0
    taking: asyncio.Future[int] | None = None


class Leases:
    """Counts under any number of keys that share `rate`, for the event loop that uses it.

    Of a lease what is left when its window ends is lost, though it stays counted. So nobody gets more than the store
    would let them have one by one, and whoever comes through n processes may be refused as soon as they have had the
    rate less 2n leases: of 1,200 a minute 1,176 by one process, 1,104 by four, 816 by sixteen. Here a block lasts until
    the window lets a lease in, and does not grow: many clients may share an address.

    When the store fails, nothing is refused, and it is asked again after PAUSE seconds.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._size = max(1, rate.count // PARTS)
        self._window = 0
        self._leases: dict[str, _Lease] = {}
        self._paused_until = 0.0

    async def spend(self, key: str, now: float | None = None) -> int:
        """Count one under `key`. Gives 0, or, when the rate is spent, the whole seconds to wait.

        A statement, or a call of Redis, for each lease: of all who need one at a time only one takes it. `now` is in
        seconds, and the present by default.
        """
        moment = time() if now is None else now
        while (lease := self._lease(key, moment)).taking is not None:
            await asyncio.shield(lease.taking)
        if lease.left:
            lease.left -= 1
            return 0
        if moment < lease.refused_until:
            return ceil(lease.refused_until - moment)
        if monotonic() < self._paused_until:
            return 0
        # A task, because whoever it is taken for may be told to stop, and others wait for it too.
        lease.taking = asyncio.ensure_future(self._take(key, lease, moment))
        return await asyncio.shield(lease.taking)

    def _lease(self, key: str, moment: float) -> _Lease:
        """The one of `key` in this window: all leases end at the same time, so what has ended is forgotten at once."""
        window = int(moment // self._rate.seconds)
        if window > self._window:
            self._window, self._leases = window, {}
        if len(self._leases) < MAX_KEYS:
            return self._leases.setdefault(key, _Lease())
        return self._leases.get(key) or _Lease()

    async def _take(self, key: str, lease: _Lease, moment: float) -> int:
        """Take a lease and spend 1 of it. Of one that nobody keeps only that 1 is taken."""
        amount = self._size if self._leases.get(key) is lease else 1
        try:
            async with asyncio.timeout(PATIENCE), connection_scope():
                wait = await in_one_go(store().take, {key: self._rate}, moment, amount, growth=0)
        except (Error, TimeoutError):
            logger.exception("Operations are not counted for %s seconds: the store of rates has failed.", PAUSE)
            self._paused_until = monotonic() + PAUSE
            return 0
        finally:
            lease.taking = None
        if wait:
            lease.refused_until = moment + wait
        else:
            lease.left = amount - 1
        return wait


@cache
def leases(rate: Rate) -> Leases:
    """The process's own for `rate`."""
    return Leases(rate)
