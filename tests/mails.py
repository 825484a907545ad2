"""What was mailed, for tests."""

import re

from django.core import mail

from tests.tasks import work_off


def mailed_token() -> str:
    """Do what is in the outbox, and give the token in the one mail that comes of it."""
    before = len(mail.outbox)
    work_off()
    [message] = mail.outbox[before:]
    [token] = re.findall(r"(?<![\w-])[\w-]{43}(?![\w-])", str(message.body))
    return str(token)


def mailed() -> list[tuple[str, str]]:
    """Do what is in the outbox, and give recipient and subject of each mail that comes of it."""
    before = len(mail.outbox)
    work_off()
    return [(message.to[0], str(message.subject)) for message in mail.outbox[before:]]
