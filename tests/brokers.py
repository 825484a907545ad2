"""The three brokers, each as BROKER_URL would have it, for tests that have to hold for all of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dramatiq
import pytest
from django.utils.module_loading import import_string
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from pika.exceptions import AMQPError
from redis import RedisError

from apps.core.actors import Actor, actor
from apps.core.broker import DatabaseBroker
from config.settings.base import broker as broker_settings
from tests.tasks import empty_queue, queued

URLS = {
    "postgresql": "",
    "redis": "redis://127.0.0.1:6379/11",
    "rabbitmq": "amqp://guest:guest@127.0.0.1:5672",
}


@dataclass
class Recorder:
    """An actor that keeps what it was called with."""

    calls: list[Any] = field(default_factory=list)
    actor: Actor[...] = field(init=False)

    def __post_init__(self) -> None:
        name = f"test-{uuid.uuid4().hex}"
        self.actor = actor(queue_name=name, actor_name=name)(self._record)

    def _record(self, *args: Any) -> None:
        self.calls.append(args[0] if len(args) == 1 else args)


@contextmanager
def chosen(url: str, **options: Any) -> Iterator[dramatiq.Broker]:
    """The broker that the settings make of BROKER_URL, as django-dramatiq builds it; the application's within."""
    settings = broker_settings(url)
    middleware = [import_string(path)() for path in settings["MIDDLEWARE"]]
    make: Callable[..., dramatiq.Broker] = import_string(settings["BROKER"])
    broker = make(middleware=middleware, **settings["OPTIONS"] | options)
    before = dramatiq.get_broker()
    dramatiq.set_broker(broker)
    try:
        yield broker
    finally:
        dramatiq.set_broker(before)
        broker.close()
        if isinstance(broker, DatabaseBroker):
            if broker.notifier.started_once:
                broker.notifier.join(20)
            broker.pool.close()


@contextmanager
def database_broker(*actors: Actor[...]) -> Iterator[dramatiq.Broker]:
    """PostgreSQL's with the application's `actors`, as a worker's process has it: unlike the application's it can be
    closed."""
    with chosen(URLS["postgresql"]) as broker:
        for actor in actors:
            broker.declare_actor(actor._declared)
        yield broker


@contextmanager
def answering(name: str) -> Iterator[dramatiq.Broker]:
    """That broker, with queues that are gone afterwards. Skips the test, and says so, where no server answers."""
    with chosen(URLS[name]) as broker, _emptied(broker):
        try:
            if isinstance(broker, RedisBroker):
                broker.client.ping()
            if isinstance(broker, RabbitmqBroker):
                assert broker.channel.is_open
        except (RedisError, AMQPError) as error:
            pytest.skip(f"NOT TESTED: nothing answers at {URLS[name]} ({error!r})")
        yield broker


def held(broker: dramatiq.Broker, queue: str) -> list[Any]:
    """The arguments of the messages in this queue of such a broker, in their order. RabbitMQ has none of them then."""
    if isinstance(broker, DatabaseBroker):
        return [args for name, args in queued() if name == queue]
    if isinstance(broker, RedisBroker):
        place = f"{broker.namespace}:{queue}"
        bodies: list[Any] = [broker.client.hget(f"{place}.msgs", key) for key in broker.client.lrange(place, 0, -1)]
    else:
        assert isinstance(broker, RabbitmqBroker)
        bodies = [body for _, _, body in iter(lambda: broker.channel.basic_get(queue, auto_ack=True), (None,) * 3)]
    return [list(dramatiq.Message.decode(body).args) for body in bodies]


@contextmanager
def _emptied(broker: dramatiq.Broker) -> Iterator[None]:
    if isinstance(broker, DatabaseBroker):
        with empty_queue():
            yield
        return
    try:
        yield
    finally:
        for name in [each for each in broker.get_declared_queues() if each.startswith("test-")]:
            if isinstance(broker, RedisBroker):
                broker.flush(name)
            if isinstance(broker, RabbitmqBroker) and name not in broker.queues_pending:
                for queue in (name, f"{name}.DQ", f"{name}.XQ"):
                    broker.channel.queue_delete(queue)
