"""Ending when a supervisor says so: for commands that run until then, and for a server that has to know it early."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGTERM, signal.SIGINT)


def told_to_stop() -> int:
    """A descriptor that can be read from as soon as a signal has asked this process to stop. For the main thread."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    # A handler runs when the main thread next runs Python. When the signal has reached another thread, or this one just
    # before it began to wait, that is after the wait. This is written to at once, by whichever thread it is.
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in STOPS:
        signal.signal(number, lambda *_: None)
    return told


def ignore_further_signals() -> None:
    """Before the end: Python gives handlers up before it has ended, and another signal would kill it then."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def when_told_to_stop(stop: Callable[[], None]) -> Iterator[None]:
    """Have `stop` called, in the event loop, when a signal asks the process to stop within.

    An ASGI server tells its application only when the last response has been sent, and a stream would be that for
    ever. Whoever handles the signal goes on to do so; what nobody handles is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal arrives here
        return
    loop = asyncio.get_running_loop()
    before = {each: handler for each in STOPS if callable(handler := signal.getsignal(each))}

    def handle(number: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop)
        before[signal.Signals(number)](number, frame)

    for each in before:
        signal.signal(each, handle)
    try:
        yield
    finally:
        for each, handler in before.items():
            if signal.getsignal(each) is handle:
                signal.signal(each, handler)
