"""Attempts counted in the Redis that RATE_LIMIT_URL names: a hash for each key, which expires by itself. No cluster:
the keys of one call have to be on one server.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import OperationalError
from redis import RedisError

from apps.core.redis_client import redis_client
from apps.core.throttling.rates import Rate

PREFIX = "broadside:throttle:"
# Seconds. To wait for longer would be worse than to go without.
TIMEOUT = 1

# The twin of the function `throttle_take` in PostgreSQL. Everything is milliseconds.
TAKE = """
local amount, growth, moment = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local longest = 0
for i, key in ipairs(KEYS) do
    local rate, size = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
    local kept = redis.call("HMGET", key, "started", "count", "earlier", "blocked_until", "block")
    for field = 1, 5 do kept[field] = tonumber(kept[field] or 0) end
    local started, count, earlier, blocked_until, block = unpack(kept)

    -- Another host's clock may be ahead of this one.
    local at = math.max(moment, started)
    if blocked_until > at then
        longest = math.max(longest, blocked_until - at)
    else
        local start = at - at % size
        if started ~= start then
            earlier = started == start - size and count or 0
            count = 0
        end

        local room = rate - amount - count
        local wait = 0
        if room < 0 then
            wait = start + 2 * size - math.floor((rate - amount) * size / count) - at
        elseif earlier * (start + size - at) > room * size then
            wait = start + size - math.floor(room * size / earlier) - at
        end

        if wait > 0 then
            wait = math.max(wait, 1000)
            if at < blocked_until + math.max(block, size) then
                wait = math.max(wait, math.min(block * growth, 3600000))
            end
            block = wait
            blocked_until = at + wait
            longest = math.max(longest, wait)
        end

        redis.call("HSET", key, "started", start, "count", count, "earlier", earlier,
            "blocked_until", blocked_until, "block", block)
        redis.call("PEXPIRE", key, math.max(start + 2 * size, blocked_until + math.max(block, size)) - at)
    end
end

if longest == 0 then
    for _, key in ipairs(KEYS) do redis.call("HINCRBY", key, "count", amount) end
end
return math.ceil(longest / 1000)
"""

GIVE_BACK = """
for _, key in ipairs(KEYS) do
    if tonumber(redis.call("HGET", key, "count") or 0) > 0 then redis.call("HINCRBY", key, "count", -1) end
end
"""


def take(rates: Mapping[str, Rate], now: float, amount: int, growth: int) -> int:
    """See `Store`. One call."""
    args = [amount, growth, round(now * 1000)]
    for rate in rates.values():
        args += [rate.count, rate.seconds * 1000]
    return int(_call(TAKE, list(rates), args))


def give_back(keys: Sequence[str]) -> None:
    """See `Store`. One call."""
    _call(GIVE_BACK, keys, [])


def _call(script: str, keys: Sequence[str], args: Sequence[int]) -> Any:
    run = redis_client(settings.RATE_LIMIT_URL, TIMEOUT).register_script(script)
    try:
        return run([f"{PREFIX}{key}" for key in keys], args)
    except RedisError as error:
        raise OperationalError("Redis, which counts attempts, does not answer as it should.") from error
