"""Measures the background work: `python -m benchmarks.background [part …]`; all parts without any.

- `write`: what a message to the outbox adds to a write;
- `relay`: how many messages a second one relay hands to each broker that answers;
- `notify`: why no write notifies the relay;
- `idle`: what relay, scheduler and worker cost while there is nothing to do.

It takes a database of its own in DATABASE_URL's server, or in an embedded one. The numbers of `write` and `notify` mean
something only where fsync is on. REDIS_URL and RABBITMQ_URL say where the other brokers are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import django
import psutil
from django.utils.module_loading import import_string

from benchmarks.identity import database
from benchmarks.serving import ROOT, manage, settings

# A part is a function of the database's URL. Its module may import the application, which is set up by then.
PARTS = {
    "write": "benchmarks.background_outbox.write",
    "relay": "benchmarks.background_outbox.relays",
    "notify": "benchmarks.background_outbox.notify",
    "idle": "benchmarks.background.idle",
}
COMMANDS = ("relay_outbox", "scheduler", "worker")
START_SECONDS, IDLE_SECONDS = 10, 30


def main(parts: Sequence[str]) -> None:
    with database() as url:
        os.environ |= settings(url, LOG_LEVEL="ERROR")
        manage(dict(os.environ), "migrate", "--verbosity=0")
        manage(dict(os.environ), "seed", "--yes")
        django.setup()
        for part in parts or PARTS:
            import_string(PARTS[part])(url)


def idle(url: str) -> None:
    """How busy each is, with all that it has started, and PostgreSQL apart."""
    print(f"\nIdle, for {IDLE_SECONDS} seconds | % of a core")
    with ExitStack() as stack:
        processes = {command: stack.enter_context(running(command)) for command in COMMANDS}
        time.sleep(START_SECONDS)
        before = {command: seconds_of(process) for command, process in processes.items()}
        time.sleep(IDLE_SECONDS)
        used = {command: seconds_of(process) - before[command] for command, process in processes.items()}
    for command, seconds in {**used, "together": sum(used.values())}.items():
        print(f"{command:>20} | {100 * seconds / IDLE_SECONDS:>11.2f}")


@contextmanager
def running(command: str) -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "manage.py", command], cwd=ROOT)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def seconds_of(process: psutil.Process) -> float:
    """The CPU time that it and its children have taken."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


if __name__ == "__main__":
    main(sys.argv[1:])
