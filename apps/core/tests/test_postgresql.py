"""What the pool of Django's connections lends after the server has ended some, and what that costs."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections
from psycopg_pool import ConnectionPool

from apps.core.broker import DatabaseBroker
from apps.core.db import conninfo
from apps.core.postgresql.base import DatabaseWrapper
from apps.core.postgresql.liveness import is_alive
from config.settings.base import KEEPALIVES

pytestmark = pytest.mark.django_db(transaction=True)

# Seconds that something may take which waits for nothing. No test of speed: machines are busy.
LITTLE = 5.0
SIZE = 8


@pytest.fixture
def observer() -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(conninfo(), autocommit=True) as observer:
        yield observer


@pytest.fixture
def djangos() -> Iterator[DatabaseWrapper]:
    """Django's connection, not yet made, and a pool of its own with idle ones."""
    wrapper = connections["default"]
    assert isinstance(wrapper, DatabaseWrapper)
    wrapper.close()
    wrapper.close_pool()
    wrapper.pool.open()
    fill(wrapper.pool)
    yield wrapper
    wrapper.close()
    wrapper.close_pool()


def fill(pool: ConnectionPool[Any]) -> list[int]:
    """Have the pool make connections; the servers' processes of those that are idle then."""
    lent = [pool.getconn() for _ in range(SIZE)]
    for each in lent:
        pool.putconn(each)
    return [each.info.backend_pid for each in lent]


def end(observer: psycopg.Connection[Any], pids: list[int]) -> None:
    """They are gone, and their sockets closed, by the time that this returns."""
    observer.execute("SELECT pg_terminate_backend(pid, 60000) FROM unnest(%s::int[]) AS ended (pid)", [pids])


def backend(wrapper: DatabaseWrapper) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_when_all_that_are_idle_have_ended_the_next_is_a_new_one(
    djangos: DatabaseWrapper, observer: psycopg.Connection[Any]
) -> None:
    ended = fill(djangos.pool)
    end(observer, ended)
    started = time.monotonic()
    assert backend(djangos) not in ended
    assert time.monotonic() - started < LITTLE
    djangos.close()
    # Nothing has been lost.
    assert not {*fill(djangos.pool)} & {*ended}


def test_those_that_have_not_ended_are_kept(djangos: DatabaseWrapper, observer: psycopg.Connection[Any]) -> None:
    *ended, kept = fill(djangos.pool)
    end(observer, ended)
    assert backend(djangos) == kept


def test_messages_are_sent_at_once_after_all_connections_have_ended(observer: psycopg.Connection[Any]) -> None:
    with DatabaseBroker(middleware=[]).pool as pool:
        ended = fill(pool)
        end(observer, ended)
        started = time.monotonic()
        with pool.connection() as lent:
            assert lent.info.backend_pid not in ended
        assert time.monotonic() - started < LITTLE


def test_taking_a_connection_asks_the_server_nothing(
    djangos: DatabaseWrapper, observer: psycopg.Connection[Any]
) -> None:
    lent = [djangos.pool.getconn() for _ in range(SIZE)]
    for each in lent:
        each.execute("SELECT 'the last statement'")
        djangos.pool.putconn(each)
    djangos.ensure_connection()
    assert djangos.connection is not None
    look = "SELECT query FROM pg_stat_activity WHERE pid = %s"
    assert observer.execute(look, [djangos.connection.info.backend_pid]).fetchone() == ("SELECT 'the last statement'",)


def test_a_connection_that_has_been_told_something_is_alive(observer: psycopg.Connection[Any]) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as idle:
        idle.execute("LISTEN something")
        assert is_alive(idle)
        observer.execute("NOTIFY something")
        assert select.select([idle], [], [], 60)[0]
        assert is_alive(idle)
        assert [each.channel for each in idle.notifies(timeout=0, stop_after=1)] == ["something"]
        end(observer, [idle.info.backend_pid])
        assert not is_alive(idle)
        idle.close()
        assert not is_alive(idle)


def test_the_level_of_isolation_holds_for_a_connection_in_the_place_of_a_dead_one(
    djangos: DatabaseWrapper, observer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(djangos.settings_dict["OPTIONS"], "isolation_level", psycopg.IsolationLevel.SERIALIZABLE)
    end(observer, fill(djangos.pool))
    djangos.ensure_connection()
    assert djangos.connection is not None
    assert djangos.connection.isolation_level == psycopg.IsolationLevel.SERIALIZABLE


def test_connections_are_given_up_when_the_network_is_silent(djangos: DatabaseWrapper) -> None:
    djangos.ensure_connection()
    assert djangos.connection is not None
    parameters = djangos.connection.info.get_parameters()
    assert {name: int(parameters[name]) for name in KEEPALIVES} == KEEPALIVES
    reads = psycopg.conninfo.conninfo_to_dict(conninfo())
    assert {name: int(str(reads[name])) for name in KEEPALIVES} == KEEPALIVES
