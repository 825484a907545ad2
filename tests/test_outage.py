"""PostgreSQL goes away for longer than the pools try to reach it, and comes back."""

from pathlib import Path

import pytest
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.utils import ConnectionHandler
from psycopg_pool import PoolTimeout

from apps.core.broker import DatabaseBroker
from config.embedded_postgres import running
from config.settings.base import database
from tests.waiting import wait_until


def test_after_an_outage_the_pools_serve_the_next_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = DatabaseBroker(middleware=[]).pool
    with running(tmp_path, durable=False) as database_url:
        monkeypatch.setenv("DATABASE_URL", database_url)
        django = ConnectionHandler({"default": {}, "outage": database()})["outage"]
        assert isinstance(django, DatabaseWrapper)
        tasks.conninfo = database_url
        pools = [django.pool, tasks]
        for pool in pools:
            pool.open()
            with pool.connection() as connection:
                connection.execute("SELECT 1")
    try:
        for pool in pools:
            with pytest.raises(PoolTimeout), pool.connection(timeout=0.1):
                pass
        # They have given up: what follows is the next request's own attempt, not one after a pause.
        wait_until(lambda: [pool.get_stats()["pool_size"] for pool in pools] == [0, 0])
        with running(tmp_path, durable=False):
            for pool in pools:
                with pool.connection() as connection:
                    connection.execute("SELECT 1")
    finally:
        for pool in pools:
            pool.close()
