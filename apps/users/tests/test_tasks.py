"""What follows from a write runs in a real worker, once the write is committed."""

from collections.abc import Iterator

import pytest
from django.core import mail
from django.db import connections, transaction

from apps.core.client import Client
from apps.core.relay import relay
from apps.users import services, tasks
from apps.users.models import User
from tests.brokers import database_broker
from tests.make import PASSWORD
from tests.tasks import empty_queue, queued, worker, written
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
def test_the_mail_is_asked_for_when_the_registration_commits() -> None:
    with transaction.atomic():
        user = register()
    assert written() == [("mail_confirmation", [user.email])]


@committed
def test_a_registration_that_is_rolled_back_sends_nothing() -> None:
    with transaction.atomic():
        register()
        transaction.set_rollback(True)
    assert written() == []
    assert not User.objects.exists()


@committed
def test_a_registration_that_fails_at_the_commit_sends_nothing() -> None:
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
    assert written() == []
    assert not User.objects.exists()


@committed
def test_a_worker_on_the_database_sends_the_mail(queue: None) -> None:
    user = register()
    relay()
    with database_broker(tasks.mail_confirmation) as broker, worker(broker):
        wait_until(lambda: bool(mail.outbox) and queued() == [])
    [sent] = mail.outbox
    assert (sent.to, sent.subject) == ([user.email], "Confirm your address")
    assert "Broadside <noreply@localhost>" in sent.from_email
