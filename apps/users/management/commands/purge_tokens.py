"""Removes tokens, sessions and security events that have expired."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.users.services import expired_purge


class Command(BaseCommand):
    help = "Delete expired tokens and sessions, and security events older than SECURITY_EVENT_DAYS. For cron, daily."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = expired_purge()
        self.stdout.write("Deleted " + ", ".join(f"{count} {name}" for name, count in counts.items()) + ".")
