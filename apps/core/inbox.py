"""What has been done: brokers deliver a message again when they cannot know whether it was."""

import functools
from collections.abc import Callable
from typing import ParamSpec

from django.db import connection, transaction
from dramatiq.middleware import CurrentMessage

P = ParamSpec("P")


def once(function: Callable[P, None]) -> Callable[P, None]:
    """`function` for the worker: a message that it has carried through already is passed over.

    It runs in a transaction, after one statement that notes the message's id: whoever gets the same message meanwhile
    waits for its end. Called without a message, it just runs in a transaction.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        message_id = current_message_id()
        with transaction.atomic():
            if message_id is None or _is_new(message_id):
                function(*args, **kwargs)

    return run


def current_message_id() -> str | None:
    """The id of the message that this task was sent with, the same each time that it is delivered or tried again."""
    message = CurrentMessage.get_current_message()
    return message.message_id if message is not None else None


def _is_new(message_id: str) -> bool:
    """Note the message; false when it is known."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO core_inboxmessage (message_id) VALUES (%s) ON CONFLICT DO NOTHING", [message_id])
        return bool(cursor.rowcount)
