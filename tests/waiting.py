"""For tests of processes: wait for a condition instead of sleeping."""

import os
import time
from collections.abc import Callable
from pathlib import Path


def wait_until(
    condition: Callable[[], bool], seconds: float = 60, otherwise: Callable[[], object] = lambda: None
) -> None:
    """Return as soon as `condition` holds; fail, showing `otherwise()`, when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"this did not become true in time: {otherwise()}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether there is such a process, not counting one that has ended and waits to be reaped."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")
    except PermissionError:
        return True
    except (ProcessLookupError, FileNotFoundError):
        return False
