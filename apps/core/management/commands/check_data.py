"""Verifies what is derived from other data, and repairs it."""

import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.derived import Finding, verified
from apps.core.text import counted

logger = logging.getLogger("broadside.check_data")


class Command(BaseCommand):
    help = (
        "Verify what is stored although it follows from other data. With --repair put right what does not. Ends with "
        "exit code 1 when something is wrong and stays so. A job of the schedule, with --repair, or for cron, daily."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="Put right what is wrong.")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        left = 0
        for finding in verified(repair=repair):
            self.stdout.write(_said(finding, repair))
            if finding.found:
                logger.warning(finding.name, extra={"wrong": finding.found, "repaired": finding.found - finding.left})
            left += finding.left
        if left:
            raise CommandError(f"{counted(left, 'row')} wrong.")


def _said(finding: Finding, repair: bool) -> str:
    if not finding.found:
        return f"{finding.name}: all right"
    dots = ", …" if finding.found > len(finding.examples) else ""
    examples = ", ".join(map(str, finding.examples)) + dots
    outcome = f", {finding.found - finding.left} repaired" if repair else ""
    return f"{finding.name}: {finding.found} wrong{outcome} (of the rows {examples})"
