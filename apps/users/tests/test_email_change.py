from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from apps.users import email_tokens
from apps.users.models import EmailToken, EmailTokenPurpose, SecurityEvent, User
from tests.api import Api
from tests.mails import mailed, mailed_token
from tests.make import PASSWORD, Make

pytestmark = pytest.mark.django_db

GONE = [("INVALID_TOKEN", ["token"])]
NEW = "new@example.com"

token_from_mail = sync_to_async(mailed_token)
mails = sync_to_async(mailed)


async def ask(client: Api, email: str = NEW) -> None:
    payload = await client.payload("requestEmailChange", "success", password=PASSWORD, newEmail=email)
    assert payload == {"success": True, "errors": []}


async def test_the_mailed_token_changes_the_address_and_the_old_one_gets_a_notice(api: Api, make: Make) -> None:
    user = await make.user(email="old@example.com")
    client = await api.as_(user)
    await ask(client, " New@Example.com ")
    token = await token_from_mail()
    assert (await User.objects.aget()).email == "old@example.com", "changed before anybody has confirmed it"
    payload = await client.payload("changeEmail", "user { email emailVerified }", token=token)
    assert payload == {"user": {"email": NEW, "emailVerified": True}, "errors": []}
    assert await mails() == [("old@example.com", "Your address was changed")]
    assert await api.refused("changeEmail", token=token) == GONE
    assert (await client("{ viewer { email } }")).data["viewer"]["email"] == NEW, "sessions go on"
    assert (await api.payload("login", "accessToken", email=NEW, password=PASSWORD))["accessToken"]
    [event] = [event async for event in SecurityEvent.objects.filter(kind="email_changed")]
    assert (event.user_id, event.detail) == (user.pk, "")


async def test_needs_the_password_and_a_viewer(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    refused = await client.refused("requestEmailChange", password="wrong", newEmail=NEW)
    assert refused == [("INVALID_CREDENTIALS", ["password"])]
    assert await api.refused("requestEmailChange", password=PASSWORD, newEmail=NEW) == [("UNAUTHENTICATED", None)]
    assert await mails() == []


@pytest.mark.parametrize(("email", "code"), [("", "REQUIRED"), ("ann", "INVALID"), ("\u212aelvin@x.org", "INVALID")])
async def test_what_is_no_address_is_refused(api: Api, make: Make, email: str, code: str) -> None:
    client = await api.as_(await make.user())
    refused = await client.refused("requestEmailChange", password=PASSWORD, newEmail=email)
    assert refused == [(code, ["newEmail"])]


async def test_an_address_that_is_taken_is_told_to_its_owner_alone(api: Api, make: Make) -> None:
    owner = await make.user()
    await ask(await api.as_(await make.user()), owner.email)
    assert await mails() == [(owner.email, "This address has an account already")]
    assert not await EmailToken.objects.aexists()


async def test_an_address_that_was_taken_meanwhile_is_refused(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    await ask(client)
    token = await token_from_mail()
    other = await make.user(email=NEW)
    assert await client.refused("changeEmail", token=token) == [("UNIQUE", ["token"])]
    await other.adelete()
    assert (await client.payload("changeEmail", "user { email }", token=token))["user"] == {"email": NEW}


async def test_a_changed_password_kills_the_link(api: Api, make: Make) -> None:
    """Whoever has got in may have asked for it."""
    client = await api.as_(await make.user())
    await ask(client)
    token = await token_from_mail()
    await client.payload("changePassword", "", currentPassword=PASSWORD, newPassword=f"better {PASSWORD}")
    assert await api.refused("changeEmail", token=token) == GONE


async def test_what_was_mailed_to_the_old_address_is_dead(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    reset = await sync_to_async(email_tokens.issue)(user, EmailTokenPurpose.RESET_PASSWORD, user.email)
    await ask(client)
    await client.payload("changeEmail", "", token=await token_from_mail())
    assert await api.refused("resetPassword", token=reset, newPassword=f"better {PASSWORD}") == GONE


async def test_a_token_of_another_purpose_changes_nothing(api: Api, make: Make) -> None:
    user = await make.user()
    for purpose in (EmailTokenPurpose.VERIFY_EMAIL, EmailTokenPurpose.RESET_PASSWORD):
        token = await sync_to_async(email_tokens.issue)(user, purpose, NEW)
        assert await api.refused("changeEmail", token=token) == GONE


async def test_a_link_is_good_for_a_day(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    await ask(client)
    token = await token_from_mail()
    left = (await EmailToken.objects.aget()).expires_at - timezone.now()
    assert timedelta(hours=23, minutes=59) < left <= timedelta(days=1)
    await EmailToken.objects.aupdate(expires_at=timezone.now())
    assert await client.refused("changeEmail", token=token) == GONE


async def test_a_stranger_to_the_account_may_bring_the_token(api: Api, make: Make) -> None:
    """The mail may be read on another device; what its link proves is that the address is theirs."""
    user = await make.user()
    await ask(await api.as_(user))
    payload = await api.payload("changeEmail", "user { email }", token=await token_from_mail())
    assert payload["user"] == {"email": None}
    await user.arefresh_from_db()
    assert user.email == NEW


async def test_what_was_asked_for_before_a_new_password_is_not_mailed_after_it(api: Api, make: Make) -> None:
    """The worker may be late."""
    client = await api.as_(await make.user())
    await ask(client)
    await client.payload("changePassword", "", currentPassword=PASSWORD, newPassword=f"better {PASSWORD}")
    assert [subject for _, subject in await mails()] == ["Your password was changed"]
    assert not await EmailToken.objects.aexists()
