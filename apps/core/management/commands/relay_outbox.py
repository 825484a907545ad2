"""Hands the broker what is written into the outbox."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.core import probe
from apps.core.relay import Relay, relay
from apps.core.stopping import ignore_further_signals, told_to_stop


class Command(BaseCommand):
    help = "Hand the messages of the outbox to the broker until told to stop. Several may run beside each other."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Hand over what is due, and end. For cron.")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            self.stdout.write(f"Handed over {relay()} messages.")
            return
        running = Relay(told_to_stop())
        with probe.serving(running.is_well):
            running.run()
        ignore_further_signals()
