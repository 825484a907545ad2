"""What carries messages from the relay to the workers: PostgreSQL, Redis or RabbitMQ."""

import re
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from django.db import connection
from dramatiq import Message, Middleware
from dramatiq.brokers import rabbitmq, redis
from dramatiq.errors import DecodeError
from dramatiq_postgres import PostgresBroker
from dramatiq_postgres.broker import PostgresConsumer
from dramatiq_postgres.utils import raise_connection_error
from dramatiq_postgres.utils import transaction as pooled_transaction
from psycopg import Connection
from psycopg_pool import ConnectionPool
from redis import exceptions

from apps.core.db import conninfo
from apps.core.postgresql.liveness import first_alive
from apps.core.redis_client import redis_client

# Seconds that Redis or RabbitMQ may take for an answer.
TIMEOUT = 10
# Seconds. When two or three of RabbitMQ's heartbeats are missing, an answer that is waited for will not come.
HEARTBEAT = 10
# How many of a million calls make Redis look for what dead workers were at: a worker with nothing to do makes one a
# second, and would look once in a quarter of an hour by Dramatiq's own number.
MAINTENANCE_CHANCE = 50_000
# In Dramatiq's script, by which Redis does all that it is asked to. By the clocks of those who ask, a worker that dies
# while its clock is ahead would pass for alive until the others have come as far, and one that is behind for dead.
THEIR_CLOCK = b"local timestamp = ARGV[2]"
ITS_CLOCK = b'local time = redis.call("TIME")\nlocal timestamp = time[1] * 1000 + math.floor(time[2] / 1000)'
# What Dramatiq lets a queue be called, and every broker can take.
QUEUE = re.compile(r"[a-zA-Z_][a-zA-Z0-9._-]{0,99}")
# As Dramatiq and PostgreSQL write one.
MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# As the package's own statement does with one message.
ENQUEUE_ALL = """
WITH enqueued AS (
    INSERT INTO dramatiq.queue (queue_name, message_id, state, message)
    SELECT queue_name, message_id, 'queued', message
    FROM unnest(%s::text[], %s::uuid[], %s::jsonb[]) WITH ORDINALITY AS sent (queue_name, message_id, message, place)
    ORDER BY place
    ON CONFLICT (message_id) DO UPDATE SET
        state = 'queued', message = EXCLUDED.message, queue_name = EXCLUDED.queue_name,
        available_at = EXCLUDED.available_at, worker_id = NULL, consumed_at = NULL, mtime = now()
    RETURNING queue_name
)
SELECT pg_notify('dramatiq.' || queue_name || '.enqueue', '') FROM (SELECT DISTINCT queue_name FROM enqueued) AS queues
"""
# The package's own, but for the worker; nobody listens to what that notifies.
ACK = """
DELETE FROM dramatiq.queue
WHERE message_id = %s AND queue_name = %s AND state = 'consumed' AND worker_id = %s
"""


def decoded(encoded: bytes) -> Message[Any]:
    """The message. Raises DecodeError for what no broker and no worker could take for one."""
    message: Any = Message.decode(encoded)
    try:
        is_one = MESSAGE_ID.fullmatch(message.message_id) and QUEUE.fullmatch(message.queue_name)
    except TypeError:
        is_one = None
    kinds = ((message.actor_name, str), (message.kwargs, dict), (message.options, dict))
    if not is_one or not all(isinstance(value, kind) for value, kind in kinds):
        raise DecodeError("This is no message.", encoded, None)  # type: ignore[no-untyped-call]
    return cast("Message[Any]", message)


class DatabaseBroker(PostgresBroker):  # type: ignore[misc]  # the package ships no types
    """dramatiq-postgres on Django's own database (tables in the schema `dramatiq`).

    Nothing connects before the first message: a management command that enqueues nothing opens no connection.
    `options` are the package's.
    """

    def __init__(self, middleware: list[Middleware], **options: Any) -> None:
        super().__init__(pool=_PoolOpenedByUse(), results=False, middleware=middleware, **options)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> PostgresConsumer:
        return _Consumer(broker=self, queue_name=queue_name, prefetch=prefetch, timeout=timeout)

    def enqueue_all(self, messages: Sequence[Message[Any]]) -> None:
        """Enqueue the messages by Django's connection, in the surrounding transaction: with it, or not at all.

        One statement, which the package has for a single one. Raises DataError for what jsonb does not take.
        """
        for message in messages:
            self.emit_before("enqueue", message, None)
        columns = [
            [message.queue_name for message in messages],
            [message.message_id for message in messages],
            [message.encode().decode() for message in messages],
        ]
        with connection.cursor() as cursor:
            cursor.execute(ENQUEUE_ALL, columns)
        for message in messages:
            self.emit_after("enqueue", message, None)


class _Consumer(PostgresConsumer):  # type: ignore[misc]
    """Acknowledges what its own process is at, and nothing else.

    A process that hangs between writing that a message is to be tried again and acknowledging it would take the next
    attempt, which has the same row, from whoever is at it by then: lost, were they to end before its end.
    """

    @raise_connection_error  # type: ignore[untyped-decorator]
    def ack(self, message: Message[Any]) -> None:
        """From a worker's thread. One statement."""
        with pooled_transaction(self.pool) as cursor:
            cursor.execute(ACK, [message.message_id, message.queue_name, self.broker.worker_id])
        self.in_processing.discard(message.message_id)
        self.wakeup.set()


class RedisBroker(redis.RedisBroker):
    """Dramatiq's on the Redis at `url`. It waits for an answer for a while only, and asks no second time by itself.

    Whether a worker is dead is said by Redis' own clock, and not long after it is: see THEIR_CLOCK, MAINTENANCE_CHANCE.
    """

    def __init__(self, url: str, middleware: list[Middleware], **options: Any) -> None:
        client = redis_client(url, TIMEOUT)
        options = {"maintenance_chance": MAINTENANCE_CHANCE} | options
        super().__init__(client=client, middleware=middleware, **options)  # type: ignore[no-untyped-call]
        script: Any = self.scripts["dispatch"].script
        self.scripts["dispatch"] = client.register_script(script.replace(THEIR_CLOCK, ITS_CLOCK))

    def _dispatch(self, command: str) -> Callable[..., Any]:
        do = super()._dispatch(command)  # type: ignore[no-untyped-call]

        def answered(*args: Any) -> Any:
            try:
                return do(*args)
            except exceptions.TimeoutError as error:
                # Of this one Dramatiq knows that it may ask again, as for an acknowledgement.
                raise exceptions.ConnectionError(str(error)) from error

        return answered


class RabbitmqBroker(rabbitmq.RabbitmqBroker):
    """Dramatiq's on the RabbitMQ at `url`, which has to confirm each message. What the URL says behind its question
    mark wins over the times here."""

    def __init__(self, url: str, middleware: list[Middleware], **options: Any) -> None:
        address, _, given = url.partition("?")
        times = {
            "heartbeat": HEARTBEAT,
            "blocked_connection_timeout": TIMEOUT,
            "socket_timeout": TIMEOUT,
            "stack_timeout": TIMEOUT,
        }
        query = urlencode(times | dict(parse_qsl(given)))
        super().__init__(url=f"{address}?{query}", confirm_delivery=True, middleware=middleware, **options)


class _PoolOpenedByUse(ConnectionPool[Connection[Any]]):
    def __init__(self) -> None:
        # The address is read when a connection is made, because the tests change the database after start-up.
        super().__init__(
            _task_conninfo,
            min_size=0,
            max_size=16,
            open=False,
            reconnect_timeout=5,  # the same reason as in config/settings/base.py
        )

    def getconn(self, timeout: float | None = None) -> Connection[Any]:
        """One that the server has not ended meanwhile. Raises PoolTimeout when there is none within `timeout`."""
        self.open()
        deadline = monotonic() + (self.timeout if timeout is None else timeout)

        def another() -> Connection[Any]:
            return super(_PoolOpenedByUse, self).getconn(deadline - monotonic())

        return first_alive(another(), another, self.putconn)


def _task_conninfo() -> str:
    return conninfo(application_name="broadside-tasks")
