import socket
import time
from typing import Any

import pytest
from django.db import connection
from dramatiq import BrokerConnectionError

from apps.core.broker import HEARTBEAT, TIMEOUT, DatabaseBroker, RabbitmqBroker, RedisBroker
from tests.brokers import URLS, Recorder, answering, chosen
from tests.tasks import queued
from tests.waiting import wait_until


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_dropped_is_replaced() -> None:
    with answering("postgresql") as broker:
        recorder = Recorder()
        broker.enqueue(recorder.actor.message(1))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'broadside-tasks'"
            )
        broker.enqueue(recorder.actor.message(2))
        assert [args for _, args in queued()] == [[1], [2]]


@pytest.mark.django_db(transaction=True)
def test_a_late_acknowledgement_leaves_the_next_attempt_to_who_is_at_it() -> None:
    with answering("postgresql") as broker:
        message = Recorder().actor.message(1)
        queue = message.queue_name
        slow, quick = (DatabaseBroker(middleware=[]).consume(queue, timeout=1_000) for _ in range(2))
        broker.enqueue(message)
        first = next(slow)
        broker.enqueue(message)
        second = next(quick)
        slow.ack(first)
        assert [args for _, args in queued()] == [[1]]
        quick.ack(second)
        assert queued() == []
        for consumer in (slow, quick):
            consumer.close()
            consumer.pool.close()


def test_nothing_connects_before_the_first_message() -> None:
    broker = DatabaseBroker(middleware=[])
    broker.declare_queue("default")
    assert broker.pool.closed


@pytest.mark.parametrize(("query", "timeout"), [("", TIMEOUT), ("?socket_timeout=3", 3)])
def test_redis_has_so_many_seconds_to_answer(query: str, timeout: int) -> None:
    with chosen(f"redis://127.0.0.1:1/0{query}") as broker:
        assert isinstance(broker, RedisBroker)
        assert broker.client.connection_pool.connection_kwargs["socket_timeout"] == timeout


@pytest.mark.django_db(transaction=True)
def test_redis_gives_back_what_a_dead_worker_was_at_whatever_its_clock_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering("redis") as broker:
        recorder = Recorder()
        queue = recorder.actor.name
        broker.enqueue(recorder.actor.message(1))
        monkeypatch.setattr("dramatiq.brokers.redis.current_millis", lambda: int(time.time() + 3_600) * 1_000)
        assert next(broker.consume(queue)) is not None
        monkeypatch.undo()
        # Another worker looks now and then, and takes the first for dead at once.
        with chosen(URLS["redis"], heartbeat_timeout=1) as other:
            consumer = other.consume(queue, timeout=1)
            wait_until(lambda: next(consumer) is not None, 20)


@pytest.mark.parametrize(("query", "heartbeat"), [("", HEARTBEAT), ("?heartbeat=7", 7)])
def test_rabbitmq_has_so_many_seconds_to_answer_and_confirms(query: str, heartbeat: int) -> None:
    with chosen(f"amqp://ann:secret@127.0.0.1:1/place{query}") as broker:
        assert isinstance(broker, RabbitmqBroker)
        assert broker.confirm_delivery
        parameters: Any = broker.parameters
        assert (parameters.heartbeat, parameters.stack_timeout) == (heartbeat, TIMEOUT)
        assert parameters.virtual_host == "place"


def test_a_redis_that_says_nothing_is_one_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that Dramatiq asks again, as it does for an acknowledgement."""
    monkeypatch.setattr("apps.core.broker.TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = RedisBroker(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", middleware=[])
        consumer = broker.consume("default")
        with pytest.raises(BrokerConnectionError):
            next(consumer)
        broker.close()
