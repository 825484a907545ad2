"""Running the schedule: one process does, others stand by."""

import logging
import os
import select
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from threading import Thread

import psycopg
from django.core.management import CommandError, call_command
from django.db import DatabaseError, close_old_connections, connections

from apps.core.models import JobOutcome
from apps.core.schedule import runs
from apps.core.schedule.leadership import Leadership
from apps.core.schedule.table import Job

logger = logging.getLogger("broadside.schedule")

LEADERSHIP = "scheduler"
# Seconds between attempts to take over, or to reach the database.
STANDBY_SECONDS = 1.0
# Whoever leads looks at its lock at least so often, and is unwell when it has not for several times as long.
ROUND_SECONDS = 5.0
UNWELL_SECONDS = 30.0
# For the jobs that run when the process is told to stop: less than a supervisor grants.
STOP_SECONDS = 5.0


@dataclass
class _Planned:
    """When a job is due next by the monotonic clock, and the run that is going on."""

    job: Job
    due: float
    run: "_Run | None" = None


class Scheduler:
    """Runs `jobs`, each in a thread of its own, so that a long one delays no other; never a job beside itself."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._told = -1
        self._plan = [_Planned(job, due=0) for job in jobs]
        self._leadership = Leadership(LEADERSHIP)
        # A run that ends writes here.
        self._ended, self._end = os.pipe()
        self._beat = time.monotonic()
        self._said = ""

    def run(self, told: int) -> None:
        """Stand by until nobody else leads, then lead, until `told` can be read from: see `apps.core.stopping`.

        No outage of the database ends it. Runs that go on then have STOP_SECONDS to end.
        """
        self._told = told
        while not self._is_told(0):
            if self._takes_over():
                self._lead()
            else:
                self._is_told(STANDBY_SECONDS)
        self._wait_for_runs(STOP_SECONDS)
        self._leadership.give_up()

    def run_what_is_due(self) -> bool:
        """Run what is due now, once, and wait for it; nothing where somebody else leads. Whether all has gone well.

        Raises OperationalError when the database does not answer.
        """
        try:
            if not self._leadership.attempt():
                return True
            self._look_at_the_record()
            begun = self._start_due()
            self._wait_for_runs(None)
            return all(run.is_done for run in begun)
        finally:
            self._leadership.give_up()

    def is_well(self) -> bool:
        """Whether it goes round: standing by counts, hanging does not. From any thread."""
        return time.monotonic() - self._beat < UNWELL_SECONDS

    def _takes_over(self) -> bool:
        """Whether it leads from now on. An outage is logged once, and what comes of it."""
        try:
            is_leading = self._leadership.attempt()
            if is_leading:
                self._look_at_the_record()
        except (psycopg.Error, DatabaseError):
            self._leadership.give_up()
            self._say("The database does not answer, or is not migrated; trying again every second", failed=True)
            return False
        finally:
            close_old_connections()
        self._say("Leading" if is_leading else "Standing by: another one leads")
        return is_leading

    def _say(self, what: str, *, failed: bool = False) -> None:
        if what != self._said:
            logger.log(logging.ERROR if failed else logging.INFO, what, exc_info=failed)
        self._said = what

    def _lead(self) -> None:
        """Start what is due for as long as the lock is held, and nobody says stop."""
        while self._leadership.holds():
            self._start_due()
            if self._is_told(self._pause(), self._leadership.fileno(), self._ended):
                return
            self._take_note_of_ends()
        self._said = ""
        logger.warning("The lock is lost: nothing is started until it is held again")

    def _look_at_the_record(self) -> None:
        """Plan each job by when it last began. What has no end was run by a process that is gone.

        A clock that was set forward makes a job due at once, one that was set back never later than after its
        interval.
        """
        names = [planned.job.name for planned in self._plan]
        runs.close_lost(name for name in names if name not in self._running())
        latest = runs.latest(names)
        now = time.monotonic()
        for planned in self._plan:
            age, has_failed = latest.get(planned.job.name, (float("inf"), False))
            interval = (planned.job.retry if has_failed else planned.job.every).total_seconds()
            planned.due = now + min(max(interval - age, 0), interval)

    def _start_due(self) -> list["_Run"]:
        now = time.monotonic()
        due = [planned for planned in self._plan if planned.run is None and planned.due <= now]
        for planned in due:
            planned.run = _Run(planned.job, now, self._tell_of_an_end)
            planned.run.start()
        return [planned.run for planned in due if planned.run is not None]

    def _take_note_of_ends(self) -> None:
        for planned in self._plan:
            if planned.run is not None and planned.run.is_over:
                interval = planned.job.every if planned.run.is_done else planned.job.retry
                # What has taken longer than its interval is due at once, and once.
                planned.due = planned.run.began + interval.total_seconds()
                planned.run = None

    def _pause(self) -> float:
        """Seconds until something is due."""
        dues = [planned.due for planned in self._plan if planned.run is None]
        return max(0.0, min([ROUND_SECONDS, *(due - time.monotonic() for due in dues)]))

    def _wait_for_runs(self, seconds: float | None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        for planned in self._plan:
            if planned.run is not None:
                planned.run.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        for name in self._running():
            logger.warning("Stopped in the middle of a run", extra={"job": name})

    def _running(self) -> list[str]:
        return [planned.job.name for planned in self._plan if planned.run is not None and not planned.run.is_over]

    def _is_told(self, seconds: float, *others: int) -> bool:
        """Wait so long, or until one of the `others` can be read; whether it is told to stop."""
        self._beat = time.monotonic()
        readable, _, _ = select.select([self._told, *others], [], [], seconds)
        if self._ended in readable:
            os.read(self._ended, 4_096)
        return self._told in readable

    def _tell_of_an_end(self) -> None:
        os.write(self._end, b".")


class _Run(Thread):
    """One run of a job, and its record. `is_done` once it has ended well."""

    def __init__(self, job: Job, began: float, tell: Callable[[], None]) -> None:
        # A process that is told to stop does not wait for it for ever.
        super().__init__(name=job.name, daemon=True)
        self._job = job
        self._tell = tell
        self.began = began
        self.is_done = False
        self.is_over = False

    def run(self) -> None:
        try:
            key = runs.start(self._job.name)
            outcome, detail = self._outcome()
            # Whatever has become of the connection that the job has used.
            close_old_connections()
            runs.end(key, outcome, detail)
            self.is_done = outcome == JobOutcome.DONE
        except DatabaseError:
            logger.exception("Nothing could be recorded", extra={"job": self._job.name})
        finally:
            connections.close_all()
            self.is_over = True
            self._tell()

    def _outcome(self) -> tuple[JobOutcome, str]:
        """How the command has ended, and what it said. A line in the log, unless it had nothing to say."""
        printed = StringIO()
        try:
            call_command(self._job.name, *self._job.arguments, stdout=printed, stderr=printed, no_color=True)
        except CommandError as refusal:
            said = f"{printed.getvalue()}{refusal}"
            logger.error(said[-runs.DETAIL_MAX :], extra=self._extra())  # noqa: TRY400 - a command says so itself, without a traceback
            return JobOutcome.FAILED, said
        except (Exception, SystemExit):
            logger.exception("Failed", extra=self._extra())
            return JobOutcome.FAILED, printed.getvalue() + traceback.format_exc()
        said = printed.getvalue().strip()
        if said:
            logger.info(said[-runs.DETAIL_MAX :].replace("\n", "; "), extra=self._extra())
        return JobOutcome.DONE, said

    def _extra(self) -> dict[str, object]:
        return {"job": self._job.name, "ms": round((time.monotonic() - self.began) * 1_000)}
