"""Mails about accounts. None says a name, or anything else that a stranger has chosen: whoever registers with somebody
else's address could have them read it in a mail of ours.
"""

from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from apps.core import mails


def send(name: str, to: str, **context: Any) -> None:
    """Send the mail `name` in text and HTML. Its template's first line is the subject. Raises what the backend does."""
    text = render_to_string(f"users/mail/{name}.txt", {"site": settings.FRONTEND_URL, **context})
    subject, _, body = text.partition("\n")
    html = render_to_string("users/mail/layout.html", {"subject": subject, "body": body})
    mails.send(to, subject, body.strip() + "\n", html)
