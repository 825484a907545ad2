"""What counts attempts."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from django.conf import settings

from apps.core.throttling import in_postgresql, in_redis
from apps.core.throttling.rates import Rate


class Store(Protocol):
    """The modules `in_postgresql` and `in_redis`. Both raise OperationalError when their server does not answer."""

    def take(self, rates: Mapping[str, Rate], now: float, amount: int, growth: int) -> int:
        """Count `amount` attempts, no more than the `count` of any rate, under each key, or none under any.

        Gives 0 when they were counted, else the whole seconds after which trying again makes sense. A key that refuses
        is then blocked, `growth` times as long as the last time where that was a short while ago. Atomic under parallel
        calls; `now` is in seconds.
        """

    def give_back(self, keys: Sequence[str]) -> None:
        """Take back one attempt under each key that has one."""


def store() -> Store:
    """The one that RATE_LIMIT_URL chooses."""
    return in_redis if settings.RATE_LIMIT_URL else in_postgresql
