"""Whether the processes of a worker are at work: each says so in a file, and whoever is asked compares the times."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from dramatiq import Broker, Consumer, MessageProxy, Middleware, Worker

# Seconds without a sign of life after which a process is taken for dead.
SILENCE = 60.0
# Between two signs of life.
PAUSE = 5.0
# How long a task may go on after its time limit, where nothing could interrupt it.
OVERTIME = 60.0
VARIABLE = "BROADSIDE_WORKER"


@dataclass(frozen=True)
class Crew:
    """The processes of one `manage.py worker`, as all of them know it: from the environment."""

    folder: str
    processes: int
    shutdown_seconds: int

    def announce(self) -> None:
        """For the processes that are started from now on."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def announced(cls) -> Self:
        return cls(**json.loads(os.environ[VARIABLE]))

    def is_healthy(self) -> bool:
        """Whether all of its processes have given all of their signs within SILENCE. One that starts has not yet."""
        # The clock is one for all processes of a machine, and nobody sets it.
        oldest = time.monotonic() - SILENCE
        signs = [(path.name.partition("-")[0], float(path.read_text())) for path in Path(self.folder).glob("*.sign")]
        return len({pid for pid, _ in signs}) >= self.processes and all(moment > oldest for _, moment in signs)


class Attendance(Middleware):
    """Has the consumers of a worker's process give signs of life, and knows what its threads are at.

    A consumer gives one whenever the broker has answered it; none, when a thread of the process has ended, or is at a
    task that should have ended long ago.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._worker: Worker | None = None
        # What threads are at, by the identity of the object, and when it should be over by time.monotonic.
        self._begun: dict[int, tuple[MessageProxy, float]] = {}
        self._changing = threading.Lock()

    def at_work(self) -> list[MessageProxy]:
        """The messages that threads have begun with, and not acknowledged."""
        with self._changing:
            return [message for message, _ in self._begun.values()]

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        self._worker = worker
        consume = broker.consume

        def watched(queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
            consumer = consume(queue_name=queue_name, prefetch=prefetch, timeout=timeout)
            return _Watched(consumer, self._sign(queue_name))

        broker.consume = watched  # type: ignore[method-assign]  # no middleware hears of what consumers do

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        limit = broker.get_actor(message.actor_name).options.get("time_limit", 0)
        with self._changing:
            self._begun[id(message)] = (message, time.monotonic() + limit / 1000)

    def after_ack(self, broker: Broker, message: MessageProxy) -> None:
        with self._changing:
            self._begun.pop(id(message), None)

    def _sign(self, queue_name: str) -> Callable[[], None]:
        path = Path(self._crew.folder) / f"{os.getpid()}-{queue_name}.sign"
        last = float("-inf")

        def give() -> None:
            nonlocal last
            if (now := time.monotonic()) >= last + PAUSE and self._goes_on(now):
                new = path.with_suffix(".new")
                new.write_text(str(now))
                new.replace(path)
                last = now

        return give

    def _goes_on(self, now: float) -> bool:
        with self._changing:
            stuck = any(end + OVERTIME < now for _, end in self._begun.values())
        return not stuck and self._worker is not None and all(thread.is_alive() for thread in self._worker.workers)


class _Watched(Consumer):
    """A consumer, with a sign of life each time that it has been asked for a message and has come back."""

    def __init__(self, consumer: Consumer, sign: Callable[[], None]) -> None:
        self._consumer = consumer
        self._sign = sign

    def __next__(self) -> MessageProxy | None:
        message = next(self._consumer)
        self._sign()
        return message

    def ack(self, message: MessageProxy) -> None:
        self._consumer.ack(message)

    def nack(self, message: MessageProxy) -> None:
        self._consumer.nack(message)

    def requeue(self, messages: Any) -> None:
        self._consumer.requeue(messages)

    def close(self) -> None:
        self._consumer.close()
