"""Sends a message that does nothing but arrive."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.core import pulse


class Command(BaseCommand):
    help = (
        "Send a message through outbox, relay and broker to a worker, which notes its arrival: /readyz?verbose says "
        "how long it took. A job of the schedule, or for cron, every minute."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not pulse.send():
            self.stdout.write("The last one is still on its way.")
