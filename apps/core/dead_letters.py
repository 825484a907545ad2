"""Messages that were given up."""

import traceback
from uuid import uuid4

from dramatiq import Message
from dramatiq.errors import DecodeError

from apps.core.models import DeadLetter


def bury(encoded: bytes, reason: BaseException) -> None:
    """Keep a message that was given up for `reason`: once, however often it is said. One statement."""
    try:
        message = Message.decode(encoded)
        message_id, actor, retries = message.message_id, message.actor_name, message.options.get("retries", 0)
    except (DecodeError, TypeError):
        message_id, actor, retries = str(uuid4()), "", 0
    error = "".join(traceback.format_exception(reason))
    letter = DeadLetter(message_id=message_id, actor=actor, message=encoded, error=error, retries=retries)
    DeadLetter.objects.bulk_create([letter], ignore_conflicts=True)
