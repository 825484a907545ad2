"""Relays for tests: beside each other, as the process does it, and with a broker that fails."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import dramatiq
from django.db import connections
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit, Retries, TimeLimit

from apps.core.models import OutboxMessage
from apps.core.relay import Relay, relay


class Unreliable(StubBroker):
    """Takes messages, but for those at some places in their order, which have to be brought again."""

    def __init__(self, failures: set[int]) -> None:
        super().__init__(middleware=[AgeLimit(), TimeLimit(), Retries()])
        self.taken: list[tuple[str, int]] = []
        self._failures = failures
        self._lock = threading.Lock()
        self._numbers = count()

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        with self._lock:
            if next(self._numbers) in self._failures:
                raise ConnectionError("not now")
            self.taken.append((message.args[0], message.args[1]))
        return message


@contextmanager
def unreliable(failures: set[int]) -> Iterator[Unreliable]:
    broker, before = Unreliable(failures), dramatiq.get_broker()
    dramatiq.set_broker(broker)
    try:
        yield broker
    finally:
        dramatiq.set_broker(before)


def in_order(taken: Iterable[Sequence[Any]], key: str) -> bool:
    """Whether the messages of `key` were taken in the order of their numbers."""
    numbers = [number for its_key, number in taken if its_key == key]
    return numbers == sorted(numbers)


@contextmanager
def beside_each_other(relays: int) -> Iterator[None]:
    """So many relay during the block, and afterwards until nothing is left. Each is started again when it fails."""
    written = threading.Event()

    def relay_through() -> None:
        try:
            while not written.is_set() or OutboxMessage.objects.exists():
                with suppress(ConnectionError):
                    relay()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(relays) as threads:
        running = [threads.submit(relay_through) for _ in range(relays)]
        try:
            yield
        finally:
            written.set()
        for each in running:
            each.result(60)


@contextmanager
def relaying() -> Iterator[None]:
    """The relay's process, as a thread."""
    told, tell = os.pipe()

    def run() -> None:
        try:
            Relay(told).run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        os.write(tell, b".")
        thread.join(20)
        os.close(told)
        os.close(tell)
    assert not thread.is_alive()
