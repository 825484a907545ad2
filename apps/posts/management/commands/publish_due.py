"""Publishes scheduled posts whose time has come."""

import argparse
import logging
import os
import select
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from apps.core.db import DATABASE_UNAVAILABLE
from apps.posts.services import posts_publish_due

logger = logging.getLogger("broadside.publish_due")
LONGEST_PAUSE = 86_400
STOPS = (signal.SIGTERM, signal.SIGINT)


def _pause(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= LONGEST_PAUSE:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {LONGEST_PAUSE} seconds")
    return seconds


def _told_to_stop() -> int:
    """A descriptor that can be read from as soon as a signal has asked this process to stop."""
    # A handler may be interrupted by the next signal: with a threading.Event it would lock itself out.
    told, tell = os.pipe()
    for number in STOPS:
        signal.signal(number, lambda *_: os.write(tell, b"."))
    return told


class Command(BaseCommand):
    help = "Publish the scheduled posts whose time has come: once, for cron, or every few seconds until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=_pause, metavar="SECONDS", help="Go on, with this pause between the runs.")

    def handle(self, *args: Any, every: float | None, **options: Any) -> None:
        told = None if every is None else _told_to_stop()
        while True:
            try:
                published = posts_publish_due()
            except DATABASE_UNAVAILABLE:
                if every is None:
                    raise
                logger.exception("The database does not answer; trying again in %s seconds.", every)
                published = 0
            close_old_connections()
            if published:
                self.stdout.write(f"Published {published} scheduled posts.")
            if told is None:
                return
            if select.select([told], [], [], every)[0]:
                # Python gives handlers up before it has ended, and another signal would kill it then.
                for number in STOPS:
                    signal.signal(number, signal.SIG_IGN)
                return
