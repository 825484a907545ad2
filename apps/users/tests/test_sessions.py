from datetime import timedelta
from typing import Any, ClassVar

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db.models import F
from django.utils import timezone

from apps.users.hashing import PASSWORD_MAX
from apps.users.models import RefreshToken, Session, User
from apps.users.services.sessions import REUSE_GRACE
from tests.api import Api
from tests.make import PASSWORD, Make, gid

pytestmark = pytest.mark.django_db

TOKENS = "accessToken refreshToken accessTokenExpiresAt refreshTokenExpiresAt user { id email }"
VIEWER = "{ viewer { id } }"


async def login(api: Api, user: User) -> dict[str, Any]:
    payload: dict[str, Any] = await api.payload("login", TOKENS, email=user.email, password=PASSWORD)
    assert payload["errors"] == []
    return payload


async def renew(api: Api, token: str) -> dict[str, Any]:
    payload: dict[str, Any] = await api.payload("refreshToken", TOKENS, refreshToken=token)
    return payload


def code(payload: dict[str, Any]) -> str | None:
    return payload["errors"][0]["code"] if payload["errors"] else None


async def test_login_starts_a_session_and_answers_as_the_user(api: Api, make: Make) -> None:
    user = await make.user()
    tokens = await login(api, user)
    assert tokens["user"] == {"id": gid(user), "email": user.email}
    assert (await api.with_token(tokens["accessToken"])(VIEWER)).data == {"viewer": {"id": gid(user)}}
    session = await Session.objects.aget()
    assert (session.user_id, session.ip, session.revoked_at) == (user.pk, "127.0.0.1", None)
    assert session.user_agent.startswith("python-httpx/")
    await user.arefresh_from_db()
    assert user.last_login is not None


async def test_a_very_long_user_agent_is_cut(api: Api, make: Make) -> None:
    user = await make.user()
    query = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
    variables = {"input": {"email": user.email, "password": PASSWORD}}
    body = {"query": query, "variables": variables}
    answer = await api.post(body, headers={"User-Agent": "x" * 5_000})
    assert answer.data["login"]["accessToken"]
    assert (await Session.objects.aget()).user_agent == "x" * 255


async def test_refresh_tokens_are_not_stored_as_they_are(api: Api, make: Make) -> None:
    tokens = await login(api, await make.user())
    stored = await RefreshToken.objects.aget()
    assert len(bytes(stored.digest)) == 32
    assert tokens["refreshToken"].encode() not in bytes(stored.digest)


@pytest.mark.parametrize("email", ["{}", "  {} ", "{upper}"])
async def test_the_address_may_be_spelled_otherwise(api: Api, make: Make, email: str) -> None:
    user = await make.user()
    spelled = email.format(user.email, upper=user.email.upper())
    payload = await api.payload("login", "accessToken", email=spelled, password=PASSWORD)
    assert payload["accessToken"]


async def test_unknown_address_and_wrong_password_answer_alike(api: Api, make: Make) -> None:
    user = await make.user()
    wrong_password = await api.payload("login", TOKENS, email=user.email, password="wrong")
    unknown = await api.payload("login", TOKENS, email="nobody@example.com", password=PASSWORD)
    no_address = await api.payload("login", TOKENS, email="nobody", password=PASSWORD)
    too_long = await api.payload("login", TOKENS, email=user.email, password=PASSWORD * 100)
    assert wrong_password == unknown == no_address == too_long
    assert code(unknown) == "INVALID_CREDENTIALS"
    assert unknown["errors"][0]["field"] is None
    assert not await Session.objects.aexists()


async def test_unknown_address_and_wrong_password_do_the_same_work(api: Api, make: Make, settings: Any) -> None:
    """Each hashes once: an answer that comes sooner would tell which addresses have accounts."""
    hashed: list[str] = []
    settings.PASSWORD_HASHERS = ["apps.users.tests.test_sessions.CountingHasher"]
    CountingHasher.hashed = hashed
    user = await make.user()
    long = "x" * (PASSWORD_MAX + 1)
    attempts = [(user.email, "wrong"), ("nobody@example.com", "wrong"), ("nobody", "wrong"), (user.email, long)]
    for email, password in attempts:
        hashed.clear()
        await api.refused("login", email=email, password=password)
        assert len(hashed) == 1, email


async def test_a_locked_account_is_told_so_only_with_its_password(api: Api, make: Make) -> None:
    user = await make.user(is_active=False)
    assert code(await api.payload("login", TOKENS, email=user.email, password=PASSWORD)) == "ACCOUNT_DISABLED"
    assert code(await api.payload("login", TOKENS, email=user.email, password="wrong")) == "INVALID_CREDENTIALS"
    assert not await Session.objects.aexists()


async def test_a_user_without_a_password_cannot_sign_in(api: Api, make: Make) -> None:
    user = await make.user(password=None)
    assert await api.refused("login", email=user.email, password="") == [("INVALID_CREDENTIALS", None)]
    assert await api.refused("login", email=user.email, password=user.password) == [("INVALID_CREDENTIALS", None)]


async def test_renewing_keeps_the_session_and_moves_its_end(api: Api, make: Make) -> None:
    user = await make.user()
    first = await login(api, user)
    await Session.objects.aupdate(expires_at=F("expires_at") - timedelta(hours=1), last_used_at=timezone.now())
    before = await Session.objects.aget()
    second = await renew(api, first["refreshToken"])
    assert second["errors"] == []
    assert second["refreshToken"] != first["refreshToken"]
    assert second["user"] == first["user"]
    after = await Session.objects.aget()
    assert after.expires_at > before.expires_at
    assert after.last_used_at > before.last_used_at
    for tokens in (first, second):
        assert (await api.with_token(tokens["accessToken"])(VIEWER)).data["viewer"]


async def test_a_spent_token_is_refused_at_once_but_two_tabs_are_no_theft(api: Api, make: Make) -> None:
    first = await login(api, await make.user())
    second = await renew(api, first["refreshToken"])
    again = await renew(api, first["refreshToken"])
    assert again["errors"] == [{"code": "INVALID_TOKEN", "field": ["refreshToken"], "message": _just_used}]
    assert (again["accessToken"], again["refreshToken"], again["user"]) == (None, None, None)
    assert (await Session.objects.aget()).revoked_at is None
    assert code(await renew(api, second["refreshToken"])) is None


async def test_a_token_used_again_after_the_grace_ends_the_whole_session(api: Api, make: Make) -> None:
    user = await make.user()
    other = await login(api, user)
    first = await login(api, user)
    second = await renew(api, first["refreshToken"])
    late = REUSE_GRACE + timedelta(seconds=1)
    await RefreshToken.objects.filter(spent_at__isnull=False).aupdate(spent_at=F("spent_at") - late)
    assert code(await renew(api, first["refreshToken"])) == "INVALID_TOKEN"
    assert (await Session.objects.order_by("-id").afirst()).revoked_at is not None  # type: ignore[union-attr]
    assert code(await renew(api, second["refreshToken"])) == "INVALID_TOKEN"
    assert (await api.with_token(second["accessToken"])(VIEWER)).codes == ["UNAUTHENTICATED"]
    assert (await api.with_token(other["accessToken"])(VIEWER)).data["viewer"], "another session ended, too"


async def test_nothing_is_done_as_the_viewer_after_a_copied_token_has_ended_the_session(api: Api, make: Make) -> None:
    first = await login(api, await make.user())
    second = await renew(api, first["refreshToken"])
    await RefreshToken.objects.filter(spent_at__isnull=False).aupdate(spent_at=F("spent_at") - timedelta(days=1))
    query = """mutation($copied: RefreshTokenInput!, $profile: UpdateProfileInput!) {
        refreshToken(input: $copied) { errors { code } }
        updateProfile(input: $profile) { errors { code } }
    }"""
    variables = {"copied": {"refreshToken": first["refreshToken"]}, "profile": {"bio": "x"}}
    answer = await api.with_token(second["accessToken"])(query, **variables)
    assert answer.data == {
        "refreshToken": {"errors": [{"code": "INVALID_TOKEN"}]},
        "updateProfile": {"errors": [{"code": "UNAUTHENTICATED"}]},
    }


async def test_an_expired_refresh_token_is_refused(api: Api, make: Make) -> None:
    tokens = await login(api, await make.user())
    await RefreshToken.objects.aupdate(expires_at=timezone.now())
    assert code(await renew(api, tokens["refreshToken"])) == "INVALID_TOKEN"
    assert (await RefreshToken.objects.aget()).spent_at is None


async def test_a_locked_account_cannot_renew(api: Api, make: Make) -> None:
    user = await make.user()
    tokens = await login(api, user)
    await User.objects.aupdate(is_active=False)
    assert code(await renew(api, tokens["refreshToken"])) == "ACCOUNT_DISABLED"
    assert await RefreshToken.objects.acount() == 1


@pytest.mark.parametrize("token", ["", "x", "\u00e9" * 50, "x" * 100_000])
async def test_refresh_tokens_that_are_none_are_refused(api: Api, make: Make, token: str) -> None:
    await login(api, await make.user())
    assert await api.refused("refreshToken", refreshToken=token) == [("INVALID_TOKEN", ["refreshToken"])]
    assert await api.refused("logout", refreshToken=token) == [("INVALID_TOKEN", ["refreshToken"])]
    assert (await Session.objects.aget()).revoked_at is None


async def test_access_and_refresh_tokens_do_not_stand_in_for_each_other(api: Api, make: Make) -> None:
    tokens = await login(api, await make.user())
    assert code(await renew(api, tokens["accessToken"])) == "INVALID_TOKEN"
    assert (await api.with_token(tokens["refreshToken"])(VIEWER)).codes == ["UNAUTHENTICATED"]


async def test_logout_ends_the_session_and_its_access_tokens_at_once(api: Api, make: Make) -> None:
    tokens = await login(api, await make.user())
    for _ in range(2):
        payload = await api.payload("logout", "success", refreshToken=tokens["refreshToken"])
        assert payload == {"success": True, "errors": []}
    answer = await api.with_token(tokens["accessToken"])(VIEWER)
    assert (answer.status, answer.codes) == (401, ["UNAUTHENTICATED"])
    assert answer.headers["www-authenticate"] == "Bearer"
    assert code(await renew(api, tokens["refreshToken"])) == "INVALID_TOKEN"


async def test_nothing_is_done_as_the_viewer_after_the_logout(api: Api, make: Make) -> None:
    own, other = [await login(api, user) for user in [await make.user()] * 2]
    query = """mutation($own: LogoutInput!, $other: LogoutInput!, $profile: UpdateProfileInput!) {
        other: logout(input: $other) { success }
        before: updateProfile(input: $profile) { errors { code } }
        own: logout(input: $own) { success }
        after: updateProfile(input: $profile) { errors { code } }
    }"""
    variables = {
        "own": {"refreshToken": own["refreshToken"]},
        "other": {"refreshToken": other["refreshToken"]},
        "profile": {"bio": "x"},
    }
    answer = await api.with_token(own["accessToken"])(query, **variables)
    assert answer.data == {
        "other": {"success": True},
        "before": {"errors": []},
        "own": {"success": True},
        "after": {"errors": [{"code": "UNAUTHENTICATED"}]},
    }


async def test_logout_takes_a_spent_token_too(api: Api, make: Make) -> None:
    first = await login(api, await make.user())
    second = await renew(api, first["refreshToken"])
    await api.payload("logout", "success", refreshToken=first["refreshToken"])
    assert (await api.with_token(second["accessToken"])(VIEWER)).codes == ["UNAUTHENTICATED"]


async def test_logout_twice_keeps_the_first_date(api: Api, make: Make) -> None:
    tokens = await login(api, await make.user())
    await api.payload("logout", "success", refreshToken=tokens["refreshToken"])
    ended = (await Session.objects.aget()).revoked_at
    await api.payload("logout", "success", refreshToken=tokens["refreshToken"])
    assert (await Session.objects.aget()).revoked_at == ended


async def test_signing_in_with_an_access_token_that_is_no_good_is_refused(api: Api, make: Make) -> None:
    """A client has to drop its old token first: the server never goes on as somebody else than the token says."""
    user = await make.user()
    query = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
    answer = await api.with_token("old")(query, input={"email": user.email, "password": PASSWORD})
    assert answer.codes == ["UNAUTHENTICATED"]


async def test_fields_after_login_see_the_new_viewer(api: Api, make: Make) -> None:
    user = await make.user()
    selection = "user { email sessions { current } }"
    payload = await api.payload("login", selection, email=user.email, password=PASSWORD)
    assert payload["user"] == {"email": user.email, "sessions": [{"current": True}]}


async def test_a_session_that_is_over_makes_no_tokens(api: Api, make: Make) -> None:
    tokens = await login(api, await make.user())
    await sync_to_async(lambda: Session.objects.update(revoked_at=timezone.now()))()
    assert code(await renew(api, tokens["refreshToken"])) == "INVALID_TOKEN"
    assert await RefreshToken.objects.acount() == 1


_just_used = "This token has just been used. Take what came of that, or sign in again."


class CountingHasher(MD5PasswordHasher):
    """A real hasher that keeps what it was asked to hash."""

    hashed: ClassVar[list[str]] = []

    def encode(self, password: str, salt: str) -> str:
        self.hashed.append(password)
        return super().encode(password, salt)
