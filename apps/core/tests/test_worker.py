"""What a worker does with tasks, good and bad, whatever broker it has."""

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from dramatiq import Broker, MessageProxy, Middleware

from apps.core import dead_letters
from apps.core.models import DeadLetter, InboxMessage, OutboxMessage
from apps.core.relay import relay
from apps.core.worker.settling import Unsettled
from tests.waiting import wait_until
from tests.worker import Bench
from tests.worker_app.tasks import effect, effects

pytestmark = pytest.mark.django_db(transaction=True)


def until(condition: Callable[[], bool]) -> None:
    """Hand over what gets into the outbox, until `condition` holds."""

    def holds() -> bool:
        relay()
        return condition()

    wait_until(holds, 20, errors)


def until_done(bench: Bench) -> None:
    until(bench.is_empty)


def letter() -> DeadLetter:
    """The only one."""
    wait_until(DeadLetter.objects.exists, 20, OutboxMessage.objects.all)
    return DeadLetter.objects.get()


def test_a_message_that_is_delivered_twice_has_its_effect_once(bench: Bench) -> None:
    message = bench.actor(effect, once=True).message()
    other = bench.message("effect")
    with bench.worker():
        bench.send(message)
        until_done(bench)
        bench.send(message, other)
        wait_until(lambda: InboxMessage.objects.count() == 2)
        until_done(bench)
    assert effects() == 2


def test_a_message_that_is_delivered_again_meanwhile_waits_for_the_first(bench: Bench) -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    begun: list[int] = []

    def slow() -> None:
        begun.append(1)
        effect()
        has_begun.set()
        assert may_end.wait(20)

    message = bench.actor(slow, once=True).message()
    with bench.worker(threads=2):
        bench.send(message)
        assert has_begun.wait(20)
        bench.send(message)
        wait_until(lambda: waits_for_a_lock() == 1)
        may_end.set()
        until_done(bench)
    assert (effects(), len(begun)) == (1, 1)


def waits_for_a_lock() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


def end_connections() -> None:
    """As a restart of PostgreSQL does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )


def test_tasks_go_on_when_postgresql_has_ended_their_connections(bench: Bench) -> None:
    in_thread = sync_to_async(effect)

    async def waiting(key: str) -> None:
        await in_thread(key)

    sync = bench.actor(effect)
    of_async = bench.actor(waiting)
    with bench.worker():
        for turn in (1, 2, 3):
            bench.send(sync.message("sync"), of_async.message("async"))
            wait_until(lambda: effects("sync") >= turn and effects("async") >= turn)  # noqa: B023
            until_done(bench)
            end_connections()
    assert not DeadLetter.objects.exists()


def test_a_task_that_fails_is_tried_again_and_succeeds(bench: Bench) -> None:
    tries: list[int] = []

    def clumsy() -> None:
        effect()
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")

    with bench.worker():
        bench.send(bench.actor(clumsy, once=True).message())
        until(lambda: len(tries) == 3)
    assert (effects(), len(tries), DeadLetter.objects.count()) == (1, 3, 0)


def test_a_task_that_never_succeeds_becomes_a_dead_letter_with_its_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def hopeless(email: str) -> None:
        effect()
        raise ValueError("no \0 use")

    message = bench.actor(hopeless, once=True, max_retries=2).message("ann@example.com")
    with bench.worker(), caplog.at_level("INFO"):
        bench.send(message)
        until(DeadLetter.objects.exists)
        until_done(bench)
    dead = letter()
    assert (str(dead.message_id), dead.actor, dead.retries) == (message.message_id, "hopeless", 3)
    assert dead.error.startswith("Traceback (most recent call last):")
    assert dead_letters.last_line(dead) == "ValueError: no \N{REPLACEMENT CHARACTER} use"
    assert dead_letters.arguments(dead) == "email='ann@example.com'"
    assert (effects(), InboxMessage.objects.count()) == (0, 0)

    outcomes = [record.__dict__["outcome"] for record in caplog.records if record.name == "broadside.task"]
    logged = [(record.name, vars(record)["message_id"]) for record in caplog.records if record.exc_info]
    assert outcomes == ["retried", "retried", "dead"]
    assert logged == [("broadside.errors", message.message_id)] * 3


def test_a_dead_letter_that_is_requeued_is_done_under_its_old_id(bench: Bench) -> None:
    is_well = threading.Event()

    def ill() -> None:
        effect()
        if not is_well.is_set():
            raise ValueError

    message = bench.actor(ill, once=True, max_retries=0).message()
    with bench.worker():
        bench.send(message)
        dead = letter()
        assert dead_letters.requeue(dead_letters.named([message.message_id])) == 1
        until(DeadLetter.objects.exclude(pk=dead.pk).exists)
        is_well.set()
        assert dead_letters.requeue(DeadLetter.objects.all()) == 1
        until_done(bench)
    assert (effects(), DeadLetter.objects.count()) == (1, 0)
    assert str(InboxMessage.objects.get().message_id) == message.message_id


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_that_takes_too_long_is_interrupted_and_given_up(on_database: Bench, is_async: bool) -> None:
    def endless() -> None:
        while True:
            time.sleep(0.01)

    async def waiting() -> None:
        await asyncio.Event().wait()

    run = on_database.actor(waiting if is_async else endless, time_limit=1, max_retries=0)
    with on_database.worker():
        on_database.send(run.message())
        dead = letter()
    assert dead_letters.last_line(dead).startswith("dramatiq.middleware.time_limit.TimeLimitExceeded")


def test_a_message_that_comes_too_late_is_given_up_without_a_try(bench: Bench) -> None:
    message = bench.actor(effect, max_age=60_000).message("late")
    late = dataclasses.replace(message, message_timestamp=message.message_timestamp - 60_001)
    with bench.worker():
        bench.send(late)
        dead = letter()
        until_done(bench)
        assert dead_letters.last_line(dead) == "Message age limit exceeded"
        assert effects("late") == 0
        dead_letters.requeue(DeadLetter.objects.all())
        until_done(bench)
    assert (effects("late"), DeadLetter.objects.count()) == (1, 0)


def test_a_message_of_another_release_is_tried_for_a_while_and_given_up(bench: Bench) -> None:
    bench.actor(effect)
    stranger = bench.message("mail_pigeons", 1, max_retries=1, min_backoff=1, max_backoff=1)
    with bench.worker():
        bench.send(stranger)
        until(DeadLetter.objects.exists)
        until_done(bench)
    dead = letter()
    assert (dead.actor, dead.retries) == ("mail_pigeons", 2)
    assert "no actor 'mail_pigeons'" in dead.error
    assert dead_letters.arguments(dead) == "0=1"


NONSENSE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "fields are missing": lambda fields: {"message_id": fields["message_id"], "options": fields["options"]},
    "no list of arguments": lambda fields: {**fields, "args": 5},
    "a field too many": lambda fields: {**fields, "priority": 5},
    "arguments that the actor does not take": lambda fields: {**fields, "args": [1, 2, 3]},
    "options that are none": lambda fields: {**fields, "args": [1, 2, 3], "options": {"max_retries": "x"}},
    "a count of retries that is none": lambda fields: {**fields, "args": [1, 2, 3], "options": {"retries": "x"}},
    "a queue that there is not": lambda fields: {**fields, "args": [1, 2, 3], "queue_name": "elsewhere"},
}


def test_what_makes_no_sense_is_given_up_and_stops_nobody(bench: Bench) -> None:
    run = bench.actor(effect, max_retries=0)
    with bench.worker(threads=1) as worker:
        bench.send(run.message("before"))
        wait_until(lambda: effects("before") == 1)
        for make in NONSENSE.values():
            bench.raw(json.dumps(make(bench.message("effect").asdict())).encode())
        bench.send(run.message("after"))
        wait_until(lambda: effects("after") == 1 and DeadLetter.objects.count() == len(NONSENSE), 20, errors)
        assert all(thread.is_alive() for thread in worker.workers)


def errors() -> list[str]:
    return [dead_letters.last_line(letter) for letter in DeadLetter.objects.all()]


def test_a_failure_stays_with_the_broker_as_long_as_the_database_takes_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a retry nor a dead letter is lost by an outage; nor by one that takes longer than their task may."""
    monkeypatch.setattr("dramatiq.worker.POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.1)

    def ill() -> None:
        raise ValueError

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_deadletter RENAME TO away; ALTER TABLE core_outboxmessage RENAME TO gone")
    try:
        with bench.worker(threads=2):
            for retries in (0, 1):
                bench.send(bench.actor(ill, max_retries=retries, actor_name=f"ill_{retries}", time_limit=300).message())
            # Time limits are looked after once a second.
            wait_until(lambda: sum("post_process_message" in record.msg for record in caplog.records) >= 26)
            with connection.cursor() as cursor:
                cursor.execute(
                    "ALTER TABLE away RENAME TO core_deadletter; ALTER TABLE gone RENAME TO core_outboxmessage"
                )
            until(lambda: DeadLetter.objects.count() == 2)
            until_done(bench)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE IF EXISTS away RENAME TO core_deadletter;"
                "ALTER TABLE IF EXISTS gone RENAME TO core_outboxmessage"
            )
    assert sorted(DeadLetter.objects.values_list("actor", "retries")) == [("ill_0", 1), ("ill_1", 2)]


class Deaf(Middleware):
    """A broker that cannot be told of a task's end, at first."""

    times = 0

    def before_ack(self, broker: Broker, message: MessageProxy) -> None:
        self.times += 1
        if self.times < 3:
            raise Unsettled("not now")  # type: ignore[no-untyped-call]


def test_a_failure_is_written_once_however_often_the_broker_has_to_be_told(
    on_database: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dramatiq.worker.POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.01)

    def ill() -> None:
        raise ValueError

    on_database.broker.add_middleware(deaf := Deaf())
    with on_database.worker():
        on_database.send(on_database.actor(ill, min_backoff=60_000, max_backoff=60_000).message())
        wait_until(lambda: deaf.times == 3)
    assert OutboxMessage.objects.count() == 1
