import asyncio
import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import AsyncClient, Client, RequestFactory
from django.utils import timezone

from apps.core import health, pulse, statements
from apps.core.db import conninfo
from apps.core.health import PATIENCE
from apps.core.models import DeadLetter, JobRun, OutboxMessage
from apps.core.schedule import table
from apps.core.schedule.leadership import Leadership
from apps.core.schedule.scheduler import LEADERSHIP

DAYS = timedelta(days=2)


def get(path: str) -> tuple[int, str]:
    response = Client().get(path)
    return response.status_code, response.json()["status"]


def all_is_well() -> None:
    """Every job, and a pulse, has just been done."""
    now = timezone.now()
    for name in [*(job.name for job in table.jobs()), pulse.WAY]:
        started_at = now - timedelta(milliseconds=250)
        JobRun.objects.create(job=name, started_at=started_at, ended_at=now, outcome="done")


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
            asking = health._asking.pop(health._look)
            await asyncio.wait([asking])
    del asking
    gc.collect()
    assert [record.name for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.django_db(transaction=True)
def test_verbose_says_how_the_background_work_is() -> None:
    all_is_well()
    answer = Client().get("/readyz?verbose")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok"), answer.content
    assert answer.json()["outbox"] == {"due": 0, "oldest_seconds": 0.0}
    assert (answer.json()["dead_letters"], answer.json()["scheduler"]) == (0, "none")
    assert answer.json()["pulse"]["lag_seconds"] == 0.25
    assert {name: (job["late"], job["failing"]) for name, job in answer.json()["jobs"].items()} == {
        job.name: (False, False) for job in table.jobs()
    }


def fail(job: str) -> None:
    now = timezone.now()
    JobRun.objects.create(job=job, started_at=now, ended_at=now, outcome="failed", detail="secret")


def grow_old(job: str) -> None:
    JobRun.objects.filter(job=job).update(started_at=Now() - DAYS, ended_at=Now() - DAYS)


def leave_in_the_outbox() -> None:
    OutboxMessage.objects.create(message=b"secret", due_at=timezone.now() - timedelta(seconds=61))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("trouble", "shown"),
    [
        (lambda: fail("purge"), lambda seen: seen["jobs"]["purge"]["failing"]),
        (lambda: grow_old("check_data"), lambda seen: seen["jobs"]["check_data"]["late"]),
        (lambda: JobRun.objects.filter(job="publish_due").delete(), lambda seen: seen["jobs"]["publish_due"]["late"]),
        (lambda: grow_old(pulse.WAY), lambda seen: seen["pulse"]["late"]),
        (leave_in_the_outbox, lambda seen: seen["outbox"]["due"] == 1 and seen["outbox"]["oldest_seconds"] >= 61),
        (
            lambda: DeadLetter.objects.create(message_id=uuid4(), actor="secret", message=b"secret", error="secret"),
            lambda seen: seen["dead_letters"] == 1,
        ),
    ],
    ids=["failing", "late", "never run", "no pulse", "stuck", "dead"],
)
def test_trouble_in_the_background_is_told_and_changes_no_code(
    trouble: Callable[[], object], shown: Callable[[Any], bool]
) -> None:
    all_is_well()
    trouble()
    answer = Client().get("/readyz?verbose")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert shown(answer.json()), answer.content
    assert b"secret" not in answer.content
    assert get("/readyz") == (200, "ok")


@pytest.mark.django_db(transaction=True)
def test_a_scheduler_that_leads_is_seen() -> None:
    leading = Leadership(LEADERSHIP)
    assert leading.attempt()
    assert Client().get("/readyz?verbose").json()["scheduler"] == "active"
    leading.give_up()
    assert Client().get("/readyz?verbose").json()["scheduler"] == "none"


@pytest.mark.django_db(transaction=True)
def test_background_work_that_nothing_can_be_learned_of_takes_no_server_out_of_service() -> None:
    with psycopg.connect(conninfo()) as holder:
        holder.execute("LOCK TABLE core_jobrun")
        answer = Client().get("/readyz?verbose")
    assert (answer.status_code, answer.json()) == (200, {"status": "degraded"})


@pytest.mark.django_db
def test_verbose_is_no_more_ready_than_without() -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        with database_at(nobody_listens.getsockname()[1]):
            assert get("/readyz?verbose") == (503, "no database")


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
