"""The parts of `background.py` that are about the outbox and the relay."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import dramatiq
import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from apps.comments.models import Comment
from apps.core import outbox
from apps.core.actors import Actor, actor
from apps.core.broker import DatabaseBroker
from apps.core.models import OutboxMessage
from apps.core.relay import relay
from apps.core.waker import Waker
from apps.posts.models import Post
from config.settings.base import broker as broker_settings

QUEUE = "benchmark"
WRITES = 2_000
MESSAGES, ROUNDS = 10_000, 3
WRITERS, SECONDS = (1, 8, 16), 3.0
ROW = "INSERT INTO bench_row (text) VALUES ('something')"
NOTIFYING = f"WITH written AS ({outbox.WRITE} RETURNING 1) SELECT pg_notify('{outbox.CHANNEL}', '') FROM written"


def write(url: str) -> None:
    """A comment with and without a message, in turn: what the message adds."""
    with using("") as task:
        post = Post.objects.select_related("author")[0]
        taken: dict[bool, list[float]] = {False: [], True: []}
        statements: dict[bool, int] = {}
        for turn in range(2 * (WRITES + 100)):
            sends = bool(turn % 2)
            with counted() as count:
                began = time.perf_counter()
                with transaction.atomic():
                    comment = Comment.objects.create(post=post, author=post.author, body="Something.")
                    if sends:
                        outbox.send(task, post.pk, comment.pk, key=f"comments-{post.pk}")
                taken[sends].append(time.perf_counter() - began)
            statements[sends] = len(count)
    times = {sends: 1_000 * median(each[100:]) for sends, each in taken.items()}
    print(f"\n{WRITES} writes each | median, ms | statements")
    for sends, name in (False, "a comment"), (True, "and a message"):
        print(f"{name:>16} | {times[sends]:>10.3f} | {statements[sends]:>10}")
    print(f"{'it adds':>16} | {times[True] - times[False]:>10.3f} | {statements[True] - statements[False]:>10}")
    OutboxMessage.objects.all().delete()


def relays(url: str) -> None:
    """Messages a second, each of its own and all of one key."""
    brokers = {
        "PostgreSQL": "",
        "Redis": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/12"),
        "RabbitMQ": os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672"),
    }
    print(f"\n{MESSAGES} messages, one relay | without a key, messages/s | of one key")
    for name, broker_url in brokers.items():
        try:
            with using(broker_url) as task:
                rates = {key: median(relayed(task, key) for _ in range(ROUNDS)) for key in ("", "all")}
        except Exception as error:  # noqa: BLE001  (each client has errors of its own)
            print(f"{name:>25} | left out: {error}")
        else:
            print(f"{name:>25} | {rates['']:>25,.0f} | {rates['all']:>10,.0f}")


def relayed(task: Actor[...], key: str) -> float:
    outbox.send_all(task, [(number, "ann@example.com") for number in range(MESSAGES)], key=key)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE core_outboxmessage")
    began = time.perf_counter()
    if relay() != MESSAGES:
        raise RuntimeError("Somebody else relays here.")
    rate = MESSAGES / (time.perf_counter() - began)
    emptied(dramatiq.get_broker())
    return rate


def notify(url: str) -> None:
    """Transactions a second of writers side by side, by what a message and the word of it add to one row."""
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("CREATE TABLE bench_row (id bigserial PRIMARY KEY, text text NOT NULL)")
        [fsync] = database.execute("SHOW fsync").fetchone() or [""]
        print(f"\nTransactions/s, the median of {ROUNDS} runs; fsync is {fsync}")
    waker = Waker(outbox.CHANNEL)
    with using("") as task:
        message = {"key": "", "messages": [task.message(1).encode()], "delay": "0"}

        def sending(writer: psycopg.Connection[Any]) -> None:
            writer.execute(outbox.WRITE, message)

        def sending_and_notifying(writer: psycopg.Connection[Any]) -> None:
            writer.execute(NOTIFYING, message)

        def nothing(*_: object) -> None:
            return

        kinds = {
            "no message": (nothing, nothing),
            "a message": (sending, nothing),
            "and NOTIFY": (sending_and_notifying, nothing),
            "NOTIFY after": (sending, waker.wake),
        }
        print("writers | " + " | ".join(f"{kind:>12}" for kind in kinds))
        for writers in WRITERS:
            rates: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(ROUNDS):
                for kind, (also, afterwards) in kinds.items():
                    rates[kind].append(written(url, writers, also, afterwards))
            print(f"{writers:>7} | " + " | ".join(f"{median(each):>12,.0f}" for each in rates.values()))
    OutboxMessage.objects.all().delete()


def written(
    url: str, writers: int, also: Callable[[psycopg.Connection[Any]], None], afterwards: Callable[[], None]
) -> float:
    """How many transactions a second so many writers commit, while somebody listens as the relay does."""
    counts = [0] * writers
    begin, end = threading.Barrier(writers + 1), threading.Event()

    def again(place: int) -> None:
        with psycopg.connect(url) as writer:
            begin.wait()
            while not end.is_set():
                writer.execute(ROW)
                also(writer)
                writer.commit()
                afterwards()
                counts[place] += 1

    threads = [threading.Thread(target=again, args=(place,)) for place in range(writers)]
    with psycopg.connect(url, autocommit=True) as listening:
        listening.execute(f"LISTEN {outbox.CHANNEL}")
        for thread in threads:
            thread.start()
        begin.wait()
        began = time.perf_counter()
        while time.perf_counter() < began + SECONDS:
            for _ in listening.notifies(timeout=0.1):
                pass
        taken = time.perf_counter() - began
        end.set()
        for thread in threads:
            thread.join()
    return sum(counts) / taken


@contextmanager
def using(broker_url: str) -> Iterator[Actor[...]]:
    """An actor of the broker that BROKER_URL would name, which is the application's within."""
    made = broker_settings(broker_url)
    middleware = [import_string(path)() for path in settings.DRAMATIQ_BROKER["MIDDLEWARE"]]
    broker: dramatiq.Broker = import_string(made["BROKER"])(middleware=middleware, **made["OPTIONS"])
    before = dramatiq.get_broker()
    dramatiq.set_broker(broker)
    try:
        yield actor(actor_name=QUEUE, queue_name=QUEUE)(lambda *_: None)
    finally:
        OutboxMessage.objects.all().delete()
        dramatiq.set_broker(before)
        broker.close()


def emptied(broker: dramatiq.Broker) -> None:
    if isinstance(broker, DatabaseBroker):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE dramatiq.queue")
    else:
        broker.flush(QUEUE)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements within, but for BEGIN and COMMIT."""
    statements: list[str] = []

    def noting(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(noting):
        yield statements
