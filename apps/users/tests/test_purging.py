from collections.abc import Callable
from datetime import timedelta
from time import time
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session as AdminSession
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from apps.core import purging, throttling
from apps.core.errors import DomainError
from apps.core.models import InboxMessage
from apps.users import email_tokens
from apps.users.models import EmailToken, EmailTokenPurpose, RefreshToken, SecurityEvent, Session, User
from apps.users.services import unconfirmed_accounts_purge
from tests.make import make_comment, make_post, make_user

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def make_session(left: timedelta, *tokens_left: timedelta) -> Session:
    now = timezone.now()
    session = Session.objects.create(user=make_user(), expires_at=now + left)
    for place, token_left in enumerate(tokens_left):
        digest = f"{session.pk}-{place}".encode()
        RefreshToken.objects.create(session=session, digest=digest, expires_at=now + token_left)
    return session


def age(days: int) -> None:
    """Let all events be that old, past their trigger."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE users_securityevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE users_securityevent SET at = now() - make_interval(days => %s)", [days])
        cursor.execute("ALTER TABLE users_securityevent ENABLE TRIGGER USER")


def purged() -> dict[str, int]:
    """How much of what has gone."""
    counts, failed = purging.purge()
    assert failed == []
    return {name: count for name, count in counts.items() if count}


def test_what_has_expired_goes_and_the_rest_stays() -> None:
    living = make_session(DAY, -DAY, DAY)
    make_session(-DAY, -DAY, -DAY)
    for left in (DAY, -DAY):
        email_tokens.issue(living.user, EmailTokenPurpose.VERIFY_EMAIL, "ann@example.com")
        EmailToken.objects.filter(expires_at__gt=timezone.now() + 2 * DAY).update(expires_at=timezone.now() + left)
        AdminSession.objects.create(session_key=str(left), expire_date=timezone.now() + left)
    assert purged() == {"refresh tokens": 3, "sessions": 1, "sessions of the admin": 1, "e-mail tokens": 1}
    assert (Session.objects.get(), RefreshToken.objects.count(), EmailToken.objects.count()) == (living, 1, 1)
    assert AdminSession.objects.get().session_key == str(DAY)
    assert purged() == {}


def test_a_spent_token_stays_for_as_long_as_it_could_betray_a_thief() -> None:
    session = make_session(DAY, DAY)
    RefreshToken.objects.update(spent_at=timezone.now() - 2 * DAY)
    Session.objects.filter(pk=session.pk).update(revoked_at=timezone.now())
    assert purged() == {}


def test_events_go_after_a_year() -> None:
    SecurityEvent.objects.create(kind="login")
    age(364)
    assert purged() == {}
    age(366)
    assert purged() == {"security events": 1}


def test_counts_that_no_longer_matter_go_and_those_of_today_stay() -> None:
    rates = {"of today": throttling.Rate(1, 3_600)}
    throttling.hit({"of yesterday": throttling.Rate(1, 60)}, now=time() - 86_400)
    throttling.hit(rates)
    assert purged() == {"counts of attempts": 1}
    with pytest.raises(DomainError):
        throttling.hit(rates)


def test_what_was_done_is_known_for_two_weeks() -> None:
    for days in (13, 15):
        InboxMessage.objects.create(message_id=uuid4(), done_at=timezone.now() - days * DAY)
    assert purged() == {"notes of messages done": 1}


def test_more_than_a_batch_goes_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(purging, "BATCH", 2)
    for _ in range(5):
        make_session(-DAY, -DAY)
    for _ in range(2):
        call_command("purge")
    assert capsys.readouterr().out == "Deleted 5 refresh tokens, 5 sessions.\n"
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_deleted_keeps_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    make_session(-DAY)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_inboxmessage RENAME TO elsewhere")
        try:
            with pytest.raises(CommandError, match="Could not delete notes of messages done: see the log"):
                call_command("purge")
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO core_inboxmessage")
    assert capsys.readouterr().out == "Deleted 1 sessions.\n"


@pytest.fixture
def required(settings: Any) -> None:
    settings.EMAIL_VERIFICATION = "required"
    settings.UNVERIFIED_ACCOUNT_DAYS = 30


def old_user(**fields: Any) -> User:
    """One who has registered 31 days ago, and was never heard of since."""
    return make_user(**{"date_joined": timezone.now() - 31 * DAY} | fields)


def test_an_account_that_nobody_has_confirmed_goes_without_a_trace(required: None) -> None:
    user = old_user()
    email_tokens.issue(user, EmailTokenPurpose.VERIFY_EMAIL, user.email)
    EmailToken.objects.update(expires_at=timezone.now() - DAY)
    staying = old_user(email_verified_at=timezone.now())
    assert unconfirmed_accounts_purge() == 1
    assert list(User.objects.all()) == [staying]
    assert not EmailToken.objects.exists()
    assert unconfirmed_accounts_purge() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"email_verified_at": timezone.now()},
        {"last_login": timezone.now()},
        {"is_active": False},
        {"is_staff": True},
        {"is_superuser": True},
        {"date_joined": timezone.now() - 29 * DAY},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_an_account_stays_for_any_of_these(required: None, fields: dict[str, Any]) -> None:
    old_user(**fields)
    assert unconfirmed_accounts_purge() == 0


@pytest.mark.parametrize(
    "hang",
    [
        lambda user: make_post(author=user),
        lambda user: make_comment(author=user, post=make_post()),
        lambda user: Session.objects.create(user=user, expires_at=timezone.now()),
        lambda user: email_tokens.issue(user, EmailTokenPurpose.VERIFY_EMAIL, user.email),
    ],
    ids=["a post", "a comment", "a session", "a link that still works"],
)
def test_an_account_that_anything_hangs_on_stays(required: None, hang: Callable[[User], object]) -> None:
    user = old_user()
    hang(user)
    assert unconfirmed_accounts_purge() == 0
    assert User.objects.filter(pk=user.pk).exists()


def test_accounts_stay_unconfirmed_where_they_can_be_used_like_that(settings: Any) -> None:
    settings.EMAIL_VERIFICATION = "optional"
    old_user()
    assert unconfirmed_accounts_purge() == 0
