"""Ends its own process with SIGKILL at a given step, as the out-of-memory killer would at any."""

import os
import signal
from itertools import count
from typing import Any

from dramatiq import Middleware

# "step:n", the n-th time that the process comes to it.
VARIABLE = "DRILL_KILL_AT"

_times = count(1)


def at(step: str) -> None:
    """Die, if this is the step and the time."""
    wanted, _, number = os.environ.get(VARIABLE, "").partition(":")
    if step == wanted and next(_times) == int(number):
        os.kill(os.getpid(), signal.SIGKILL)


class Killer(Middleware):
    """The steps that Dramatiq tells of. The first in the list: before the others before, and after them after."""

    def after_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        at("handed_over")

    def before_process_message(self, broker: Any, message: Any) -> None:
        at("received")

    def after_process_message(self, broker: Any, message: Any, *, result: Any = None, exception: Any = None) -> None:
        at("done")
