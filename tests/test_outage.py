"""PostgreSQL goes away for longer than the pools try to reach it, and comes back."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.db.utils import ConnectionHandler
from psycopg_pool import PoolTimeout

from apps.core.broker import DatabaseBroker
from apps.core.postgresql.base import DatabaseWrapper
from config.embedded_postgres import running
from config.settings.base import database
from tests.waiting import wait_until

# Seconds that the errors may take beyond what the pools wait. No test of speed: machines are busy.
LITTLE = 5.0


def test_after_an_outage_the_pools_serve_the_next_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = DatabaseBroker(middleware=[]).pool
    with running(tmp_path, durable=False) as database_url:
        monkeypatch.setenv("DATABASE_URL", database_url)
        django = ConnectionHandler({"default": {}, "outage": database()})["outage"]
        assert isinstance(django, DatabaseWrapper)
        tasks.conninfo = database_url
        pools: list[Any] = [django.pool, tasks]

        def ask_on_djangos() -> None:
            connection = django.get_new_connection(django.get_connection_params())
            try:
                connection.execute("SELECT 1")
            finally:
                django.pool.putconn(connection)

        def ask_for_tasks() -> None:
            with tasks.connection() as connection:
                connection.execute("SELECT 1")

        ask_on_djangos()
        ask_for_tasks()
    try:
        for pool in pools:
            pool.timeout = 0.1
        started = time.monotonic()
        for ask in (ask_on_djangos, ask_for_tasks):
            with pytest.raises(PoolTimeout):
                ask()
        assert time.monotonic() - started < LITTLE
        # They have given up: what follows is the next request's own attempt, not one after a pause.
        wait_until(lambda: [pool.get_stats()["pool_size"] for pool in pools] == [0, 0])
        with running(tmp_path, durable=False):
            for pool in pools:
                pool.timeout = 60
            ask_on_djangos()
            ask_for_tasks()
    finally:
        for pool in pools:
            pool.close()
