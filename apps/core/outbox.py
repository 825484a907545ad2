"""How services hand work to the worker: with the transaction that the work follows from, or not at all."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from apps.core.actors import Actor
from apps.core.waker import Waker

# The relay listens here.
CHANNEL = "broadside_outbox"

# Bytes. Messages hold ids. What no broker takes would keep waiting what comes behind it, so that fails its writer.
MESSAGE_MAX = 1_000_000

WRITE = """
INSERT INTO core_outboxmessage (key, message, due_at)
SELECT %(key)s, message, now() + %(delay)s
FROM unnest(%(messages)s::bytea[]) WITH ORDINALITY AS sent (message, place) ORDER BY place
"""

_waker = Waker(CHANNEL)


def send(actor: Actor[...], *args: Any, delay: timedelta | None = None, key: str = "") -> None:
    """A message to `actor`, written in the surrounding transaction: a rollback takes it back. One statement.

    Once that has committed, the relay hands it to the broker, after `delay` by the database's clock if there is one.
    Messages of one `key` are handed over in the order in which they were written, as far as their writers waited for
    each other. Raises TypeError for arguments that JSON has no word for, and ValueError for more than MESSAGE_MAX.
    """
    send_all(actor, [args], delay=delay, key=key)


def send_all(
    actor: Actor[...], calls: Iterable[tuple[Any, ...]], *, delay: timedelta | None = None, key: str = ""
) -> None:
    """The same for many messages, in one statement; none for no messages."""
    messages = [actor.message(*args) for args in calls]
    if delay:
        # A message's age, and how long it has waited, count from when it is due.
        later = delay // timedelta(milliseconds=1)
        messages = [each.copy(message_timestamp=each.message_timestamp + later) for each in messages]
    write([message.encode() for message in messages], delay=delay, key=key)


def write(messages: Sequence[bytes], *, delay: timedelta | None = None, key: str = "") -> None:
    """The same for messages as Dramatiq encodes them: those that are not sent for the first time."""
    if not messages:
        return
    if any(len(message) > MESSAGE_MAX for message in messages):
        raise ValueError(f"A message has more than {MESSAGE_MAX:,} bytes.")
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"key": key, "messages": messages, "delay": delay or timedelta()}
        cursor.execute(WRITE, values)
    transaction.on_commit(_waker.wake)
