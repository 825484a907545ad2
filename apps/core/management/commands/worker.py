"""Does the background work."""

import os
import signal
import sys
import tempfile
from argparse import ArgumentParser
from typing import Any

import dramatiq
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import autodiscover_modules
from dramatiq import cli

from apps.core import probe
from apps.core.worker.attendance import Crew


class Command(BaseCommand):
    help = (
        "Run the tasks that the broker has, until SIGTERM or SIGINT; then take no more, and wait for those that run. "
        "When one of its processes ends by itself all do, with an exit code that is not 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--processes",
            type=int,
            default=settings.WORKER_PROCESSES,
            help="WORKER_PROCESSES; %(default)s",
        )
        parser.add_argument(
            "--threads",
            type=int,
            default=settings.WORKER_THREADS,
            help="of each; WORKER_THREADS; %(default)s",
        )
        parser.add_argument(
            "--shutdown-seconds",
            type=int,
            default=settings.WORKER_SHUTDOWN_SECONDS,
            help="for tasks to end; those that have not go back to the broker. WORKER_SHUTDOWN_SECONDS",
        )

        parser.add_argument("--queues", nargs="+", default=[], help="only these; unset: all that tasks name")

    def handle(
        self, *args: Any, processes: int, threads: int, shutdown_seconds: int, queues: list[str], **options: Any
    ) -> None:
        """Raises CommandError for numbers that make no sense, unknown queues, and a probe's port that is taken."""
        connections = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
        if processes < 1 or shutdown_seconds < 0 or not 1 <= threads <= connections:
            raise CommandError(f"There have to be processes, and from 1 to {connections} (DATABASE_POOL_MAX) threads.")
        autodiscover_modules("tasks")
        if unknown := set(queues) - {*dramatiq.get_broker().queues}:
            raise CommandError(f"No task names the queue {', '.join(sorted(unknown))}.")
        probe.refuse_taken_address()
        with tempfile.TemporaryDirectory(prefix="broadside-worker-") as folder:
            Crew(folder, processes, shutdown_seconds).announce()
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            code = run(processes, threads, shutdown_seconds, queues)
        sys.exit(code)


def run(processes: int, threads: int, shutdown_seconds: int, queues: list[str]) -> int:
    """Dramatiq's command, in this process; the exit code."""
    # It would start itself anew, by a name that is not a program's.
    cli.HANDLED_SIGNALS.discard(signal.SIGHUP)
    arguments = [
        "apps.core.worker.process:prepare",
        *("--processes", str(processes), "--threads", str(threads)),
        *("--worker-shutdown-timeout", str(shutdown_seconds * 1000), "--skip-logging"),
    ]
    if queues:
        arguments += ["--queues", *queues]
    if settings.PROBE_PORT:
        arguments += ["--fork-function", "apps.core.worker.process:watch"]
    parsed = cli.make_argument_parser().parse_args(arguments)  # type: ignore[no-untyped-call]
    code: int = cli.main(parsed)  # type: ignore[no-untyped-call]
    return code
