"""A mail server whose mailboxes are files."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from tests.faults import killer

FILE = "DRILL_MAILS"


class EmailBackend(BaseEmailBackend):
    """A line with the address for each mail. Lines of several processes never mix: each is one write."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            killer.at("at_work")
            with Path(os.environ[FILE]).open("ab", buffering=0) as file:
                file.write(f"{message.to[0]}\n".encode())
            killer.at("mailed")
        return len(email_messages)


def mailed(file: Path) -> Counter[str]:
    """How many mails each address has got."""
    return Counter(file.read_text().split()) if file.exists() else Counter()
