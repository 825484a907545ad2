from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from apps.users import email_tokens
from apps.users.models import EmailToken, EmailTokenPurpose, SecurityEvent, Session, User
from tests.api import Api
from tests.mails import mailed, mailed_token
from tests.make import PASSWORD, Make
from tests.tasks import written

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "another horse battery staple"
SET = "Set a new password"
GONE = [("INVALID_TOKEN", ["token"])]
VIEWER = "{ viewer { id } }"

token_from_mail = sync_to_async(mailed_token)
mails = sync_to_async(mailed)


async def ask(api: Api, email: str) -> None:
    assert await api.payload("requestPasswordReset", "success", email=email) == {"success": True, "errors": []}


async def sign_in(api: Api, user: User, password: str) -> str | None:
    payload = await api.payload("login", "accessToken", email=user.email, password=password)
    token: str | None = payload["accessToken"]
    return token


async def test_the_mailed_token_sets_a_new_password_once(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    await ask(api, f" {user.email.upper()} ")
    token = await token_from_mail()
    payload = await api.payload("resetPassword", "success", token=token, newPassword=NEW_PASSWORD)
    assert payload == {"success": True, "errors": []}
    assert await mails() == [(user.email, "Your password was changed")]
    assert await api.refused("resetPassword", token=token, newPassword=PASSWORD) == GONE
    assert await sign_in(api, user, PASSWORD) is None
    assert await sign_in(api, user, NEW_PASSWORD)
    assert (await client(VIEWER)).status == 401, "the sessions of before go on"
    assert await SecurityEvent.objects.filter(kind="password_reset", user_id=user.pk).acount() == 1


async def test_it_confirms_the_address(api: Api, make: Make) -> None:
    user = await make.user()
    await ask(api, user.email)
    await api.payload("resetPassword", "", token=await token_from_mail(), newPassword=NEW_PASSWORD)
    await user.arefresh_from_db()
    assert user.email_verified_at is not None


async def test_a_link_that_went_to_an_earlier_address_is_dead(api: Api, make: Make) -> None:
    user = await make.user(email="new@example.com")
    token = await sync_to_async(email_tokens.issue)(user, EmailTokenPurpose.RESET_PASSWORD, "old@example.com")
    assert await api.refused("resetPassword", token=token, newPassword=NEW_PASSWORD) == GONE
    assert await sign_in(api, user, PASSWORD)


async def test_asking_tells_a_stranger_nothing_and_costs_the_same(api: Api, make: Make) -> None:
    known, locked = await make.user(), await make.user(is_active=False)
    query = "mutation($i: RequestPasswordResetInput!) { requestPasswordReset(input: $i) { success errors { code } } }"
    answers = [await api(query, i={"email": email}) for email in (known.email, locked.email, "nobody@example.com")]
    assert [answer.body for answer in answers] == [answers[0].body] * 3
    assert {answer.statements for answer in answers} == {1}
    assert len(await sync_to_async(written)()) == 3, "who looks is the worker"
    assert await mails() == [(known.email, SET)]


@pytest.mark.parametrize(("email", "code"), [(" ", "REQUIRED"), ("ann@", "INVALID")])
async def test_what_is_no_address_is_refused(api: Api, email: str, code: str) -> None:
    assert await api.refused("requestPasswordReset", email=email) == [(code, ["email"])]


async def test_a_link_is_dead_once_the_password_has_changed(api: Api, make: Make) -> None:
    user = await make.user()
    await ask(api, user.email)
    token = await token_from_mail()
    client = await api.as_(user)
    await client.payload("changePassword", "", currentPassword=PASSWORD, newPassword=NEW_PASSWORD)
    assert await api.refused("resetPassword", token=token, newPassword=f"third {PASSWORD}") == GONE
    assert await sign_in(api, user, NEW_PASSWORD)


async def test_of_two_links_the_second_is_dead_once_the_first_was_used(api: Api, make: Make) -> None:
    user = await make.user()
    tokens = []
    for _ in range(2):
        await ask(api, user.email)
        tokens.append(await token_from_mail())
    assert (await api.payload("resetPassword", "success", token=tokens[0], newPassword=NEW_PASSWORD))["success"]
    assert await api.refused("resetPassword", token=tokens[1], newPassword=PASSWORD) == GONE


@pytest.mark.parametrize("purpose", [EmailTokenPurpose.VERIFY_EMAIL, EmailTokenPurpose.CHANGE_EMAIL])
async def test_a_token_for_another_purpose_sets_nothing(api: Api, make: Make, purpose: EmailTokenPurpose) -> None:
    user = await make.user()
    token = await sync_to_async(email_tokens.issue)(user, purpose, user.email)
    assert await api.refused("resetPassword", token=token, newPassword=NEW_PASSWORD) == GONE
    assert await sign_in(api, user, PASSWORD)


async def test_an_access_and_a_refresh_token_set_nothing(api: Api, make: Make) -> None:
    user = await make.user()
    tokens = await api.payload("login", "accessToken refreshToken", email=user.email, password=PASSWORD)
    for token in (tokens["accessToken"], tokens["refreshToken"]):
        assert await api.refused("resetPassword", token=token, newPassword=NEW_PASSWORD) == GONE


async def test_an_expired_link_is_dead(api: Api, make: Make) -> None:
    await ask(api, (await make.user()).email)
    token = await token_from_mail()
    left = (await EmailToken.objects.aget()).expires_at - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    await EmailToken.objects.aupdate(expires_at=timezone.now())
    assert await api.refused("resetPassword", token=token, newPassword=NEW_PASSWORD) == GONE


@pytest.mark.parametrize(
    ("password", "code"),
    [("short", "PASSWORD_TOO_WEAK"), ("ada@example.com", "PASSWORD_TOO_WEAK"), ("x" * 10_000, "INVALID")],
)
async def test_a_password_that_is_refused_leaves_the_link_alive(api: Api, make: Make, password: str, code: str) -> None:
    user = await make.user(email="ada@example.com")
    await ask(api, user.email)
    token = await token_from_mail()
    assert await api.refused("resetPassword", token=token, newPassword=password) == [(code, ["newPassword"])]
    assert (await api.payload("resetPassword", "success", token=token, newPassword=NEW_PASSWORD))["success"]


async def test_the_viewers_own_reset_ends_this_request_too(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    await ask(api, user.email)
    query = """mutation($reset: ResetPasswordInput!, $profile: UpdateProfileInput!) {
        resetPassword(input: $reset) { success }
        updateProfile(input: $profile) { errors { code } }
    }"""
    reset = {"token": await token_from_mail(), "newPassword": NEW_PASSWORD}
    answer = await client(query, reset=reset, profile={"bio": "x"})
    assert answer.data == {
        "resetPassword": {"success": True},
        "updateProfile": {"errors": [{"code": "UNAUTHENTICATED"}]},
    }
    assert not await Session.objects.filter(revoked_at=None).aexists()


async def test_somebody_elses_reset_leaves_the_viewer_alone(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    await ask(api, (await make.user()).email)
    query = """mutation($reset: ResetPasswordInput!, $profile: UpdateProfileInput!) {
        resetPassword(input: $reset) { success }
        updateProfile(input: $profile) { errors { code } }
    }"""
    reset = {"token": await token_from_mail(), "newPassword": NEW_PASSWORD}
    answer = await client(query, reset=reset, profile={"bio": "x"})
    assert answer.data == {"resetPassword": {"success": True}, "updateProfile": {"errors": []}}
