"""The record of the schedule's runs: when each began and ended, and what it said."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection

from apps.core.models import JobOutcome
from apps.core.text import storable

# Characters of what a run has said, and of its traceback. The end of both says most.
DETAIL_MAX = 4_000
KEPT = 100
FAILURES_KEPT = timedelta(days=30)
LOST = "Its process has ended without a word, or had lost the database by then."

CLOSE = """
UPDATE core_jobrun SET ended_at = now(), outcome = %(failed)s, detail = %(lost)s
WHERE job = ANY(%(jobs)s) AND ended_at IS NULL
"""
START = """
WITH lost AS (
    UPDATE core_jobrun SET ended_at = now(), outcome = %(failed)s, detail = %(lost)s
    WHERE job = %(job)s AND ended_at IS NULL
)
INSERT INTO core_jobrun (job, outcome, detail) VALUES (%(job)s, '', '') RETURNING id
"""
END = "UPDATE core_jobrun SET ended_at = clock_timestamp(), outcome = %s, detail = %s WHERE id = %s"

# Seconds since the start of each job's latest run by the database's clock, and how it ended.
LATEST = """
SELECT DISTINCT ON (job) job, extract(epoch FROM now() - started_at)::float8, outcome
FROM core_jobrun WHERE job = ANY(%s) ORDER BY job, id DESC
"""

PRUNE = """
WITH ranked AS (
    SELECT id, outcome, started_at, row_number() OVER (PARTITION BY job ORDER BY id DESC) AS place,
        row_number() OVER (PARTITION BY job, outcome ORDER BY id DESC) AS place_among_equals
    FROM core_jobrun
)
DELETE FROM core_jobrun USING ranked
WHERE core_jobrun.id = ranked.id AND ranked.place > %(kept)s
AND NOT (ranked.outcome = %(done)s AND place_among_equals = 1)
AND NOT (ranked.outcome = %(failed)s AND place_among_equals <= %(kept)s AND ranked.started_at > now() - %(days)s)
"""


def start(job: str) -> int:
    """Record that a run of `job` begins, and give its key. One statement.

    A job is never run twice at a time: where an earlier run has no end, it gets one, as failed.
    """
    values = {"job": job, "failed": JobOutcome.FAILED.value, "lost": LOST}
    with connection.cursor() as cursor:
        cursor.execute(START, values)
        return int(cursor.fetchone()[0])


def end(key: int, outcome: JobOutcome, detail: str) -> None:
    """Record how the run has ended, and the end of what it said. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(END, [outcome.value, storable(detail)[-DETAIL_MAX:], key])


def close_lost(jobs: Iterable[str]) -> int:
    """End the runs that nobody will end any more, as failed, and give their number. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(CLOSE, {"jobs": list(jobs), "failed": JobOutcome.FAILED.value, "lost": LOST})
        return int(cursor.rowcount)


def latest(jobs: Iterable[str]) -> dict[str, tuple[float, bool]]:
    """Of each job that has ever run: how many seconds ago its latest run began, and whether it failed. One statement.

    By the database's clock; the number is negative where that has been set back since.
    """
    with connection.cursor() as cursor:
        cursor.execute(LATEST, [list(jobs)])
        return {job: (age, outcome == JobOutcome.FAILED) for job, age, outcome in cursor.fetchall()}


def prune() -> int:
    """Delete what the record can do without, and give the number. One statement.

    Of each job its last KEPT runs stay, its last success, and its last KEPT failures for FAILURES_KEPT.
    """
    values: dict[str, Any] = {"kept": KEPT, "days": FAILURES_KEPT}
    values |= {"done": JobOutcome.DONE.value, "failed": JobOutcome.FAILED.value}
    with connection.cursor() as cursor:
        cursor.execute(PRUNE, values)
        return int(cursor.rowcount)
