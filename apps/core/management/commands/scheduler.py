"""Runs the jobs of `config.schedule`, again and again."""

from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from apps.core import probe
from apps.core.schedule import table
from apps.core.schedule.scheduler import Scheduler
from apps.core.stopping import ignore_further_signals, told_to_stop


class Command(BaseCommand):
    help = "Run the jobs of the schedule until told to stop. Of several that run, one is active, and the others wait."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Run what is due now, and end. For cron, every minute.")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        scheduler = Scheduler(table.jobs())
        if once:
            try:
                is_done = scheduler.run_what_is_due()
            except (psycopg.Error, DatabaseError) as error:
                raise CommandError(f"Nothing was run: {error}") from error
            if not is_done:
                raise CommandError("A job has failed: see the log.")
            return
        with probe.serving(scheduler.is_well):
            scheduler.run(told_to_stop())
        ignore_further_signals()
