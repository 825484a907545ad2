"""The queue of background work, for tests whose transactions commit."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
from django.db import connection

from apps.core.models import OutboxMessage


def queued() -> list[tuple[str, list[Any]]]:
    """Actor and arguments of each message in the queue of the PostgreSQL broker, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT message FROM dramatiq.queue ORDER BY position")
        messages = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in cursor.fetchall()]
    return [(message["actor_name"], message["args"]) for message in messages]


def written() -> list[tuple[str, list[Any]]]:
    """Actor and arguments of each message in the outbox, oldest first: a test that rolls back commits none."""
    messages = [dramatiq.Message.decode(bytes(row.message)) for row in OutboxMessage.objects.order_by("pk")]
    return [(message.actor_name, list(message.args)) for message in messages]


def work_off() -> None:
    """Do what the messages in the outbox ask for, as a worker would."""
    tasks = written()
    OutboxMessage.objects.all().delete()
    for name, args in tasks:
        dramatiq.get_broker().get_actor(name)(*args)


@contextmanager
def empty_queue() -> Iterator[None]:
    """Forget all messages afterwards, and close the broker's connections: the test database has to be droppable."""
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM dramatiq.queue")
            cursor.execute("DELETE FROM dramatiq.worker")
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'broadside-tasks'"
            )


@contextmanager
def worker(broker: dramatiq.Broker) -> Iterator[None]:
    running = dramatiq.Worker(broker, worker_threads=1, worker_timeout=100)
    running.start()
    try:
        yield
    finally:
        running.stop(timeout=5_000)
