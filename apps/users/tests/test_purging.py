from datetime import timedelta
from time import time

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apps.core import throttling
from apps.core.errors import DomainError
from apps.users import email_tokens
from apps.users.models import EmailToken, EmailTokenPurpose, RefreshToken, SecurityEvent, Session
from apps.users.services import expired_purge, purging
from tests.make import make_user

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


def test_what_has_expired_goes_and_the_rest_stays() -> None:
    living = make_session(DAY, -DAY, DAY)
    make_session(-DAY, -DAY, -DAY)
    for left in (DAY, -DAY):
        email_tokens.issue(living.user, EmailTokenPurpose.VERIFY_EMAIL, "ann@example.com")
        EmailToken.objects.filter(expires_at__gt=timezone.now() + 2 * DAY).update(expires_at=timezone.now() + left)
    counts = expired_purge()
    assert counts == {
        "refresh tokens": 3,
        "sessions": 1,
        "rival registrations": 0,
        "e-mail tokens": 1,
        "security events": 0,
        "counts of attempts": 0,
    }
    assert (Session.objects.get(), RefreshToken.objects.count(), EmailToken.objects.count()) == (living, 1, 1)
    assert set(expired_purge().values()) == {0}


def test_a_spent_token_stays_for_as_long_as_it_could_betray_a_thief() -> None:
    session = make_session(DAY, DAY)
    RefreshToken.objects.update(spent_at=timezone.now() - 2 * DAY)
    Session.objects.filter(pk=session.pk).update(revoked_at=timezone.now())
    assert set(expired_purge().values()) == {0}


def test_events_go_after_a_year() -> None:
    SecurityEvent.objects.create(kind="login")
    age(364)
    assert expired_purge()["security events"] == 0
    age(366)
    assert expired_purge()["security events"] == 1


def test_counts_that_no_longer_matter_go_and_those_of_today_stay() -> None:
    rates = {"of today": throttling.Rate(1, 3_600)}
    throttling.hit({"of yesterday": throttling.Rate(1, 60)}, now=time() - 86_400)
    throttling.hit(rates)
    assert expired_purge()["counts of attempts"] == 1
    with pytest.raises(DomainError):
        throttling.hit(rates)


def test_more_than_a_batch_goes_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(purging, "BATCH", 2)
    for _ in range(5):
        make_session(-DAY, -DAY)
    call_command("purge_tokens")
    expected = (
        "Deleted 5 refresh tokens, 5 sessions, 0 rival registrations, 0 e-mail tokens, 0 security events, "
        "0 counts of attempts.\n"
    )
    assert capsys.readouterr().out == expected
    assert not Session.objects.exists()
