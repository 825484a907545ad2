from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from apps.users import email_tokens
from apps.users.models import EmailToken, EmailTokenPurpose, SecurityEvent, User
from tests.api import Api
from tests.mails import mailed, mailed_token
from tests.make import PASSWORD, Make, gid
from tests.tasks import written

pytestmark = pytest.mark.django_db

NEW = {"email": "ann@example.com", "password": PASSWORD, "firstName": "Ann"}
CONFIRM = "Confirm your address"
GONE = [("INVALID_TOKEN", ["token"])]
REQUEST = """mutation($input: RequestEmailVerificationInput) {
    requestEmailVerification(input: $input) { success errors { code field } }
}"""
SENT = {"requestEmailVerification": {"success": True, "errors": []}}

token_from_mail = sync_to_async(mailed_token)
mails = sync_to_async(mailed)


@sync_to_async
def issue(user: User, purpose: EmailTokenPurpose, email: str | None = None) -> str:
    return email_tokens.issue(user, purpose, email or user.email)


async def test_registering_mails_a_token_that_confirms_the_address_once(api: Api) -> None:
    await api.payload("register", "", **NEW)
    token = await token_from_mail()
    user = await User.objects.aget()
    assert user.email_verified_at is None
    client = await api.as_(user)
    payload = await client.payload("verifyEmail", "user { id emailVerified }", token=token)
    assert payload == {"user": {"id": gid(user), "emailVerified": True}, "errors": []}
    assert await api.refused("verifyEmail", token=token) == GONE
    assert await SecurityEvent.objects.filter(kind="email_verified", user_id=user.pk).acount() == 1


async def test_only_the_digest_of_a_mailed_token_is_stored(api: Api) -> None:
    await api.payload("register", "", **NEW)
    assert await sync_to_async(written)() == [("mail_confirmation", ["ann@example.com"])]
    token = await token_from_mail()
    stored = await EmailToken.objects.aget()
    assert token.encode() not in bytes(stored.digest)
    assert (stored.purpose, stored.email) == ("verify_email", "ann@example.com")


@pytest.mark.parametrize("purpose", [EmailTokenPurpose.RESET_PASSWORD, EmailTokenPurpose.CHANGE_EMAIL])
async def test_a_token_for_another_purpose_confirms_nothing(api: Api, make: Make, purpose: EmailTokenPurpose) -> None:
    user = await make.user()
    token = await issue(user, purpose)
    assert await api.refused("verifyEmail", token=token) == GONE
    await user.arefresh_from_db()
    assert user.email_verified_at is None
    assert (await EmailToken.objects.aget()).used_at is None


@pytest.mark.parametrize("token", ["", "x", "\u00e9" * 50, "x" * 100_000])
async def test_what_is_no_token_confirms_nothing(api: Api, token: str) -> None:
    assert await api.refused("verifyEmail", token=token) == GONE


async def test_an_expired_token_and_one_of_a_locked_account_confirm_nothing(api: Api, make: Make) -> None:
    user = await make.user()
    token = await issue(user, EmailTokenPurpose.VERIFY_EMAIL)
    await User.objects.aupdate(is_active=False)
    assert await api.refused("verifyEmail", token=token) == GONE
    await User.objects.aupdate(is_active=True)
    await EmailToken.objects.aupdate(expires_at=timezone.now())
    assert await api.refused("verifyEmail", token=token) == GONE
    await EmailToken.objects.aupdate(expires_at=timezone.now() + timedelta(minutes=1))
    assert (await api.payload("verifyEmail", "user { id }", token=token))["user"]


async def test_a_token_that_went_to_an_earlier_address_confirms_nothing(api: Api, make: Make) -> None:
    user = await make.user(email="new@example.com")
    token = await issue(user, EmailTokenPurpose.VERIFY_EMAIL, "old@example.com")
    assert await api.refused("verifyEmail", token=token) == GONE


async def test_a_token_is_good_for_three_days(api: Api, make: Make) -> None:
    await issue(await make.user(), EmailTokenPurpose.VERIFY_EMAIL)
    left = (await EmailToken.objects.aget()).expires_at - timezone.now()
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)


async def test_the_viewer_asks_for_another_mail(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    assert (await client("mutation { requestEmailVerification { success errors { code field } } }")).data == SENT
    assert await mails() == [(user.email, CONFIRM)]


async def test_without_a_viewer_and_an_address_nobody_is_meant(api: Api) -> None:
    nothing: list[dict[str, Any]] = [{}, {"input": None}, {"input": {}}, {"input": {"email": None}}]
    for variables in nothing:
        answer = await api.post({"query": REQUEST, "variables": variables})
        [error] = answer.data["requestEmailVerification"]["errors"]
        assert error == {"code": "UNAUTHENTICATED", "field": None}


async def test_a_stranger_is_told_the_same_whatever_the_address(api: Api, make: Make) -> None:
    waiting, confirmed = await make.user(), await make.user(email_verified_at=timezone.now())
    locked = await make.user(is_active=False)
    for email in (waiting.email, confirmed.email, locked.email, "nobody@example.com"):
        assert (await api(REQUEST, input={"email": email})).data == SENT
    assert await mails() == [(waiting.email, CONFIRM)]


@pytest.mark.parametrize(("email", "code"), [("", "REQUIRED"), ("ann", "INVALID")])
async def test_what_is_no_address_is_refused(api: Api, email: str, code: str) -> None:
    [error] = (await api(REQUEST, input={"email": email})).data["requestEmailVerification"]["errors"]
    assert error == {"code": code, "field": ["email"]}


@pytest.fixture
def required(settings: Any) -> None:
    settings.EMAIL_VERIFICATION = "required"


async def test_where_it_is_required_nobody_signs_in_before(api: Api, required: None) -> None:
    await api.payload("register", "", **NEW)
    credentials = {"email": NEW["email"], "password": PASSWORD}
    assert await api.refused("login", **credentials) == [("EMAIL_NOT_VERIFIED", None)]
    assert await api.refused("login", **{**credentials, "password": "wrong"}) == [("INVALID_CREDENTIALS", None)]
    await api.payload("verifyEmail", "", token=await token_from_mail())
    assert (await api.payload("login", "accessToken", **credentials))["accessToken"]


async def test_where_it_is_required_registering_tells_nobody_who_has_an_account(api: Api, required: None) -> None:
    await User.objects.acreate(email="bob@example.com", first_name="Bob", password="!")
    new = await api("mutation($i: RegisterInput!) { register(input: $i) { user { id } errors { code } } }", i=NEW)
    taken = await api(
        "mutation($i: RegisterInput!) { register(input: $i) { user { id } errors { code } } }",
        i={**NEW, "email": "Bob@example.com"},
    )
    assert new.body == taken.body == {"data": {"register": {"user": None, "errors": []}}}
    assert new.statements == taken.statements
    assert await mails() == [("ann@example.com", CONFIRM), ("bob@example.com", "You have an account already")]
    assert (await User.objects.aget(email="bob@example.com")).first_name == "Bob"


async def test_a_mail_that_is_asked_for_after_the_confirmation_is_not_sent(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    await client(REQUEST)
    await User.objects.aupdate(email_verified_at=timezone.now())
    assert await mails() == []
