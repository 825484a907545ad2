import asyncio
import gc
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection
from django.test import AsyncClient, Client, RequestFactory

from apps.core import health, statements
from apps.core.db import conninfo
from apps.core.health import PATIENCE


def get(path: str) -> tuple[int, str]:
    response = Client().get(path)
    return response.status_code, response.json()["status"]


def test_alive_asks_nothing_of_the_database() -> None:
    with statements.tally() as counted:
        assert get("/healthz") == (200, "ok")
    assert counted.statements == 0


@pytest.mark.django_db
def test_ready_when_the_database_is_migrated() -> None:
    assert get("/readyz") == (200, "ok")


@pytest.mark.django_db
def test_not_ready_before_the_migrations_ran() -> None:
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute("UPDATE django_migrations SET app = 'not posts' WHERE app = 'posts'")
        try:
            assert get("/readyz") == (503, "unmigrated")
        finally:
            database.execute("UPDATE django_migrations SET app = 'posts' WHERE app = 'not posts'")


@pytest.mark.django_db
def test_not_ready_before_any_migration_ran() -> None:
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute("ALTER TABLE django_migrations RENAME TO elsewhere")
        try:
            assert get("/readyz") == (503, "unmigrated")
        finally:
            database.execute("ALTER TABLE elsewhere RENAME TO django_migrations")


@pytest.mark.django_db
@pytest.mark.parametrize("listens", [False, True], ids=["nobody listens", "somebody listens and says nothing"])
def test_not_ready_when_nothing_answers(caplog: pytest.LogCaptureFixture, listens: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        with database_at(server.getsockname()[1]):
            started = time.monotonic()
            assert get("/readyz") == (503, "no database")
            assert time.monotonic() - started < PATIENCE + 3
    [record] = [record for record in caplog.records if record.name == "broadside.health"]
    assert record.exc_info is not None


@pytest.mark.django_db
async def test_whoever_asks_often_takes_one_connection() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        with database_at(server.getsockname()[1]):
            answers = await asyncio.gather(*(AsyncClient().get("/readyz") for _ in range(5)))
        assert [answer.status_code for answer in answers] == [503] * 5
        server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.django_db
async def test_a_failure_that_nobody_waits_for_any_more_is_no_complaint_of_asyncios(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        with database_at(nobody_listens.getsockname()[1]):
            leaving = asyncio.ensure_future(health.ready(RequestFactory().get("/readyz")))
            await asyncio.sleep(0)
            leaving.cancel()
            asking, health._asking = health._asking, None
            assert asking is not None
            await asyncio.wait([asking])
    del asking
    gc.collect()
    assert [record.name for record in caplog.records if record.name == "asyncio"] == []


@contextmanager
def database_at(port: int) -> Iterator[None]:
    """Whoever asks within where Django's database is, hears of that port."""
    place = connection.settings_dict
    before = {"HOST": place["HOST"], "PORT": place["PORT"]}
    place |= {"HOST": "127.0.0.1", "PORT": str(port)}
    try:
        yield
    finally:
        place |= before
