"""From the outbox to the broker."""

import dramatiq
from django.db import transaction
from django.db.models.functions import Now
from dramatiq import Message

from apps.core.models import OutboxMessage


def relay() -> int:
    """Hand over what is due, oldest first, and give its number."""
    count = 0
    while _relay_one():
        count += 1
    return count


@transaction.atomic
def _relay_one() -> bool:
    row = OutboxMessage.objects.filter(due_at__lte=Now()).order_by("pk").select_for_update(skip_locked=True).first()
    if row is None:
        return False
    dramatiq.get_broker().enqueue(Message.decode(bytes(row.message)))
    row.delete()
    return True
