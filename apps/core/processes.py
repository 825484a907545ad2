"""Child processes that live and end together, with their output on one terminal."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_COLOURS = (36, 35, 33, 32, 34)


@dataclass(frozen=True)
class Child:
    """A started process. `name` is what its lines begin with."""

    name: str
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """The process and also the group of all that it starts."""
        return self.process.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self.process.returncode


class Processes:
    """Starts children, passes their lines on, and takes all of them down at the end of the `with` block.

    Each child leads a session of its own, so that Ctrl-C in the terminal reaches this process alone. On Linux
    a child is also told to stop (SIGTERM) when this process is killed. Start children from the main thread:
    for the kernel the parent is a thread.
    """

    def __init__(self, output: IO[str], *, cwd: Path, stop_seconds: float = 10) -> None:
        self._output = output
        self._coloured = output.isatty() and not os.environ.get("NO_COLOR")
        self._writing = threading.Lock()
        self._cwd = cwd
        self._stop_seconds = stop_seconds
        self._children: list[Child] = []
        self._pumps: list[threading.Thread] = []
        self._ended: queue.SimpleQueue[Child] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, command: list[str], *, log: Path | None = None) -> Child:
        """Start a child. Its output goes to `log`, or else to the terminal behind its name."""
        log_file = log.open("wb") if log else None
        process = subprocess.Popen(
            [*_told_of_parents_death(), *command],
            stdin=subprocess.DEVNULL,
            stdout=log_file or subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        child = Child(name, process)
        self._children.append(child)
        if log_file:
            log_file.close()
        elif process.stdout:
            self._spawn(self._pump, self._prefix(name, len(self._pumps)), process.stdout)
        threading.Thread(target=self._watch, args=(child,), daemon=True).start()
        return child

    def wait(self) -> Child:
        """Block until another child has ended by itself, and return it."""
        return self._ended.get()

    def stop(self) -> None:
        """Stop the children one after the other, in the order of their start. After `stop_seconds`, or when
        interrupted, kill the rest; at the end kill whatever a child has left behind, and write what is left of
        their output."""
        deadline = time.monotonic() + self._stop_seconds
        try:
            for child in self._children:
                child.process.terminate()
                child.process.wait(max(0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            pass
        for child in self._children:
            _kill_group(child.pid)
            child.process.wait()
        # A pump ends with the last of the processes that write to it. One that has left its group was not killed
        # and may hold the pipe for ever.
        deadline = time.monotonic() + self._stop_seconds
        for pump in self._pumps:
            pump.join(max(0, deadline - time.monotonic()))
        self._children.clear()
        self._pumps.clear()

    def write(self, text: str) -> None:
        """Write whole lines, never into the middle of a child's."""
        try:
            with self._writing:
                self._output.write(text)
                self._output.flush()
        except OSError:
            # The terminal has gone; the children's pipes still have to be drained.
            return

    def _spawn(self, target: Callable[[str, IO[bytes]], None], prefix: str, stream: IO[bytes]) -> None:
        pump = threading.Thread(target=target, args=(prefix, stream), daemon=True)
        pump.start()
        self._pumps.append(pump)

    def _pump(self, prefix: str, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self.write(f"{prefix}{line.decode(errors='replace').rstrip()}\n")

    def _watch(self, child: Child) -> None:
        child.process.wait()
        self._ended.put(child)

    def _prefix(self, name: str, number: int) -> str:
        label = f"{name:<8}| "
        return f"\033[{_COLOURS[number % len(_COLOURS)]}m{label}\033[0m" if self._coloured else label


def _told_of_parents_death() -> list[str]:
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
