"""The schedule: what is done again and again, and whether it was. `scheduler` does it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from apps.core.models import JobOutcome

# A failed run is not waited out: a database that restarts at night costs no nightly job its day.
RETRY = timedelta(minutes=10)
# How much later than planned a run may end, beside a tenth of the interval: long enough to replace a scheduler, and for
# a cron that knows minutes only.
GRACE = timedelta(seconds=90)

# By the order of the rows, because clocks jump; nor is an end in the future one that can be relied on.
STATUS = """
SELECT
    wanted.name, latest.started_at, ended.ended_at, ended.outcome,
    extract(epoch FROM ended.ended_at - ended.started_at)::float8,
    coalesce(abs(extract(epoch FROM now() - coalesce(success.ended_at, first.started_at))) > wanted.patience, true)
FROM unnest(%(names)s::text[], %(patience)s::float8[]) WITH ORDINALITY AS wanted (name, patience, place)
LEFT JOIN LATERAL (
    SELECT started_at FROM core_jobrun WHERE job = name ORDER BY id DESC LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT started_at, ended_at, outcome FROM core_jobrun
    WHERE job = name AND ended_at IS NOT NULL ORDER BY id DESC LIMIT 1
) AS ended ON true
LEFT JOIN LATERAL (
    SELECT ended_at FROM core_jobrun WHERE job = name AND outcome = %(done)s ORDER BY id DESC LIMIT 1
) AS success ON true
LEFT JOIN LATERAL (SELECT min(started_at) AS started_at FROM core_jobrun WHERE job = name) AS first ON true
ORDER BY wanted.place
"""


@dataclass(frozen=True)
class Job:
    """A management command that is run `every` so often. Its name is the job's, too: no two jobs have the same."""

    name: str
    every: timedelta
    arguments: tuple[str, ...] = ()

    @property
    def retry(self) -> timedelta:
        """How long after its start a run is followed by the next when it has failed."""
        return min(self.every, RETRY)

    @property
    def patience(self) -> timedelta:
        """How old the last success may be before the job is late."""
        return self.every + self.every / 10 + GRACE


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What is known of a job, by the database's clock.

    `last_start` is that of the latest run, which may not have ended; the rest is of the latest that has. `late`: it has
    not ended well for longer than its interval allows, or never. `failing`: its last run has failed.
    """

    name: str
    last_start: datetime | None
    last_end: datetime | None
    outcome: str | None
    seconds: float | None
    late: bool

    @property
    def failing(self) -> bool:
        return self.outcome == JobOutcome.FAILED


def jobs() -> Sequence[Job]:
    """The schedule, as the setting SCHEDULE names it."""
    found: Sequence[Job] = import_string(settings.SCHEDULE)
    return found


def wanted(of: Iterable[Job]) -> dict[str, Any]:
    """The parameters of STATUS. Who asks has a connection of their own, and so sends the statement themselves."""
    of = list(of)
    patience = [job.patience.total_seconds() for job in of]
    return {"names": [job.name for job in of], "patience": patience, "done": JobOutcome.DONE.value}


def statuses(rows: Iterable[Sequence[Any]]) -> list[JobStatus]:
    """What the rows of STATUS say."""
    return [JobStatus(*row) for row in rows]
