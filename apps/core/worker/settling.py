"""What becomes of a message whose task has failed: written to the database before its broker may forget it."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import close_old_connections, transaction
from dramatiq import Broker, MessageProxy, middleware
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import MiddlewareError

from apps.core import outbox

logger = logging.getLogger("broadside.errors")

FATE = "fate"


class Unsettled(MiddlewareError, BrokerConnectionError):
    """The database does not take what is to be written. To Dramatiq the broker cannot be reached: it asks again."""


@dataclass(frozen=True)
class Again:
    """The message will be tried again, by way of the outbox: its clock is the database's, and no broker can lose it."""

    delay: timedelta

    def settle(self, message: MessageProxy) -> None:
        outbox.write([message.encode()], delay=self.delay)


@dataclass(frozen=True)
class GivenUp:
    """The message becomes a dead letter."""

    error: str

    def settle(self, message: MessageProxy) -> None:
        from apps.core import dead_letters  # noqa: PLC0415  (middleware are made before there can be models)

        dead_letters.store(message, self.error)


class Retries(middleware.Retries):
    """Dramatiq's, which decides when a failed message is tried again or that it is given up.

    It would hand the message to the broker itself, and where that fails, have the first one acknowledged all the same:
    lost. Here either is written to the database before the broker is told that the message is done with; while the
    database takes nothing, the message stays with the broker and its thread waits. Nothing is left to the broker's own
    dead-letter queue.
    """

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        if exception is None:
            return
        noted = _Noted(broker)
        try:
            super().after_process_message(noted, message, exception=exception)  # type: ignore[no-untyped-call]
        except Exception:
            # Options that make no sense: whoever failed to decide must not pass for done.
            logger.exception("Nothing tells when to try again", extra={"message_id": message.message_id})
            message.fail()
        message.options.pop("traceback", None)  # of each failure there is one in the log
        if message.failed:
            self._give_up(message, "".join(traceback.format_exception(exception)))
        else:
            vars(message)[FATE] = Again(timedelta(milliseconds=noted.delay))

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        if message.failed:
            self._give_up(message, f"{vars(message)['_exception']}\n")

    def before_ack(self, broker: Broker, message: MessageProxy) -> None:
        """Write what has been decided, in one transaction. Raises Unsettled when that fails, for whatever reason."""
        fate = fate_of(message)
        if fate is None:
            return
        try:
            with transaction.atomic():
                fate.settle(message)
        except Exception as error:
            raise Unsettled(str(error)) from error  # type: ignore[no-untyped-call]
        finally:
            close_old_connections()
        # The broker may not hear of it at once, and then this is asked again.
        del vars(message)[FATE]

    def _give_up(self, message: MessageProxy, error: str) -> None:
        message.failed = False
        vars(message)[FATE] = GivenUp(error)


def fate_of(message: MessageProxy) -> Again | GivenUp | None:
    """What will become of a message whose task has just failed; None of one that is done."""
    fate: Again | GivenUp | None = vars(message).get(FATE)
    return fate


class _Noted:
    """Stands before Dramatiq's Retries for the broker, and takes down the delay that it has come to."""

    def __init__(self, broker: Broker) -> None:
        self.get_actor = broker.get_actor
        self.delay = 0

    def enqueue(self, message: MessageProxy, *, delay: int) -> None:
        self.delay = delay
