"""A process asks the store for a part of a rate at a time."""

import asyncio
import logging
import socket
from typing import Any

import pytest

from apps.core.statements import tally
from apps.core.throttling import Rate, leases
from apps.core.throttling.leases import Leases

pytestmark = pytest.mark.django_db

# A lease is 10.
RATE = Rate(1_000, 60)
START = 1_800_000_000 // 60 * 60


async def spend(process: Leases, key: str, times: int, now: float = START) -> list[int]:
    return [await process.spend(key, now) for _ in range(times)]


async def statements(process: Leases, key: str, times: int, now: float = START) -> int:
    """How many statements it takes to let in so many, one after the other."""
    with tally() as counted:
        assert await spend(process, key, times, now) == [0] * times
    return counted.statements


async def test_a_lease_costs_one_statement_and_is_a_hundredth_of_the_rate() -> None:
    process = Leases(RATE)
    assert [await statements(process, "key", times) for times in (1, 9, 1, 9, 21)] == [1, 0, 1, 0, 3]


async def test_of_a_small_rate_a_lease_is_one() -> None:
    assert await statements(Leases(Rate(20, 60)), "key", 20) == 20


async def test_one_process_lets_in_as_many_as_the_rate_says(key: str) -> None:
    assert await spend(Leases(RATE), key, 1_002) == [0] * 1_000 + [61] * 2


async def test_a_refusal_is_remembered_without_a_statement() -> None:
    process = Leases(Rate(2, 60))
    await spend(process, "key", 2)
    with tally() as counted:
        assert await spend(process, "key", 5, START + 1) == [89] * 5
    assert counted.statements == 1


async def test_blocks_do_not_grow(key: str) -> None:
    process, rate = Leases(Rate(10, 60)), 10
    assert (await spend(process, key, rate + 1))[-1] == 66
    assert (await spend(process, key, 2, START + 66)) == [0, 6]
    assert (await spend(process, key, 2, START + 72)) == [0, 6]


async def test_all_processes_share_the_rate(key: str) -> None:
    first, second = Leases(RATE), Leases(RATE)
    assert await spend(first, key, 995) == [0] * 995
    assert await second.spend(key, START) == 61
    assert await spend(first, key, 6) == [0] * 5 + [61]


async def test_what_is_left_of_a_lease_ends_with_its_window() -> None:
    process = Leases(RATE)
    assert await statements(process, "key", 1) == 1
    assert await statements(process, "key", 1, START + 59.9) == 0
    assert await statements(process, "key", 1, START + 60) == 1


async def test_a_request_that_is_late_takes_nothing_from_the_new_window() -> None:
    process = Leases(RATE)
    assert await statements(process, "key", 1, START + 60) == 1
    assert await statements(process, "key", 1, START + 59.9) == 0
    assert await statements(process, "key", 8, START + 60) == 0


@pytest.mark.django_db(transaction=True)
async def test_of_many_at_once_one_takes_the_lease(nothing_stays_connected: None) -> None:
    process = Leases(RATE)
    with tally() as counted:
        assert await asyncio.gather(*(process.spend("key", START) for _ in range(30))) == [0] * 30
    assert counted.statements == 3


@pytest.mark.django_db(transaction=True)
async def test_at_once_through_two_processes_no_more_are_let_in_than_the_rate_says(
    key: str, nothing_stays_connected: None
) -> None:
    processes = [Leases(Rate(200, 60)), Leases(Rate(200, 60))]
    told = await asyncio.gather(*(process.spend(key, START) for process in processes for _ in range(150)))
    assert told.count(0) == 200


@pytest.mark.django_db(transaction=True)
async def test_who_stops_waiting_takes_the_lease_from_nobody(nothing_stays_connected: None) -> None:
    process = Leases(RATE)
    first, second = (asyncio.ensure_future(process.spend("key", START)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 0
    assert await statements(process, "key", 8) == 0


async def test_of_too_many_keys_no_more_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_KEYS", 2)
    process = Leases(RATE)
    assert [await statements(process, key, 2) for key in ("a", "b", "c")] == [1, 1, 2]
    assert set(process._leases) == {"a", "b"}
    assert [await statements(process, "c", 2, START + 60), await statements(process, "a", 2, START + 60)] == [1, 1]


async def test_a_store_that_fails_refuses_nobody_and_is_left_alone_for_a_while(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    process = Leases(Rate(1, 60))
    settings.RATE_LIMIT_URL = "redis://127.0.0.1:1/0"
    assert await spend(process, "key", 3) + await spend(process, "other", 3) == [0] * 6
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert "not counted for 5 seconds" in record.message


async def test_after_that_while_it_is_asked_again(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "PAUSE", 0)
    process = Leases(Rate(1, 60))
    settings.RATE_LIMIT_URL = "redis://127.0.0.1:1/0"
    assert await spend(process, "key", 2) == [0, 0]
    settings.RATE_LIMIT_URL = ""
    assert await spend(process, "key", 2) == [0, 120]


async def test_a_store_that_hangs_is_not_waited_for(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "PATIENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.RATE_LIMIT_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        async with asyncio.timeout(0.9):
            assert await spend(Leases(RATE), "key", 3) == [0] * 3
        assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == ["broadside.errors"]
        # The thread gives up by itself.
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
