import gc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from apps.core.rows import Statements
from apps.users import email_tokens
from apps.users.models import EmailToken, EmailTokenPurpose, RivalRegistration, SecurityEvent, User
from apps.users.tests.test_sessions import CountingHasher
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


async def test_registering_an_address_again_gives_its_account_nothing(api: Api, make: Make, settings: Any) -> None:
    """An operator may have taken the right to write from it."""
    silenced = await make.user(email=NEW["email"])
    await sync_to_async(silenced.groups.clear)()
    for verification in ("optional", "required"):
        settings.EMAIL_VERIFICATION = verification
        await api.payload("register", "", **NEW)
        assert await sync_to_async(silenced.groups.count)() == 0


async def test_where_it_is_required_signing_in_after_registering_tells_nobody_either(
    api: Api, make: Make, required: None, settings: Any
) -> None:
    hashed: list[str] = []
    settings.PASSWORD_HASHERS = ["apps.users.tests.test_sessions.CountingHasher"]
    CountingHasher.hashed = hashed
    owner = await make.user(email="taken@example.com", password="the owner's own", email_verified_at=timezone.now())

    async def attempt(email: str, password: str) -> tuple[Any, int, int]:
        hashed.clear()
        query = "mutation($i: LoginInput!) { login(input: $i) { accessToken errors { code message } } }"
        answer = await api(query, i={"email": email, "password": password})
        return answer.body, len(hashed), answer.statements

    for email in ("free@example.com", owner.email):
        await api.payload("register", "", **{**NEW, "email": email})
    free = [await attempt("free@example.com", password) for password in (PASSWORD, "wrong")]
    taken = [await attempt(owner.email, password) for password in (PASSWORD, "wrong")]
    assert free == taken
    assert free[0][0]["data"]["login"]["errors"][0]["code"] == "EMAIL_NOT_VERIFIED"
    assert free[1][0]["data"]["login"]["errors"][0]["code"] == "INVALID_CREDENTIALS"
    assert (await api.payload("login", "accessToken", email=owner.email, password="the owner's own"))["accessToken"]


async def test_of_several_who_register_a_taken_address_the_last_counts_and_for_three_days(
    api: Api, make: Make, required: None
) -> None:
    owner = await make.user(email_verified_at=timezone.now())
    for password in ("the first one of two", "the second one of two"):
        await api.payload("register", "", **{**NEW, "email": owner.email, "password": password})
    first, second = [
        await api.refused("login", email=owner.email, password=f"the {which} one of two")
        for which in ("first", "second")
    ]
    assert (first, second) == ([("INVALID_CREDENTIALS", None)], [("EMAIL_NOT_VERIFIED", None)])
    await RivalRegistration.objects.aupdate(expires_at=timezone.now())
    refused = await api.refused("login", email=owner.email, password="the second one of two")
    assert refused == [("INVALID_CREDENTIALS", None)]


@pytest.fixture
def fresh_statements() -> Iterator[None]:
    """Statements are compiled once for a process, whose settings do not change."""

    def forget() -> None:
        for found in gc.get_objects():
            if type(found) is Statements:
                found._statements.clear()

    forget()
    yield
    forget()


async def test_where_it_is_required_nobody_sees_an_account_before(
    api: Api, make: Make, required: None, fresh_statements: None
) -> None:
    """Its name would tell whoever registers somebody else's address that it was free."""
    viewer, staff = await api.as_(await make.user()), await api.as_(await make.user(is_staff=True))
    new = await make.user(first_name="Zebra")
    query = """query($id: ID!) {
      user(id: $id) { id }
      node(id: $id) { id }
      users(filter: {search: "zebra"}) { totalCount nodes { id } }
    }"""
    hidden = {"user": None, "node": None, "users": {"totalCount": 0, "nodes": []}}
    shown = {
        "user": {"id": gid(new)},
        "node": {"id": gid(new)},
        "users": {"totalCount": 1, "nodes": [{"id": gid(new)}]},
    }
    assert (await api(query, id=gid(new))).data == (await viewer(query, id=gid(new))).data == hidden
    assert (await staff(query, id=gid(new))).data == (await (await api.as_(new))(query, id=gid(new))).data == shown
    await api.payload("verifyEmail", "", token=await issue(new, EmailTokenPurpose.VERIFY_EMAIL))
    assert (await api(query, id=gid(new))).data == shown


async def test_who_was_there_before_it_was_required_is_seen_as_ever(
    api: Api, make: Make, required: None, fresh_statements: None
) -> None:
    user = await make.user(last_login=timezone.now())
    post = await make.post(author=user)
    query = "query($id: ID!) { post(id: $id) { author { id } } }"
    assert (await api(query, id=gid(post))).data["post"] == {"author": {"id": gid(user)}}
