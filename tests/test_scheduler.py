"""The schedule as it is run: by real processes, on a real clock, beside others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.utils import timezone

from apps.core.db import conninfo
from apps.core.models import JobOutcome, JobRun
from apps.core.schedule import runs, scheduler
from apps.core.schedule.leadership import Leadership
from apps.core.schedule.scheduler import LEADERSHIP, Scheduler
from apps.core.schedule.table import Job
from apps.posts.models import Post, PostStatus
from config import embedded_postgres
from tests.make import make_post
from tests.project import ROOT
from tests.scheduling import Process, processes, runs_of, scheduling
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
OFTEN = Job("publish_due", every=timedelta(milliseconds=50))
TERMINATE = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s"


LOCK = "SELECT pg_advisory_lock(hashtext('broadside'), hashtext(%s))"


def scheduled(ahead: timedelta = -SECOND) -> Post:
    return make_post(status=PostStatus.SCHEDULED, published_at=timezone.now() + ahead)


def is_out(post: Post) -> bool:
    return Post.objects.filter(pk=post.pk, status=PostStatus.PUBLISHED).exists()


def attempted_at() -> datetime | None:
    """When somebody last tried to take the lock, and did not get it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(query_start) FROM pg_stat_activity WHERE query LIKE '%%pg_try_advisory_lock%%' "
            "AND application_name = %s AND state = 'idle'",
            [f"broadside-{LEADERSHIP}"],
        )
        latest: datetime | None = cursor.fetchone()[0]
    return latest


def is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
        return bool(cursor.fetchone()[0])


def manage(url: str, *arguments: str) -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings.dev", "DATABASE_URL": url}
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True)


def outcomes(job: str) -> list[str]:
    return [run.outcome for run in runs_of(job)]


@contextmanager
def purging_hangs() -> Iterator[psycopg.Connection]:
    """Whoever wants to purge waits until the end of the block, or of the transaction that is given."""
    with psycopg.connect(conninfo()) as holder:
        holder.execute("LOCK TABLE core_inboxmessage")
        yield holder


def test_a_post_goes_out_on_time_and_when_its_scheduler_is_killed_by_the_next(tmp_path: Path) -> None:
    with processes(tmp_path, number=2) as [leading, standing_by]:
        post = scheduled(ahead=SECOND)
        wait_until(lambda: is_out(post), seconds=8)
        wait_until(lambda: all("" not in outcomes(job) for job in ("purge", "check_data")))

        leading.process.kill()
        at = time.monotonic()
        standing_by.until_it_says("Leading")
        assert time.monotonic() - at < 4
        another = scheduled()
        wait_until(lambda: is_out(another), seconds=8)

    assert (outcomes("purge"), outcomes("check_data")) == (["done"], ["done"]), "taken over, and not done again"
    assert not JobRun.objects.filter(outcome=JobOutcome.FAILED).exists()


def test_a_run_whose_process_was_killed_has_failed_and_is_done_again(tmp_path: Path) -> None:
    with purging_hangs() as holder, processes(tmp_path) as [first]:
        wait_until(lambda: outcomes("purge") == [""])
        post = scheduled()
        wait_until(lambda: is_out(post), seconds=8, otherwise=lambda: "a long job delays another")
        first.end()
        # Its session would live until the statement ends, and do what was asked.
        holder.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE NOT granted")
        JobRun.objects.filter(job="purge").update(started_at=F("started_at") - timedelta(minutes=11))
        with processes(tmp_path):
            wait_until(lambda: outcomes("purge") == ["failed", ""])
            holder.commit()
            wait_until(lambda: outcomes("purge") == ["failed", "done"])
    assert runs_of("purge")[0].detail == runs.LOST


def test_told_to_stop_it_lets_a_run_end_however_often_it_is_told(tmp_path: Path) -> None:
    with purging_hangs() as holder, processes(tmp_path) as [told]:
        wait_until(lambda: outcomes("purge") == [""])
        for _ in range(200):
            told.process.send_signal(signal.SIGTERM)
        holder.commit()
        assert told.process.wait(20) == 0
    assert outcomes("purge") == ["done"]


def test_told_to_stop_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "STOP_SECONDS", 0.1)
    with purging_hangs() as holder:
        with scheduling(Job("purge", every=DAY)):
            wait_until(lambda: outcomes("purge") == [""])
        assert outcomes("purge") == [""]
        holder.commit()
        wait_until(lambda: outcomes("purge") == ["done"])


def test_it_goes_on_when_postgresql_has_restarted(tmp_path: Path) -> None:
    server = tmp_path / "server"
    with embedded_postgres.running(server, durable=False) as url:
        manage(url, "migrate", "--verbosity=0")
        process = Process(tmp_path / "log", url)
        process.until_it_says("Leading")
    try:
        process.until_it_says("does not answer")
        with embedded_postgres.running(server, durable=False) as url:
            process.until_it_says("Leading", times=2)
            with psycopg.connect(url, autocommit=True) as database:
                database.execute("DELETE FROM core_jobrun")
                again = "SELECT count(*) FROM core_jobrun WHERE job = 'publish_due' AND outcome = 'done'"
                wait_until(lambda: database.execute(again).fetchone() != (0,), seconds=12)
            process.process.send_signal(signal.SIGTERM)
            assert process.process.wait(20) == 0
    finally:
        process.end()
    assert process.log.read_text().count("does not answer") == 1


def test_whoever_loses_the_lock_starts_nothing_until_it_is_held_again() -> None:
    with psycopg.connect(conninfo(), autocommit=True) as other, scheduling(OFTEN):
        wait_until(lambda: len(runs_of("publish_due")) > 2)
        # Whoever is in the queue gets it before it can be taken again.
        queueing = Thread(target=other.execute, args=[LOCK, [LEADERSHIP]])
        queueing.start()
        wait_until(is_waited_for)
        with connection.cursor() as cursor:
            cursor.execute(TERMINATE, [f"broadside-{LEADERSHIP}"])
        queueing.join()
        wait_until(lambda: "" not in outcomes("publish_due") and attempted_at() is not None)
        before, first = len(runs_of("publish_due")), attempted_at()
        post = scheduled()
        wait_until(lambda: attempted_at() != first)
        assert (len(runs_of("publish_due")), is_out(post)) == (before, False)

        other.close()

        wait_until(lambda: is_out(post))


def test_a_run_that_takes_longer_than_its_interval_is_not_started_twice() -> None:
    with purging_hangs() as holder, scheduling(Job("purge", every=timedelta(milliseconds=20)), OFTEN):
        wait_until(lambda: len(runs_of("publish_due")) > 5)
        assert outcomes("purge") == [""]
        holder.commit()
        wait_until(lambda: len(runs_of("purge")) > 1)
    spans = [(run.started_at, run.ended_at) for run in runs_of("purge")]
    assert all(end <= start for (_, end), (start, _) in pairwise(spans) if end)


@pytest.mark.parametrize(
    ("ago", "outcome", "is_due"),
    [
        (HOUR, JobOutcome.DONE, False),
        (DAY + SECOND, JobOutcome.DONE, True),
        (HOUR, JobOutcome.FAILED, True),
        (timedelta(minutes=9), JobOutcome.FAILED, False),
        (HOUR, "", True),
        (-HOUR, JobOutcome.DONE, False),
        (None, "", True),
    ],
    ids=["done", "long ago", "failed", "just failed", "lost", "in the future", "never"],
)
def test_what_is_due_is_said_by_the_record(ago: timedelta | None, outcome: str, is_due: bool) -> None:
    if ago is not None:
        ended_at = timezone.now() - ago if outcome else None
        JobRun.objects.create(job="check_data", started_at=timezone.now() - ago, ended_at=ended_at, outcome=outcome)
    before = len(runs_of("check_data"))
    assert Scheduler([Job("check_data", every=DAY)]).run_what_is_due()
    assert len(runs_of("check_data")) - before == is_due
    assert "" not in outcomes("check_data")


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "forward"])
def test_a_clock_that_jumps_stalls_no_job_and_runs_none_more_than_once_too_often(jump: timedelta) -> None:
    """Seen from afterwards: what was recorded before the jump is that much off."""
    often, seldom = Job("publish_due", every=timedelta(milliseconds=300)), Job("check_data", every=DAY)
    for job in (often, seldom):
        at = timezone.now() - jump
        JobRun.objects.create(job=job.name, started_at=at, ended_at=at, outcome=JobOutcome.DONE)
    with scheduling(often, seldom):
        wait_until(lambda: len(runs_of("publish_due")) > 3, seconds=10)
    assert len(runs_of("check_data")) == 1
    starts = [run.started_at for run in runs_of("publish_due")[1:]]
    assert all(later - start > often.every / 2 for start, later in pairwise(starts))


def test_a_job_that_fails_says_why_in_its_record_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    make_post(body="Text.", excerpt="Something else.")
    assert not Scheduler([Job("check_data", every=DAY), Job("publish_due", every=DAY)]).run_what_is_due()
    [run] = runs_of("check_data")
    assert (run.outcome, run.ended_at is None) == ("failed", False)
    assert "excerpts of posts: 1 wrong" in run.detail
    assert run.detail.endswith("1 row wrong.")
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "1 row wrong." in line.getMessage()
    assert outcomes("publish_due") == ["done"]


def test_what_breaks_leaves_the_end_of_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "DETAIL_MAX", 200)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE posts_post RENAME TO elsewhere")
        try:
            assert not Scheduler([Job("publish_due", every=DAY)]).run_what_is_due()
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO posts_post")
    [run] = runs_of("publish_due")
    assert (run.outcome, len(run.detail)) == ("failed", 200)
    assert 'relation "posts_post" does not exist' in run.detail


def test_nothing_is_logged_of_a_run_that_did_nothing(caplog: pytest.LogCaptureFixture) -> None:
    jobs = [Job("publish_due", every=timedelta())]
    assert Scheduler(jobs).run_what_is_due()
    assert [record for record in caplog.records if record.name == "broadside.schedule"] == []
    scheduled()
    assert Scheduler(jobs).run_what_is_due()
    [line] = [record for record in caplog.records if record.name == "broadside.schedule"]
    assert line.getMessage() == "Published 1 scheduled post."


def test_once_does_nothing_beside_a_scheduler_that_leads(capsys: pytest.CaptureFixture[str]) -> None:
    other = Leadership(LEADERSHIP)
    assert other.attempt()
    try:
        call_command("scheduler", "--once")
        assert not JobRun.objects.exists()
    finally:
        other.give_up()
    call_command("scheduler", "--once")
    assert {"publish_due", "pulse", "purge", "check_data"} <= {run.job for run in JobRun.objects.all()}


def test_the_record_stays_short() -> None:
    now = timezone.now()

    def add(job: str, number: int, outcome: JobOutcome, days: int = 0) -> None:
        at = now - timedelta(days=days)
        rows = (JobRun(job=job, started_at=at, ended_at=at, outcome=outcome) for _ in range(number))
        JobRun.objects.bulk_create(rows)

    add("seldom", 1, JobOutcome.DONE, days=90)
    add("seldom", 1, JobOutcome.FAILED, days=31)
    add("seldom", 150, JobOutcome.FAILED, days=29)
    add("often", 150, JobOutcome.FAILED, days=1)
    add("often", 300, JobOutcome.DONE)
    assert runs.prune() == 51 + 50 + 200
    kept = {(run.job, run.outcome) for run in JobRun.objects.all()}
    assert kept == {("seldom", "done"), ("seldom", "failed"), ("often", "failed"), ("often", "done")}
    assert len(runs_of("often")) == 200
