"""Hands the broker what it could not get when it was written."""

from typing import Any

from django.core.management.base import BaseCommand

from apps.core.relay import relay


class Command(BaseCommand):
    help = "Hand over the messages that have stayed in the outbox for a minute. For cron, every minute."

    def handle(self, *args: Any, **options: Any) -> None:
        if count := relay():
            self.stdout.write(f"Handed over {count} messages.")
