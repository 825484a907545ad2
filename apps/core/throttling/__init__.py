"""How often an attempt may be made: counted in Redis where RATE_LIMIT_URL names one, else in PostgreSQL.

A rate holds by a sliding window, made of two fixed ones: the attempts of this window, and those of the window before,
weighted by how much of it is still in view. It is Cloudflare's algorithm:
https://blog.cloudflare.com/counting-things-a-lot-of-different-things/

It takes the earlier attempts to be spread evenly. Where they all came at the end of their window, twice the rate less
one may pass in the length of one window; where they came at its beginning, the next has to wait for up to two windows.

An attempt that is refused begins a block of the key. The first lasts until the window lets one attempt in again, at
least a second. One that begins less than a window, and less than the last block's length, after the last block's end
lasts twice as long as that one, up to an hour. Attempts within a block neither count nor lengthen it.
"""

from time import time

from apps.core.errors import DomainError, ErrorCode
from apps.core.throttling.in_postgresql import purge
from apps.core.throttling.rates import Hits, Rate, network
from apps.core.throttling.stores import store

__all__ = ["Hits", "Rate", "hit", "network", "purge", "refund"]

GROWTH = 2


def hit(hits: Hits, now: float | None = None) -> None:
    """Count one attempt under each key; `now` is in seconds, and the present by default.

    Raises RATE_LIMITED with the seconds to wait, and counts nothing, when a key's rate is spent or the key is blocked.
    Atomic, for one statement or one call of Redis; nothing, when no key has a rate. To be called outside a transaction:
    one that is rolled back with the refusal would forget it. Raises OperationalError when the store does not answer.
    """
    rates = {key: rate for key, rate in hits.items() if rate is not None}
    if not rates:
        return
    wait = store().take(rates, time() if now is None else now, amount=1, growth=GROWTH)
    if wait:
        message = f"Too many attempts. Try again in {wait} seconds."
        raise DomainError(ErrorCode.RATE_LIMITED, message, retry_after=wait)


def refund(hits: Hits) -> None:
    """Take back one attempt under each key, which has turned out harmless. A block goes on.

    One statement or one call of Redis; nothing, when no key has a rate. Once the next window has begun for a key, it is
    taken from that one's count. Raises OperationalError when the store does not answer.
    """
    keys = [key for key, rate in hits.items() if rate is not None]
    if keys:
        store().give_back(keys)
