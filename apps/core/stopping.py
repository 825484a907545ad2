"""Ending when a supervisor says so, for commands that run until then."""

import os
import signal

STOPS = (signal.SIGTERM, signal.SIGINT)


def told_to_stop() -> int:
    """A descriptor that can be read from as soon as a signal has asked this process to stop. For the main thread."""
    # A handler may be interrupted by the next signal: with a threading.Event it would lock itself out.
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    for number in STOPS:
        signal.signal(number, lambda *_: _tell(tell))
    return told


def ignore_further_signals() -> None:
    """Before the end: Python gives handlers up before it has ended, and another signal would kill it then."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def _tell(tell: int) -> None:
    try:
        os.write(tell, b".")
    except BlockingIOError:  # it has been told often enough
        return
