"""Writes the schema where clients and reviewers can read it."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

SCHEMA_FILE = Path("schema/schema.graphql")


class Command(BaseCommand):
    help = f"Write the API's schema to {SCHEMA_FILE}, or compare it with --check."
    requires_system_checks: list[str] = []  # noqa: RUF012  (Django's own declaration)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; fail when the file is out of date.")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        from schema.root import schema

        file = settings.BASE_DIR / SCHEMA_FILE
        text = schema.as_str() + "\n"
        if not check:
            file.write_text(text)
            self.stdout.write(f"Wrote {SCHEMA_FILE}.")
        elif not file.exists() or file.read_text() != text:
            raise CommandError(f"{SCHEMA_FILE} is out of date: run `make schema` and commit it.")
