"""What happens in a drill."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

from tests.faults.system import System
from tests.waiting import wait_until

# How long a broker is away. A minute takes a minute.
AWAY_SECONDS = float(os.environ.get("DRILL_AWAY_SECONDS", "5"))

Faults = Callable[[System, Callable[[], float]], None]


def _nothing(running: System, progress: Callable[[], float]) -> None:
    """No fault."""


def _kill(running: System, progress: Callable[[], float]) -> None:
    """kill -9 of everything in turn, wherever it may be."""
    for number, name in enumerate(("web", "relay", "worker", "scheduler") * 2, start=1):
        _until(progress, number / 12)
        running.kill(name)


def _stop_broker(running: System, progress: Callable[[], float]) -> None:
    """The broker is stopped, and started again after AWAY_SECONDS."""
    _until(progress, 0.2)
    running.broker.stop()
    threading.Event().wait(AWAY_SECONDS)
    running.broker.start()


def _restart_postgresql(running: System, progress: Callable[[], float]) -> None:
    _until(progress, 0.3)
    running.stop_postgresql()
    running.start_postgresql()


def _jump(running: System, progress: Callable[[], float]) -> None:
    """The clock of the machine that the processes run on goes an hour forward, and later two hours back."""
    for share, offset in ((0.3, 3_600), (0.6, -3_600)):
        _until(progress, share)
        running.set_clock(offset)


def _poison(running: System, progress: Callable[[], float]) -> None:
    """Messages that nobody can do: one is none, the other lacks what its actor wants."""
    _until(progress, 0.3)
    sent = {
        "queue_name": "default",
        "actor_name": "post_published",
        "args": [],
        "kwargs": {},
        "options": {"max_retries": 0},
        "message_id": str(uuid4()),
        "message_timestamp": round(time.time() * 1000),
    }
    no_message = {"message_id": str(uuid4()), "args": []}
    for message in (no_message, sent):
        running.sql("INSERT INTO core_outboxmessage (key, message) VALUES ('', %s)", json.dumps(message).encode())


def _everything(running: System, progress: Callable[[], float]) -> None:
    """All of these beside each other; but poison has to find PostgreSQL there."""

    def on_postgresql() -> None:
        _poison(running, progress)
        _restart_postgresql(running, progress)

    with ThreadPoolExecutor() as threads:
        begun = [threads.submit(faults, running, progress) for faults in (_kill, _stop_broker, _jump)]
        begun.append(threads.submit(on_postgresql))
    for each in begun:
        each.result()


def _until(progress: Callable[[], float], share: float) -> None:
    wait_until(lambda: progress() >= share, 120, lambda: f"{progress():.0%} written")


@dataclass(frozen=True)
class Scenario:
    """Faults while there are writes, given the system and the share of writes so far; they run in a thread.

    `deaths` say for relay, worker and scheduler at which steps (see `killer`) one process each dies.
    """

    name: str
    faults: Faults = _nothing
    deaths: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # How many messages nobody can do.
    dead_letters: int = 0

    def __str__(self) -> str:
        return self.name

    @property
    def kills(self) -> int:
        """How many deaths have to happen."""
        return sum(map(len, self.deaths.values()))


# From the outbox to the acknowledgement, and in the middle of publishing.
_DEATHS = {
    "relay": ["handed_over:40", "before_commit:40"],
    "worker": ["received:30", "at_work:30", "mailed:30", "after_commit:30", "done:30"],
    "scheduler": ["before_commit:2", "after_commit:2"],
}
_ALL = (
    Scenario("calm"),
    Scenario("killed", _kill, _DEATHS),
    Scenario("broker away", _stop_broker),
    Scenario("PostgreSQL restarted", _restart_postgresql),
    Scenario("clock jumps", _jump),
    Scenario("poison", _poison, dead_letters=2),
    Scenario("everything", _everything, _DEATHS, dead_letters=2),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}
