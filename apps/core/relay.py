"""From the outbox to the broker."""

import logging
import select
from collections.abc import Callable, Sequence
from random import uniform
from time import monotonic
from typing import Any, NamedTuple

import dramatiq
import psycopg
from django.db import DatabaseError, DataError, ProgrammingError, close_old_connections, connection, transaction
from dramatiq import Message
from dramatiq.errors import DecodeError

from apps.core import dead_letters, metrics
from apps.core.broker import DatabaseBroker, decoded
from apps.core.db import conninfo
from apps.core.outbox import CHANNEL

logger = logging.getLogger("broadside.relay")

# Messages a transaction. When this process ends in the middle of one, the broker gets as many twice at most.
BATCH = 200
# Seconds after which it ends where it is: a slow broker keeps nobody waiting for all of one, nor for being stopped.
BATCH_SECONDS = 5
# Seconds. Notifications are lost with the connection that they would have come by, or with whoever should send them.
POLL = 5
# Seconds that a broker or a database which does not answer is left alone, at first and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10
# Seconds, about, until somebody looks again who has found that others have claimed what is due, or what comes before.
OTHERS_PAUSE = 0.05
# Seconds that a broker may take for one message, at the very most. Then PostgreSQL ends the transaction of a relay that
# says nothing: one that hangs, or whose host has vanished, would keep others from what it has claimed for ever, and
# from all that comes behind it under the same keys.
IDLE = 120

# Why the order of a key holds, whoever else is at work, under READ COMMITTED, where the statement has one snapshot:
# - An earlier message that others have claimed is in the snapshot, since they have not deleted it yet. SKIP LOCKED
#   leaves it out of what is claimed here, so the later one stays.
# - One that others have deleted since the snapshot was taken cannot be locked any more, but is still in it. The later
#   one stays, too, until the next look.
# - An earlier one that is not in the snapshot has committed after it. Nobody who had waited for that could have
#   written the later one, which is in it.
CLAIM = f"""
WITH claimed AS (
    SELECT id, key, message FROM core_outboxmessage
    WHERE due_at <= now() ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
SELECT id, message
FROM claimed, (SELECT set_config('idle_in_transaction_session_timeout', '{IDLE}s', true)) AS bounded
WHERE key = '' OR NOT EXISTS (
    SELECT FROM core_outboxmessage AS earlier
    WHERE earlier.key = claimed.key AND earlier.id < claimed.id AND earlier.due_at <= now()
    AND earlier.id NOT IN (SELECT id FROM claimed)
)
ORDER BY id
"""  # noqa: S608 - all of it is ours
NEXT = "SELECT extract(epoch FROM min(due_at) - now()) FROM core_outboxmessage"
# What is wrong with one message, rather than with the broker, which might then have none of them.
REFUSALS = (DecodeError, DataError)


class _Row(NamedTuple):
    id: int
    message: bytes


class _Done(NamedTuple):
    rows: int
    failure: Exception | None


def relay(is_over: Callable[[], bool] = lambda: False) -> int:
    """Hand over what is due, in the order in which it was written, and give its number. Others may do so beside it.

    It ends when nothing is left that others have not claimed, or earlier when `is_over()` says so between two batches.

    In batches, each a transaction of two statements: it claims the messages, skipping what others have claimed, and
    deletes them once the broker has confirmed that it has them. When this process ends in between, the broker gets
    them again; but not when that is PostgreSQL, which gets them in the same transaction. Messages of one key are handed
    over in their order (of one that comes twice, the first time counts). What the broker refuses becomes a dead letter.

    Raises what a broker does that cannot be reached; what was handed over until then is.
    """
    count = 0
    while not is_over():
        done = _relay_batch()
        count += done.rows
        if done.failure is not None:
            raise done.failure
        if not done.rows:
            break
    return count


@transaction.atomic
def _relay_batch() -> _Done:
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [BATCH])
        rows = [_Row(*row) for row in cursor.fetchall()]
    if not rows:
        return _Done(0, None)
    broker = dramatiq.get_broker()
    done = _in_this_transaction(broker, rows) if isinstance(broker, DatabaseBroker) else None
    failure = None
    if done is None:
        done, failure = _one_by_one(broker, rows)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM core_outboxmessage WHERE id = ANY(%s)", [done])
    return _Done(len(done), failure)


def _in_this_transaction(broker: DatabaseBroker, rows: Sequence[_Row]) -> list[int] | None:
    """The ids of all rows; or None, when one of them is refused, or comes twice."""
    try:
        with transaction.atomic():
            messages = [decoded(row.message) for row in rows]
            broker.enqueue_all(messages)
    except (*REFUSALS, ProgrammingError):
        return None
    for message in messages:
        metrics.enqueued(message.actor_name)
    return [row.id for row in rows]


def _one_by_one(broker: dramatiq.Broker, rows: Sequence[_Row]) -> tuple[list[int], Exception | None]:
    """The ids of the rows that are dealt with, in their order, and why the next one is not, if not for want of time."""
    done: list[int] = []
    deadline = monotonic() + BATCH_SECONDS
    for row in rows:
        try:
            _hand_over(broker, decoded(row.message))
        except REFUSALS as refusal:
            # Errors of the database quote what they refuse, which is no business of the log.
            logger.error("A message is refused (%s): it is a dead letter now.", type(refusal).__name__)  # noqa: TRY400
            dead_letters.bury(row.message, refusal)
        except Exception as error:  # noqa: BLE001  (every client of a broker has errors of its own)
            return done, error
        done.append(row.id)
        if monotonic() > deadline:
            break
    return done, None


def _hand_over(broker: dramatiq.Broker, message: Message[Any]) -> None:
    if isinstance(broker, DatabaseBroker):
        with transaction.atomic():
            broker.enqueue_all([message])
    else:
        broker.enqueue(message)
    metrics.enqueued(message.actor_name)


class Relay:
    """Relays until it is told to, through an outage of the broker or of PostgreSQL, which it says once."""

    def __init__(self, told: int) -> None:
        self._told = told
        self._listening: psycopg.Connection[Any] | None = None
        self._pause = 0.0

    def run(self) -> None:
        """Return soon after `told`, a descriptor, can be read from."""
        try:
            while not self._rest():
                self._work()
        finally:
            self._hang_up()

    def is_well(self) -> bool:
        """Whether it hands messages over, as far as it knows. From any thread."""
        return not self._pause

    def _is_told(self) -> bool:
        return bool(select.select([self._told], [], [], 0)[0])

    def _work(self) -> None:
        try:
            if self._listening is None:
                self._listening = psycopg.connect(conninfo(application_name="broadside-relay"), autocommit=True)
                self._listening.execute(f"LISTEN {CHANNEL}")
            for _ in self._listening.notifies(timeout=0):
                pass
            # When PostgreSQL is away this fails at once, where Django's pool would wait for it.
            self._listening.execute("SELECT 1")
            relay(self._is_told)
            close_old_connections()
        except Exception as error:  # noqa: BLE001  (see _one_by_one)
            self._stumble(error)
        else:
            if self._pause:
                logger.info("Messages are handed over again.")
            self._pause = 0.0

    def _stumble(self, error: Exception) -> None:
        if not self._pause:
            whose = "PostgreSQL, migrated," if isinstance(error, (DatabaseError, psycopg.Error)) else "the broker"
            logger.error("No message is handed over until %s answers again.", whose, exc_info=error)
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, self._pause * uniform(1.5, 2.5)))  # noqa: S311  (jitter)
        close_old_connections()
        if isinstance(error, psycopg.Error):
            self._hang_up()

    def _rest(self) -> bool:
        """Wait until there may be something to do; true when told to stop."""
        if self._pause or self._listening is None:
            return bool(select.select([self._told], [], [], self._pause)[0])
        ready, _, _ = select.select([self._told, self._listening.fileno()], [], [], self._until_due(self._listening))
        return self._told in ready

    def _until_due(self, listening: psycopg.Connection[Any]) -> float:
        """Seconds until the next message is due, POLL at most; OTHERS_PAUSE for one that is, and is still there."""
        try:
            [due] = listening.execute(NEXT).fetchone() or [None]
            # What is notified while the statement runs comes with its answer: the socket does not tell of it again.
            notified = list(listening.notifies(timeout=0))
        except psycopg.Error:
            return 0  # what follows fails as well, and says so
        if notified:
            return 0
        if due is None:
            return POLL
        # Relays that wait equally long would keep each other from messages of one key again and again.
        return min(POLL, max(float(due), OTHERS_PAUSE * uniform(0.5, 1.5)))  # noqa: S311  (jitter)

    def _hang_up(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
