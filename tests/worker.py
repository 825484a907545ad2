"""Workers in this process, on each of the brokers, for tests whose transactions commit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pika
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from dramatiq import Message
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from redis import Redis, RedisError

from apps.core import actors
from apps.core.broker import DatabaseBroker
from apps.core.models import OutboxMessage

REDIS = "redis://127.0.0.1:6379/12"
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672"


class Bench:
    """A broker of its own, with whatever actors a test declares on it, and the outbox in front of it."""

    # For processes of their own: BROKER_URL.
    url = ""

    def __init__(self, broker: dramatiq.Broker, queue: str) -> None:
        self.broker = broker
        self.queue = queue

    def actor(self, function: Callable[..., Any], *, once: bool = False, **options: Any) -> actors.Actor[...]:
        """As `apps.core.actors.actor` declares one; tried again without much of a wait."""
        quick = {"min_backoff": 1, "max_backoff": 1, "queue_name": self.queue, "broker": self.broker}
        return actors.actor(once=once, **quick | options)(function)

    def message(self, name: str, *args: Any, **options: Any) -> Message[Any]:
        """One that need not have an actor."""
        return Message(self.queue, name, args, {}, options)

    def send(self, *messages: Message[Any]) -> None:
        """Past the outbox."""
        for message in messages:
            self.broker.enqueue(message)

    @transaction.atomic
    def hand_over(self) -> None:
        """What a relay does, for what is due in the outbox."""
        for row in OutboxMessage.objects.filter(due_at__lte=Now()).order_by("pk").select_for_update():
            self.broker.enqueue(Message.decode(bytes(row.message)))
            row.delete()

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
    url = REDIS

    def raw(self, data: bytes) -> None:
        self.broker.do_enqueue(self.queue, str(uuid.uuid4()), data)

    def _held(self) -> int:
        return int(self.broker.do_qsize(self.queue))


class _Rabbitmq(Bench):
    url = RABBITMQ

    def raw(self, data: bytes) -> None:
        with pika.BlockingConnection(pika.URLParameters(RABBITMQ)) as rabbit:
            rabbit.channel().basic_publish("", self.queue, data)

    def _held(self) -> int:
        """Of what is at work RabbitMQ says nothing here: of that, nothing is known before it has ended."""
        with pika.BlockingConnection(pika.URLParameters(RABBITMQ)) as rabbit:
            return int(rabbit.channel().queue_declare(self.queue, passive=True).method.message_count)


def _middleware() -> list[dramatiq.Middleware]:
    return [import_string(path)() for path in settings.DRAMATIQ_BROKER["MIDDLEWARE"]]


@contextmanager
def database_bench() -> Iterator[Bench]:
    broker = DatabaseBroker(_middleware())
    try:
        yield _Database(broker, "default")
    finally:
        broker.close()
        broker.pool.close()
        with connection.cursor() as cursor:
            # Its listener would only notice in two seconds that it is over.
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'broadside-tasks'"
            )
            cursor.execute("DELETE FROM dramatiq.queue")
            cursor.execute("DELETE FROM dramatiq.worker")
        if broker.notifier.is_alive():
            broker.notifier.join(20)


@contextmanager
def redis_bench() -> Iterator[Bench]:
    queue = f"test-{uuid.uuid4().hex}"
    broker = RedisBroker(url=REDIS, middleware=_middleware())  # type: ignore[no-untyped-call]
    try:
        broker.client.ping()
    except RedisError as error:
        pytest.skip(f"NOT TESTED: nothing answers at {REDIS} ({error})")
    yield _Redis(broker, queue)
    broker.close()
    with Redis.from_url(REDIS) as server:
        for key in server.scan_iter(f"*{queue}*"):
            server.delete(key)
    broker.client.close()


@contextmanager
def rabbitmq_bench() -> Iterator[Bench]:
    queue = f"test-{uuid.uuid4().hex}"
    try:
        pika.BlockingConnection(pika.URLParameters(RABBITMQ)).close()
    except pika.exceptions.AMQPError as error:
        pytest.skip(f"NOT TESTED: nothing answers at {RABBITMQ} ({error!r})")
    broker = RabbitmqBroker(url=RABBITMQ, confirm_delivery=True, middleware=_middleware())
    yield _Rabbitmq(broker, queue)
    broker.close()
    with pika.BlockingConnection(pika.URLParameters(RABBITMQ)) as rabbit:
        for name in (queue, f"{queue}.DQ", f"{queue}.XQ"):
            rabbit.channel().queue_delete(name)


BENCHES = {"postgresql": database_bench, "redis": redis_bench, "rabbitmq": rabbitmq_bench}
