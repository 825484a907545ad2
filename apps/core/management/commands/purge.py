"""Removes what is of no use any more."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.purging import purge


class Command(BaseCommand):
    help = (
        "Delete what has expired: tokens, sessions, old security events, accounts that nobody has confirmed, and the "
        "traces of background work. A job of the schedule, or for cron, every hour."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        counts, failed = purge()
        if deleted := ", ".join(f"{count} {name}" for name, count in counts.items() if count):
            self.stdout.write(f"Deleted {deleted}.")
        if failed:
            raise CommandError(f"Could not delete {', '.join(failed)}: see the log.")
