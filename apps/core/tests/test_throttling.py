"""Attempts are counted alike in PostgreSQL and in Redis."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, close_old_connections, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from redis import Redis

from apps.core.db import conninfo
from apps.core.errors import DomainError, ErrorCode
from apps.core.models import Throttle
from apps.core.throttling import Hits, Rate, hit, in_postgresql, in_redis, network, purge, refund
from apps.core.throttling.in_redis import PREFIX
from tests.backends import Backends
from tests.throttling import REDIS_URL, keys_of_our_own

pytestmark = pytest.mark.django_db

TEN = Rate(10, 60)
# The beginning of a minute, an hour and a day.
START = 1_800_000_000 // 86_400 * 86_400


def wait(hits: Hits, now: float = START) -> int:
    """The seconds that an attempt is told to wait; 0 when it is let in."""
    try:
        hit(hits, now)
    except DomainError as refusal:
        return refusal.retry_after or 0
    return 0


def waits(hits: Hits, now: float, times: int) -> list[int]:
    return [wait(hits, now) for _ in range(times)]


# The window


def test_as_many_as_the_rate_says_are_let_in(key: str) -> None:
    assert waits({key: TEN}, START, 11) == [0] * 10 + [66]


def test_a_refusal_says_how_long_to_wait(key: str) -> None:
    waits({key: TEN}, START, 10)
    with pytest.raises(DomainError) as refused:
        hit({key: TEN}, START)
    assert (refused.value.code, refused.value.retry_after) == (ErrorCode.RATE_LIMITED, 66)
    assert refused.value.message == "Too many attempts. Try again in 66 seconds."


def test_the_window_before_counts_by_how_much_of_it_is_in_view(key: str) -> None:
    assert waits({key: TEN}, START, 10) == [0] * 10
    assert waits({key: TEN}, START + 90, 6) == [0] * 5 + [6]


def test_what_was_two_windows_ago_is_forgotten(key: str) -> None:
    assert waits({key: TEN}, START, 10) == [0] * 10
    assert waits({key: TEN}, START + 120, 11) == [0] * 10 + [66]


def test_a_clock_that_is_behind_does_not_begin_a_window_anew(key: str) -> None:
    assert waits({key: TEN}, START, 10) == [0] * 10
    assert wait({key: TEN}, START - 0.5) == 66


def test_of_one_time_in_two_windows_the_second_is_let_in(key: str) -> None:
    once = {key: Rate(1, 60)}
    assert [wait(once, START), wait(once, START + 1), wait(once, START + 119.5), wait(once, START + 120)] == [
        0,
        119,
        1,
        0,
    ]


@pytest.mark.parametrize("moment", [START, START + 0.001, START + 17.123, START + 59.999])
def test_whoever_waits_as_told_is_let_in(key: str, moment: float) -> None:
    rate = {key: Rate(7, 60)}
    waits(rate, moment, 7)
    assert wait(rate, moment + wait(rate, moment)) == 0


# Several keys


def test_what_has_no_rate_is_not_counted(key: str) -> None:
    assert waits({key: None}, START, 100) == [0] * 100
    refund({key: None})
    assert wait({}) == 0


def test_when_one_key_refuses_the_others_are_not_counted(key: str) -> None:
    other = f"{key}-other"
    assert wait({key: Rate(1, 60)}) == 0
    assert all(waits({key: Rate(1, 60), other: Rate(1, 60)}, START, 3))
    assert wait({other: Rate(1, 60)}) == 0


def test_the_longest_wait_of_the_keys_is_told(key: str) -> None:
    both = {key: Rate(1, 60), f"{key}-other": Rate(1, 3600)}
    assert [wait(both), wait(both), wait({key: Rate(1, 60)})] == [0, 7200, 120]


def test_an_attempt_that_is_taken_back_was_none(key: str) -> None:
    hits = {key: TEN, f"{key}-other": TEN}
    for _ in range(30):
        assert wait(hits) == 0
        refund(hits)
    refund(hits)
    assert waits(hits, START, 11) == [0] * 10 + [66]


def test_taking_back_ends_no_block(key: str) -> None:
    waits({key: TEN}, START, 11)
    refund({key: TEN})
    assert wait({key: TEN}) == 66


# Blocks


def test_attempts_within_a_block_neither_count_nor_lengthen_it(key: str) -> None:
    waits({key: TEN}, START, 10)
    assert [wait({key: TEN}, START + passed) for passed in (0, 1, 30.2, 65.9)] == [66, 65, 36, 1]
    assert wait({key: TEN}, START + 66) == 0


def test_each_further_block_is_twice_as_long_up_to_an_hour(key: str) -> None:
    now, blocks = float(START), []
    for _ in range(9):
        blocks.append(waits({key: TEN}, now, 11)[-1])
        now += blocks[-1]
    assert blocks == [66, 132, 264, 528, 1056, 2112, 3600, 3600, 3600]


@pytest.mark.parametrize(("passed", "block"), [(131, 132), (132, 54)])
def test_after_a_quiet_time_as_long_as_the_block_they_begin_anew(key: str, passed: int, block: int) -> None:
    assert waits({key: TEN}, START, 11)[-1] == 66
    assert waits({key: TEN}, START + passed, 11) == [0] * 10 + [block]


def test_a_block_is_no_shorter_than_its_window_asks_for(key: str) -> None:
    daily = {key: Rate(1, 86_400)}
    assert [wait(daily), wait(daily)] == [0, 2 * 86_400]


def test_a_block_lasts_at_least_a_second(key: str) -> None:
    many = {key: Rate(1_000, 1)}
    waits(many, START, 1_000)
    assert [wait(many, START + passed) for passed in (1, 1.999, 2)] == [1, 1, 0]


# Both stores

ATTEMPTS = st.lists(
    st.tuples(
        st.integers(0, 90_000) | st.sampled_from([0, 500, 1_000, 60_000, 120_000, 4_000_000]),
        st.dictionaries(
            st.sampled_from("abc"), st.sampled_from([Rate(1, 1), Rate(2, 60), Rate(3, 60), Rate(5, 3600)]), min_size=1
        ),
        st.integers(1, 2),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ATTEMPTS)
def test_both_stores_decide_alike(attempts: list[tuple[int, dict[str, Rate], int, int, bool]]) -> None:
    with keys_of_our_own(REDIS_URL) as prefix, pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.RATE_LIMIT_URL", REDIS_URL)
        now = START * 1_000
        for passed, named, wanted, growth, is_harmless in attempts:
            now += passed
            rates = {prefix + name: rate for name, rate in named.items()}
            amount = min([wanted, *(rate.count for rate in rates.values())])
            stores = (in_postgresql, in_redis)
            assert len({store.take(rates, now / 1_000, amount, growth) for store in stores}) == 1
            if is_harmless:
                for store in stores:
                    store.give_back([*rates])


# Many at once


def at_once(attempts: list[Callable[[], int]]) -> Counter[int]:
    """How often each wait was told to attempts on threads, and connections, of their own."""
    with ThreadPoolExecutor(20) as threads:
        return Counter(threads.map(alone, attempts))


def alone(attempt: Callable[[], int]) -> int:
    try:
        return attempt()
    finally:
        close_old_connections()


@pytest.mark.django_db(transaction=True)
def test_of_fifty_attempts_at_once_ten_are_let_in(key: str) -> None:
    assert at_once([lambda: wait({key: TEN})] * 50) == {0: 10, 66: 40}


@pytest.mark.django_db(transaction=True)
async def test_who_has_waited_for_a_row_sees_what_was_counted_meanwhile(server: Backends) -> None:
    await asyncio.to_thread(alone, lambda: sum(waits({"key": TEN}, START, 9)))
    async with await AsyncConnection.connect(conninfo()) as somebody:
        await somebody.execute("SELECT FROM core_throttle FOR UPDATE")
        attempts = [asyncio.to_thread(alone, lambda: wait({"key": TEN})) for _ in range(2)]
        told = asyncio.gather(*attempts)
        await server.until_waiting(2)
        await somebody.rollback()
        assert sorted(await told) == [0, 66]


@pytest.mark.django_db(transaction=True)
def test_keys_in_any_order_do_not_wait_for_each_other_in_a_circle(key: str) -> None:
    names = [f"{key}-{number}" for number in range(8)]

    def attempt() -> int:
        shuffled = random.sample(names, len(names))
        waited = wait(dict.fromkeys(shuffled, Rate(1_000, 60)))
        refund(dict.fromkeys(shuffled, Rate(1_000, 60)))
        return waited

    assert at_once([attempt] * 300) == {0: 300}


# What is kept


def test_a_count_survives_no_crash_and_is_not_waited_for() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'core_throttle'")
        assert cursor.fetchone() == ("u",)


def test_a_hit_is_one_statement(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        hit({"a": TEN, "b": TEN, "c": TEN})
    with django_assert_num_queries(0):
        hit({"a": None})


def test_rows_are_deleted_when_they_no_longer_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_postgresql, "BATCH", 2)
    for number in range(5):
        hit({f"gone-{number}": TEN}, START)
    hit({"counts": TEN}, START + 60)
    waits({"blocked": TEN}, START, 11)
    assert purge(START + 119.9) == 0
    assert purge(START + 120) == 5
    # Its block ends after 66 seconds; another that began in the 66 after that would be longer.
    assert [purge(START + 131.9), purge(START + 132)] == [0, 1]
    assert set(Throttle.objects.values_list("key", flat=True)) == {"counts"}
    assert purge(START + 180) == 1


def test_keys_in_redis_expire_when_they_no_longer_matter(settings: Any) -> None:
    settings.RATE_LIMIT_URL = REDIS_URL
    with keys_of_our_own(REDIS_URL) as key, Redis.from_url(REDIS_URL) as server:
        hit({key: TEN}, START + 10)
        assert 109_000 < server.pttl(f"{PREFIX}{key}") <= 110_000
        waits({key: TEN}, START + 10, 10)
        assert 115_000 < server.pttl(f"{PREFIX}{key}") <= 116_000


def test_a_redis_that_does_not_answer_is_a_database_that_is_gone(settings: Any) -> None:
    settings.RATE_LIMIT_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(OperationalError, match="Redis"):
        hit({"key": TEN})
    with pytest.raises(OperationalError, match="Redis"):
        refund({"key": TEN})


# Names


def test_rates_as_settings_write_them() -> None:
    parsed = [Rate.parse(f"10/{unit}") for unit in ("second", "minute", "hour", "day")]
    assert parsed == [Rate(10, 1), Rate(10, 60), Rate(10, 3_600), Rate(10, 86_400)]
    assert Rate.parse("off") is None


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        (None, "unknown"),
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
    ],
)
def test_the_name_of_an_address(ip: str | None, name: str) -> None:
    assert network(ip) == name


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_addresses_of_a_subscriber_have_one_name(address: Any, suffix: int) -> None:
    neighbour = type(address)(int(address) >> 64 << 64 | suffix)
    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert network(str(address)) == network(str(neighbour))
