"""One line in the log for each task, and one error, whole, for each that fails. Never what a task was given."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, Literal

from dramatiq import Broker, MessageProxy, Middleware

from apps.core.worker.settling import Again, fate_of

logger = logging.getLogger("broadside.task")
errors = logging.getLogger("broadside.errors")

Outcome = Literal["done", "retried", "dead"]


@dataclass
class Attempt:
    """One attempt at what a message asks for."""

    # Seconds between the moment from which on the message was due and the start of its first attempt, by the clocks of
    # the two machines.
    lag: float | None
    started: float = field(default_factory=perf_counter)
    seconds: float = 0
    outcome: Outcome = "done"


class TaskLog(Middleware):
    """Has to stand before Retries among the middleware, so that it learns what that has decided."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        is_first = "retries" not in message.options
        lag = max(0.0, time() - message.message_timestamp / 1000) if is_first else None
        vars(message)["attempt"] = Attempt(lag)

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        attempt = attempt_of(message)
        attempt.seconds = perf_counter() - attempt.started
        fate = fate_of(message)
        again = fate.delay.total_seconds() if isinstance(fate, Again) else None
        if fate is not None:
            attempt.outcome = "dead" if again is None else "retried"
        told = {"message_id": message.message_id, "retries": message.options.get("retries", 0)}
        if fate is not None:
            errors.error("The task %s has failed", message.actor_name, exc_info=exception, extra=told)
        logger.info(
            message.actor_name,
            extra={"ms": round(attempt.seconds * 1000, 1), "outcome": attempt.outcome, "again_in": again, **told},
        )

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self.after_process_message(broker, message, exception=vars(message)["_exception"])


def attempt_of(message: MessageProxy) -> Attempt:
    """The attempt that this process makes, or has just made, at what `message` asks for."""
    attempt: Attempt = vars(message)["attempt"]
    return attempt
