"""Messages that were given up: kept until somebody has them done after all, or drops them."""

import inspect
import re
import time
import traceback
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import dramatiq
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from dramatiq import Message, MessageProxy
from dramatiq.errors import DecodeError

from apps.core import outbox
from apps.core.broker import MESSAGE_ID, decoded
from apps.core.models import DeadLetter
from apps.core.text import storable

# The end of a traceback says most.
ERROR_MAX = 20_000
# What earlier attempts have left in a message.
TRACES = ("retries", "requeue_timestamp", "traceback", "eta", "redis_message_id")
SECRET = re.compile("password|token|secret|key|digest", re.IGNORECASE)


def store(message: MessageProxy | Message[Any], error: str) -> None:
    """Keep the message, once, however often it was given up. One statement."""
    retries = message.options.get("retries")
    DeadLetter.objects.bulk_create(
        [
            DeadLetter(
                message_id=message.message_id,
                actor=storable(message.actor_name)[:200],
                message=message.encode(),
                error=storable(error)[-ERROR_MAX:],
                retries=min(max(retries, 0), 2**31 - 1) if isinstance(retries, int) else 0,
            )
        ],
        ignore_conflicts=True,
    )


def bury(encoded: bytes, reason: BaseException) -> None:
    """Keep a message that no broker takes, for `reason`: as `store` does, or as it is when nobody can read it."""
    error = "".join(traceback.format_exception(reason))
    try:
        store(decoded(encoded), error)
    except DecodeError:
        DeadLetter.objects.create(message_id=uuid4(), message=encoded, error=storable(error)[-ERROR_MAX:])


@transaction.atomic
def requeue(letters: QuerySet[DeadLetter]) -> int:
    """Have them done after all, as if they had just been sent, under their old ids; give their number.

    Three statements. Who requeues the same meanwhile finds them gone. What is no message, or too large for one, stays.
    """
    held = {letter.pk: _as_new(letter) for letter in letters.order_by("pk").select_for_update()}
    sent = {key: message for key, message in held.items() if message and len(message) <= outbox.MESSAGE_MAX}
    outbox.write([*sent.values()])
    DeadLetter.objects.filter(pk__in=sent).delete()
    return len(sent)


def purge(older_than: timedelta) -> int:
    """Drop those that were given up longer ago; give their number. One statement, by the database's clock."""
    return DeadLetter.objects.filter(failed_at__lt=Now() - older_than).delete()[0]


def named(ids: Iterable[str]) -> QuerySet[DeadLetter]:
    """Those with these ids: their own, or those of their messages, as the log has them."""
    names = list(ids)
    numbers = [int(each) for each in names if each.isdecimal() and len(each) < 19]
    return DeadLetter.objects.filter(Q(pk__in=numbers) | Q(message_id__in=filter(MESSAGE_ID.fullmatch, names)))


def arguments(letter: DeadLetter) -> str:
    """What the actor was given, as it would be written: `user_id=1, password_then=…`, without what may be a secret.

    There may be personal data in it: addresses, for mails.
    """
    try:
        message = decoded(bytes(letter.message))
    except DecodeError:
        return f"{len(letter.message):,} bytes that are no message"
    given = [*zip(_parameters(letter.actor, len(message.args)), message.args, strict=True), *message.kwargs.items()]
    return ", ".join(f"{name}={'…' if _may_be_secret(name, value) else repr(value)}" for name, value in given)


def _may_be_secret(name: str, value: Any) -> bool:
    """By its name; of an actor that there is no longer nobody knows the names."""
    return bool(SECRET.search(name)) or (name.isdecimal() and isinstance(value, str))


def last_line(letter: DeadLetter) -> str:
    """What the error ends with."""
    return letter.error.rstrip().rpartition("\n")[2]


def _as_new(letter: DeadLetter) -> bytes | None:
    try:
        message = decoded(bytes(letter.message))
    except DecodeError:
        return None
    options = {name: value for name, value in message.options.items() if name not in TRACES}
    return replace(message, options=options, message_timestamp=int(time.time() * 1000)).encode()


def _parameters(actor: str, number: int) -> list[str]:
    """Names for the first `number` arguments of an actor; positions, where there is none or it takes fewer."""
    declared = dramatiq.get_broker().actors.get(actor)
    names = list(inspect.signature(declared.fn).parameters) if declared is not None else []
    return [*names, *(str(position) for position in range(len(names), number))][:number]
