"""Shows and handles the messages that were given up."""

import json
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from apps.core import dead_letters
from apps.core.models import DeadLetter
from apps.core.text import counted


class Command(BaseCommand):
    help = "Tasks that have failed for good: look at them, have them done after all, or drop them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)

        def added(name: str, text: str) -> ArgumentParser:
            return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")

        listed = added("list", "all, newest first")
        listed.add_argument("--actor", help="of this actor only")
        listed.add_argument("--json", action="store_true", help="one array of objects")
        shown = added("show", "one with its arguments, which may be personal data, and its error")
        shown.add_argument("id", help="its number, or its message's id as in the log")
        requeued = added("requeue", "send them once more")
        which = requeued.add_mutually_exclusive_group(required=True)
        which.add_argument("ids", nargs="*", default=[], metavar="id", help="numbers, or ids of messages as in the log")
        which.add_argument("--all", action="store_true", help="all there are")
        which.add_argument("--actor", help="all of this actor")
        purged = added("purge", "drop those that were given up long ago")
        purged.add_argument("--older-than", type=int, required=True, metavar="DAYS", help="since they were given up")

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        """Raises CommandError for an id that there is not, having done nothing."""
        run: dict[str, Callable[..., None]] = {
            "list": self.show_all,
            "show": self.show,
            "requeue": self.requeue,
            "purge": self.purge,
        }
        run[command](**options)

    def show_all(self, *, actor: str | None, **options: Any) -> None:
        letters = _of(actor).order_by("-failed_at", "-pk")
        if options["json"]:
            self.stdout.write(json.dumps([_described(letter) for letter in letters.iterator()], indent=2))
            return
        for letter in letters.iterator():
            failed = f"{letter.failed_at:%Y-%m-%d %H:%M:%S}"
            self.stdout.write(f"{letter.pk:>6}  {failed}  {letter.actor}  {dead_letters.last_line(letter)}")
        self.stderr.write(f"{counted(letters.count(), 'dead letter')}.")

    def show(self, *, id: str, **_: Any) -> None:
        letter = self.found([id]).get()
        for name, value in _described(letter).items():
            if name != "error":
                self.stdout.write(f"{name + ':':<12}{value}")
        self.stdout.write(f"{'arguments:':<12}{dead_letters.arguments(letter)}\n\n{letter.error}")

    def requeue(self, *, ids: list[str], actor: str | None, **_: Any) -> None:
        letters = self.found(ids) if ids else _of(actor)
        self.stdout.write(f"Requeued {counted(dead_letters.requeue(letters), 'dead letter')}.")

    def purge(self, *, older_than: int, **_: Any) -> None:
        if older_than < 0:
            raise CommandError("--older-than has to be a number of days.")
        self.stdout.write(f"Dropped {counted(dead_letters.purge(timedelta(days=older_than)), 'dead letter')}.")

    def found(self, ids: list[str]) -> QuerySet[DeadLetter]:
        letters = dead_letters.named(ids)
        known = {str(name) for letter in letters for name in (letter.pk, letter.message_id)}
        if missing := sorted(set(ids) - known):
            raise CommandError(f"There is no dead letter {', '.join(missing)}.")
        return letters


def _of(actor: str | None) -> QuerySet[DeadLetter]:
    letters = DeadLetter.objects.all()
    return letters if actor is None else letters.filter(actor=actor)


def _described(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.pk,
        "message_id": str(letter.message_id),
        "actor": letter.actor,
        "failed_at": letter.failed_at.isoformat(),
        "retries": letter.retries,
        "error": dead_letters.last_line(letter),
    }
