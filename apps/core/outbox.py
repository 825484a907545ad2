"""How services hand work to the worker: with the transaction that the work follows from, or not at all."""

from datetime import timedelta
from typing import Any

import dramatiq
from django.db import transaction
from django.utils import timezone
from dramatiq import Actor, Message

from apps.core.models import OutboxMessage

# By then whoever wrote a message has handed it over, or never will.
OVERDUE = timedelta(minutes=1)


def send(actor: Actor[..., Any], *args: Any) -> None:
    """A message to `actor`, written in the surrounding transaction: a rollback takes it back. One statement.

    Once that has committed, the broker gets it, and the row goes, for another statement. What keeps it from getting
    there, a broker that is down or the end of this process, is logged if it can be, and the row stays for `relay`.
    """
    message = actor.message(*args)
    row = OutboxMessage.objects.create(message=message.encode())
    transaction.on_commit(lambda: _hand_over(row, message, actor.broker), robust=True)


def relay() -> int:
    """Hand over what has stayed for a minute, oldest first, and give its number. Several may run beside each other.

    A message may come twice: when this ends, or its writer was only slow, between the broker and the row. Raises
    what the broker does; what was handed over until then is.
    """
    count = 0
    while _relay_one():
        count += 1
    return count


@transaction.atomic
def _relay_one() -> bool:
    stale = OutboxMessage.objects.filter(created_at__lt=timezone.now() - OVERDUE).order_by("pk")
    row = stale.select_for_update(skip_locked=True).first()
    if row is None:
        return False
    _hand_over(row, Message.decode(bytes(row.message)), dramatiq.get_broker())
    return True


def _hand_over(row: OutboxMessage, message: Message[Any], broker: dramatiq.Broker) -> None:
    broker.enqueue(message)
    row.delete()
