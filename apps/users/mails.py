"""Mails about accounts. None says a name, or anything else that a stranger has chosen: whoever registers with somebody
else's address could have them read it in a mail of ours.
"""

from email.utils import parseaddr
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from apps.core.inbox import current_message_id


def send(name: str, to: str, **context: Any) -> None:
    """Send the mail `name` in text and HTML. Its template's first line is the subject. Raises what the backend does.

    A task that is done again sends it under the id that it had, by which mailboxes know it again.
    """
    text = render_to_string(f"users/mail/{name}.txt", {"site": settings.FRONTEND_URL, **context})
    subject, _, body = text.partition("\n")
    mail = EmailMultiAlternatives(subject, body.strip() + "\n", None, [to], headers=_identity(name, to))
    mail.attach_alternative(render_to_string("users/mail/layout.html", {"subject": subject, "body": body}), "text/html")
    mail.send()


def _identity(name: str, to: str) -> dict[str, str]:
    """The header with the id of a mail that a task sends; of another, Django makes one up."""
    message_id = current_message_id()
    if message_id is None:
        return {}
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return {"Message-ID": f"<{uuid5(UUID(message_id), f'{name} {to}')}@{domain}>"}
