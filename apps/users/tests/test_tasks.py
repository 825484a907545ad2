"""What follows from a write runs in a real worker, once the write is committed."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
from django.core import mail
from django.db import connections, transaction
from django.utils.module_loading import import_string
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerError

from apps.core import outbox
from apps.core.client import Client
from apps.users import services, tasks
from apps.users.models import User
from config.settings.base import broker as broker_settings
from tests.make import PASSWORD, make_user
from tests.tasks import database_broker, empty_queue, queued, worker
from tests.waiting import wait_until

committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queue() -> Iterator[None]:
    with empty_queue():
        yield


def register(email: str = "ann@example.com") -> User:
    user = services.user_register(email=email, password=PASSWORD, first_name="Ann", last_name="", client=Client())
    assert user is not None
    return user


@committed
def test_the_mail_is_enqueued_when_the_registration_commits(queue: None) -> None:
    with transaction.atomic():
        user = register()
        assert queued() == []
    assert queued() == [("mail_confirmation", [user.email])]


@committed
def test_a_registration_that_is_rolled_back_sends_nothing(queue: None) -> None:
    with transaction.atomic():
        register()
        transaction.set_rollback(True)
    assert queued() == []
    assert not User.objects.exists()


@committed
def test_a_registration_that_fails_at_the_commit_sends_nothing(queue: None) -> None:
    """Even a constraint that is only checked at the very end."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_user() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'refused at the commit'; END $$"
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER refuse_user AFTER INSERT ON users_user "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_user()"
        )
    try:
        with pytest.raises(Exception, match="refused at the commit"):
            register()
    finally:
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_user CASCADE")
    assert queued() == []
    assert not User.objects.exists()


@committed
def test_a_worker_on_the_database_sends_the_mail(queue: None) -> None:
    user = register()
    with database_broker(tasks.mail_confirmation) as broker, worker(broker):
        wait_until(lambda: bool(mail.outbox) and queued() == [])
    [sent] = mail.outbox
    assert (sent.to, sent.subject) == ([user.email], "Confirm your address")
    assert "Broadside <noreply@localhost>" in sent.from_email


@committed
def test_a_broker_that_is_down_does_not_fail_the_registration(caplog: pytest.LogCaptureFixture) -> None:
    with other_broker("redis://127.0.0.1:1/0") as down, transaction.atomic():
        actor = dramatiq.actor(broker=down, actor_name="mail_over_a_dead_broker")(tasks.mail_confirmation.fn)
        user = make_user()
        outbox.send(actor, user.email)
    assert User.objects.filter(pk=user.pk).exists()
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.name == "django.db.backends.base"
    assert record.exc_info is not None


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/11", "amqp://guest:guest@127.0.0.1:5672"])
def test_a_message_runs_through_other_brokers(url: str) -> None:
    with other_broker(url) as broker:
        ran = threading.Event()
        got: list[Any] = []

        def note(*args: object) -> None:
            got.append(args)
            ran.set()

        queue_name = f"broadside-test-{uuid.uuid4().hex}"
        actor = dramatiq.actor(broker=broker, queue_name=queue_name, actor_name=queue_name)(note)
        try:
            actor.send(7, "x")
        except BrokerError as error:
            pytest.skip(f"NOT TESTED: nothing answers at {url} ({error})")
        with worker(broker):
            assert ran.wait(20), "the message did not arrive"
        assert got == [(7, "x")]
        delete_queue(broker, queue_name)


@contextmanager
def other_broker(url: str) -> Iterator[dramatiq.Broker]:
    """The broker that the settings make of BROKER_URL, as django-dramatiq builds it."""
    options = broker_settings(url)
    middleware = [import_string(path)() for path in options["MIDDLEWARE"]]
    make: Callable[..., dramatiq.Broker] = import_string(options["BROKER"])
    broker = make(middleware=middleware, **options["OPTIONS"])
    try:
        yield broker
    finally:
        broker.close()


def delete_queue(broker: Any, queue_name: str) -> None:
    if isinstance(broker, RedisBroker):
        broker.flush(queue_name)
        return
    for name in (queue_name, f"{queue_name}.DQ", f"{queue_name}.XQ"):
        broker.channel.queue_delete(name)
