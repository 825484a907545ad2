import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import identify_hasher, make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection

from apps.core.errors import DomainError, ErrorCode
from apps.users import hashing
from apps.users.models import User
from tests.api import Api
from tests.make import PASSWORD, Make, make_user

COMPOSED, DECOMPOSED = "Gef\u00fcllte \u00c4pfel 7", "Gefu\u0308llte A\u0308pfel 7"


@pytest.fixture
def argon2(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["apps.users.hashing.Argon2", "django.contrib.auth.hashers.MD5PasswordHasher"]


def test_a_password_is_hashed_by_argon2id_with_the_parameters_of_owasp(argon2: None) -> None:
    stored = hashing.hashed(PASSWORD)
    assert stored.startswith("argon2$argon2id$v=19$m=47104,t=1,p=1$")
    assert hashing.verified(PASSWORD, stored) == (True, False)
    assert hashing.verified(f"{PASSWORD} ", stored) == (False, False)


def test_what_is_behind_the_72nd_byte_counts(argon2: None) -> None:
    stored = hashing.hashed("x" * 72 + "a")
    assert hashing.verified("x" * 72 + "a", stored)[0]
    assert not hashing.verified("x" * 72 + "b", stored)[0]
    assert not hashing.verified("x" * 72, stored)[0]


def test_what_is_too_long_is_nobodys_password() -> None:
    longest = "x" * hashing.PASSWORD_MAX
    assert hashing.verified(longest, hashing.hashed(longest)) == (True, False)
    assert hashing.verified(longest + "x", hashing.hashed(longest)) == (False, False)


@pytest.mark.parametrize("stored", ["", "!", "nonsense", "argon2$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"])
@pytest.mark.parametrize("password", ["", "!", None])
def test_nothing_fits_what_is_no_hash(stored: str, password: str | None) -> None:
    assert hashing.verified(password, stored)[0] is False


def test_a_letter_and_its_accent_are_one_password_however_they_are_sent() -> None:
    for stored, sent in ((COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)):
        assert hashing.verified(sent, hashing.hashed(stored))[0]
    assert not hashing.verified(COMPOSED.replace("\u00fc", "u"), hashing.hashed(COMPOSED))[0]


@pytest.mark.django_db
async def test_so_does_a_sign_in(api: Api, make: Make) -> None:
    user = await make.user(password=COMPOSED)
    assert (await api.payload("login", "accessToken", email=user.email, password=DECOMPOSED))["accessToken"]


@pytest.mark.django_db
async def test_signing_in_renews_a_hash_of_other_parameters(
    api: Api, make: Make, argon2: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing.Argon2, "memory_cost", 1024)
    user = await make.user()
    monkeypatch.setattr(hashing.Argon2, "memory_cost", 2048)
    assert "m=1024," in user.password
    for _ in range(2):
        assert (await api.payload("login", "accessToken", email=user.email, password=PASSWORD))["accessToken"]
        await user.arefresh_from_db()
        assert "m=2048," in user.password
    stored = user.password
    await api.payload("login", "accessToken", email=user.email, password=PASSWORD)
    await user.arefresh_from_db()
    assert user.password == stored, "a hash of today was renewed"
    assert await api.refused("login", email=user.email, password="wrong")


@pytest.mark.django_db
async def test_a_wrong_password_renews_nothing(api: Api, make: Make, argon2: None) -> None:
    user = await make.user()
    old = await sync_to_async(make_password)(PASSWORD, hasher="md5")
    await User.objects.aupdate(password=old)
    await api.refused("login", email=user.email, password="wrong")
    assert (await User.objects.aget()).password == old
    await api.payload("login", "", email=user.email, password=PASSWORD)
    assert identify_hasher((await User.objects.aget()).password).algorithm == "argon2"


class Gate:
    """Keeps the hashing threads busy until it is opened."""

    def __init__(self) -> None:
        self.opened, self.entered = threading.Event(), threading.Semaphore(0)
        self.work = [hashing._threads().submit(self._wait) for _ in range(hashing.THREADS)]
        for _ in self.work:
            assert self.entered.acquire(timeout=10)

    def _wait(self) -> None:
        self.entered.release()
        assert self.opened.wait(60)

    def open(self) -> None:
        self.opened.set()
        for work in self.work:
            work.result(10)


def test_a_password_of_megabytes_takes_no_longer_than_another() -> None:
    """To normalise that many marks on one letter takes hours, and stops everything else."""
    marks = "a" + "\u0301\u0316" * 1_000_000
    stored = hashing.hashed(marks)
    assert not hashing.verified(marks, stored)[0]
    assert not hashing.verified(marks[: hashing.PASSWORD_MAX], stored)[0]


@pytest.mark.parametrize("length", [hashing.PASSWORD_MAX, hashing.PASSWORD_MAX + 1])
def test_django_refuses_what_nobody_could_sign_in_with(length: int) -> None:
    password = ("long and odd " * 100)[:length]
    if length <= hashing.PASSWORD_MAX:
        validate_password(password)
    else:
        with pytest.raises(ValidationError, match="at most 1,000"):
            validate_password(password)


@pytest.mark.django_db
async def test_a_sign_in_that_nobody_has_looked_at_does_not_count(
    api: Api, make: Make, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMIT_LOGIN = "1/hour"
    user = await make.user()
    monkeypatch.setattr(hashing, "_waiting", threading.BoundedSemaphore(1))
    with hashing._waiting:
        for _ in range(3):
            query = "mutation($i: LoginInput!) { login(input: $i) { errors { code retryAfter } } }"
            answer = await api(query, i={"email": user.email, "password": PASSWORD})
            assert answer.data["login"]["errors"] == [{"code": "RATE_LIMITED", "retryAfter": 5}]
    assert (await api.payload("login", "accessToken", email=user.email, password=PASSWORD))["accessToken"]


def test_whoever_comes_when_too_many_wait_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_waiting", threading.BoundedSemaphore(1))
    gate = Gate()
    first = threading.Thread(target=hashing.hashed, args=[PASSWORD])
    first.start()
    try:
        while hashing._waiting._value:  # how many may still come
            first.join(0.01)
        with pytest.raises(DomainError) as refused:
            hashing.hashed(PASSWORD)
    finally:
        gate.open()
        first.join()
    assert (refused.value.code, refused.value.retry_after) == (ErrorCode.RATE_LIMITED, 5)
    assert hashing.verified(PASSWORD, hashing.hashed(PASSWORD))[0], "its place was not given back"


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_while_a_password_is_hashed() -> None:
    user = make_user()
    seen: list[bool] = []
    gate = Gate()

    def look() -> None:
        user.refresh_from_db()
        assert connection.connection is not None
        waiting = threading.Timer(0, gate.open)
        waiting.start()
        hashing.verified(PASSWORD, user.password)
        seen.append(connection.connection is None)

    look()
    assert seen == [True]
