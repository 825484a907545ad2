"""Schedulers for tests: within this process, and as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from apps.core.models import JobRun
from apps.core.schedule.scheduler import Scheduler
from apps.core.schedule.table import Job
from tests.database import database_url
from tests.project import ROOT
from tests.waiting import wait_until


@contextmanager
def scheduling(*jobs: Job) -> Iterator[Scheduler]:
    """One that runs in a thread until the end of the block, where it is told to stop, and does."""
    told, tell = os.pipe()
    scheduler = Scheduler(jobs)
    thread = Thread(target=scheduler.run, args=[told])
    thread.start()
    try:
        yield scheduler
    finally:
        os.write(tell, b".")
        thread.join(30)
        os.close(told)
        os.close(tell)
        assert not thread.is_alive()


class Process:
    """`manage.py scheduler` on the tests' database, or another."""

    def __init__(self, log: Path, url: str = "") -> None:
        self.log = log
        environment = {"DJANGO_SETTINGS_MODULE": "config.settings.dev", "DATABASE_URL": url or database_url()}
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "scheduler"], cwd=ROOT, env=os.environ | environment, stderr=errors
            )

    def until_it_says(self, text: str, times: int = 1) -> None:
        wait_until(
            lambda: self.process.poll() is not None or self.log.read_text().count(text) >= times,
            otherwise=self.log.read_text,
        )
        assert self.log.read_text().count(text) >= times, self.log.read_text()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def processes(folder: Path, number: int = 1) -> Iterator[list[Process]]:
    """So many, of which the first leads and the others stand by; none is left afterwards."""
    started: list[Process] = []
    try:
        for place in range(number):
            started.append(Process(folder / f"scheduler-{place}.log"))
            started[-1].until_it_says("Standing by" if place else "Leading")
        yield started
    finally:
        for process in started:
            process.end()


def runs_of(job: str) -> list[JobRun]:
    """Its runs, oldest first."""
    return list(JobRun.objects.filter(job=job).order_by("pk"))
