"""Workers in this process, on each of the brokers, for tests whose transactions commit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pika
from django.db import connection
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from apps.core import actors
from apps.core.models import OutboxMessage
from tests.brokers import URLS, answering


class Bench:
    """A broker, with a queue of the test's own, whatever actors it declares there, and the outbox in front of it."""

    def __init__(self, broker: dramatiq.Broker, url: str) -> None:
        self.broker = broker
        # For processes of their own: BROKER_URL.
        self.url = url
        self.queue = f"test-{uuid.uuid4().hex}"

    def actor(self, function: Callable[..., Any], *, once: bool = False, **options: Any) -> actors.Actor[...]:
        """As `apps.core.actors.actor` declares one; tried again without much of a wait."""
        quick = {"min_backoff": 1, "max_backoff": 1, "queue_name": self.queue}
        return actors.actor(once=once, **quick | options)(function)

    def message(self, name: str, *args: Any, **options: Any) -> Message[Any]:
        """One that need not have an actor."""
        return Message(self.queue, name, args, {}, options)

    def send(self, *messages: Message[Any]) -> None:
        """Past the outbox."""
        for message in messages:
            self.broker.enqueue(message)

    def is_empty(self) -> bool:
        """Whether neither the broker nor the outbox has anything, at work or not."""
        return not OutboxMessage.objects.exists() and not self._held()

    @contextmanager
    def worker(self, threads: int = 2) -> Iterator[dramatiq.Worker]:
        self.broker.emit_after("process_boot")
        running = dramatiq.Worker(self.broker, worker_threads=threads, worker_timeout=50)
        running.start()
        try:
            yield running
        finally:
            running.stop(timeout=5_000)

    def raw(self, data: bytes) -> None:
        """Put something into the queue that need not be a message."""
        raise NotImplementedError

    def _held(self) -> int:
        raise NotImplementedError


class _Database(Bench):
    def raw(self, data: bytes) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO dramatiq.queue (queue_name, message_id, state, message) VALUES (%s, %s, 'queued', %s)",
                [self.queue, uuid.uuid4(), data.decode()],
            )

    def _held(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM dramatiq.queue")
            return int(cursor.fetchone()[0])


class _Redis(Bench):
    broker: RedisBroker

    def raw(self, data: bytes) -> None:
        self.broker.do_enqueue(self.queue, str(uuid.uuid4()), data)

    def _held(self) -> int:
        return int(self.broker.do_qsize(self.queue))


class _Rabbitmq(Bench):
    def raw(self, data: bytes) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.url)) as rabbit:
            rabbit.channel().basic_publish("", self.queue, data)

    def _held(self) -> int:
        """Of what is at work RabbitMQ says nothing here: of that, nothing is known before it has ended."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as rabbit:
            return int(rabbit.channel().queue_declare(self.queue, passive=True).method.message_count)


BENCHES = {"postgresql": _Database, "redis": _Redis, "rabbitmq": _Rabbitmq}


@contextmanager
def bench_on(name: str) -> Iterator[Bench]:
    """A bench on this broker, which is the application's within. Skips the test where no server answers."""
    with answering(name) as broker:
        yield BENCHES[name](broker, URLS[name])
