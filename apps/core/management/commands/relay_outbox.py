"""Hands the broker what is written into the outbox."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core import probe
from apps.core.relay import Relay, relay
from apps.core.stopping import ignore_further_signals, told_to_stop
from apps.core.text import counted


class Command(BaseCommand):
    help = "Hand the messages of the outbox to the broker until told to stop. Several may run beside each other."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Hand over what is due, and end. For cron.")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            try:
                self.stdout.write(f"Handed over {counted(relay(), 'message')}.")
            except Exception as error:
                raise CommandError(f"The rest stays in the outbox: {error}") from error
            return
        running = Relay(told_to_stop())
        with probe.serving(running.is_well):
            running.run()
        ignore_further_signals()
