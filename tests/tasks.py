"""The queue of background work, for tests whose transactions commit."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


def queued() -> list[tuple[str, list[Any]]]:
    """Actor and arguments of each message in the queue of the PostgreSQL broker, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT message FROM dramatiq.queue ORDER BY position")
        messages = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in cursor.fetchall()]
    return [(message["actor_name"], message["args"]) for message in messages]


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
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'broadside-tasks'"
            )
