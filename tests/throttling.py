"""The stores that attempts are counted in, for tests."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis, RedisError

from apps.core.throttling.in_redis import PREFIX

REDIS_URL = "redis://127.0.0.1:6379/11"
STORES = {"postgresql": "", "redis": REDIS_URL}


@contextmanager
def keys_of_our_own(url: str, prefix: str = "") -> Iterator[str]:
    """What the keys of a test begin with; in Redis they are deleted afterwards. Skips where no Redis answers."""
    prefix = prefix or f"test-{uuid.uuid4().hex}:"
    if not url:
        yield prefix
        return
    with Redis.from_url(url) as server:
        try:
            server.ping()
        except RedisError as error:
            pytest.skip(f"NOT TESTED: nothing answers at {url} ({error})")
        yield prefix
        for key in server.scan_iter(f"{PREFIX}{prefix}*"):
            server.delete(key)
