"""Redis, for those who have something better to do than to wait for it."""

from functools import cache

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


@cache
def redis_client(url: str, seconds: float) -> Redis:
    """A client with a pool of connections for all threads, the same each time. What the URL says behind its question
    mark wins.

    An answer is waited for so long. No call is repeated, which would be done twice when only its answer was lost: its
    caller knows whether that does harm.
    """
    once = Retry(NoBackoff(), 0)
    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=once)
