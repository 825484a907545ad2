"""Sending mails."""

from collections.abc import Mapping
from email.utils import parseaddr
from uuid import UUID, uuid5

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from apps.core.inbox import current_message_id


def send(to: str, subject: str, text: str, html: str, headers: Mapping[str, str] | None = None) -> None:
    """Send a mail with the same in text and HTML. Raises what the backend does, and ValueError for a header with lines.

    `headers` come beside those that every mail has. A task that is done again sends it under the id that it had, by
    which mailboxes know it again.
    """
    mail = EmailMultiAlternatives(subject, text, None, [to], headers={**_identity(subject, to), **(headers or {})})
    mail.attach_alternative(html, "text/html")
    mail.send()


def _identity(subject: str, to: str) -> dict[str, str]:
    """The header with the id of a mail that a task sends; of another, Django makes one up."""
    message_id = current_message_id()
    if message_id is None:
        return {}
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return {"Message-ID": f"<{uuid5(UUID(message_id), f'{subject} {to}')}@{domain}>"}
