"""How often one may guess, register, or have mails sent. What a rate means is tested with apps.core.throttling."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.core.models import Throttle
from apps.users.models import SecurityEvent
from tests.api import Api
from tests.make import PASSWORD, Make
from tests.tasks import written

pytestmark = pytest.mark.django_db

NEW_PASSWORD = f"better {PASSWORD}"


@pytest.fixture(autouse=True)
def limited(settings: Any) -> None:
    """Three an hour, so that no test sees the next window; each test begins with none."""
    settings.RATE_LIMIT_LOGIN = "3/hour"
    settings.TRUSTED_PROXIES = 1


def from_(api: Api, address: str) -> Api:
    """The same client, at another address."""
    return _Elsewhere(api.client, api.token, address)


class _Elsewhere(Api):
    def __init__(self, client: Any, token: str | None, address: str) -> None:
        super().__init__(client, token)
        self.address = address

    async def post(self, body: Any = None, **request: Any) -> Any:
        return await super().post(body, **{**request, "headers": {"X-Forwarded-For": self.address}})


async def guess(api: Api, email: str, password: str = "wrong") -> str:
    """The code of the answer, "OK" when it is a sign-in."""
    payload = await api.payload("login", "", email=email, password=password)
    code: str = payload["errors"][0]["code"] if payload["errors"] else "OK"
    return code


async def test_the_fourth_guess_is_refused_even_when_it_is_right(api: Api, make: Make) -> None:
    user = await make.user()
    assert [await guess(api, user.email) for _ in range(3)] == ["INVALID_CREDENTIALS"] * 3
    query = "mutation($i: LoginInput!) { login(input: $i) { accessToken errors { code field retryAfter } } }"
    payload = (await api(query, i={"email": user.email, "password": PASSWORD})).data["login"]
    [error] = payload["errors"]
    assert (payload["accessToken"], error["code"], error["field"]) == (None, "RATE_LIMITED", None)
    assert 0 < error["retryAfter"] <= 7_200
    assert await guess(api, (await make.user()).email, PASSWORD) == "OK", "another account is no matter"


async def test_an_address_without_an_account_is_limited_alike(api: Api, make: Make) -> None:
    known = [await guess(api, (await make.user(email="ann@example.com")).email) for _ in range(1)]
    known += [await guess(api, "ann@example.com") for _ in range(4)]
    unknown = [await guess(api, "nobody@example.com") for _ in range(5)]
    assert known == unknown == ["INVALID_CREDENTIALS"] * 3 + ["RATE_LIMITED"] * 2


async def test_whoever_signs_in_again_and_again_is_not_limited(api: Api, make: Make) -> None:
    user = await make.user()
    assert [await guess(api, user.email, PASSWORD) for _ in range(8)] == ["OK"] * 8


async def test_signing_in_does_not_make_guesses_forgotten(api: Api, make: Make) -> None:
    """Else whoever has an account could guess those of others between two sign-ins of their own."""
    mine = await make.user()
    for number in range(30):
        assert await guess(api, f"victim{number}@example.com") == "INVALID_CREDENTIALS"
        if number % 10 == 9:
            await guess(from_(api, "203.0.113.9"), mine.email, PASSWORD)
    assert await guess(api, "another@example.com") == "RATE_LIMITED"
    assert await guess(api, mine.email, PASSWORD) == "RATE_LIMITED"


async def test_guesses_from_many_addresses_are_limited_by_the_account(api: Api, make: Make) -> None:
    user = await make.user()
    codes = [await guess(from_(api, f"198.51.100.{number}"), user.email) for number in range(16)]
    assert codes == ["INVALID_CREDENTIALS"] * 15 + ["RATE_LIMITED"]
    assert await guess(from_(api, "203.0.113.1"), user.email, PASSWORD) == "RATE_LIMITED"


async def test_they_do_not_lock_the_owner_out_who_has_signed_in_there_before(api: Api, make: Make) -> None:
    user = await make.user()
    home = from_(api, "203.0.113.1")
    assert await guess(home, user.email, PASSWORD) == "OK"
    for number in range(16):
        await guess(from_(api, f"198.51.100.{number}"), user.email)
    assert await guess(home, user.email, PASSWORD) == "OK"
    assert await guess(from_(api, "203.0.113.2"), user.email, PASSWORD) == "RATE_LIMITED"


async def test_an_owner_whose_ipv6_address_changes_in_its_network_is_known(api: Api, make: Make) -> None:
    user = await make.user()
    assert await guess(from_(api, "2001:db8:1:2::1"), user.email, PASSWORD) == "OK"
    for number in range(16):
        await guess(from_(api, f"198.51.100.{number}"), user.email)
    assert await guess(from_(api, "2001:db8:1:2:ffff::9"), user.email, PASSWORD) == "OK"
    assert await guess(from_(api, "2001:db8:1:3::1"), user.email, PASSWORD) == "RATE_LIMITED"


async def test_ipv6_neighbours_are_one_address(api: Api, make: Make) -> None:
    user = await make.user()
    for number in range(3):
        assert await guess(from_(api, f"2001:db8::{number}"), user.email) == "INVALID_CREDENTIALS"
    assert await guess(from_(api, "2001:db8::99"), user.email) == "RATE_LIMITED"
    assert await guess(from_(api, "2001:db8:0:1::1"), user.email) == "INVALID_CREDENTIALS"


async def test_a_refused_guess_hashes_and_records_nothing(api: Api, make: Make) -> None:
    user = await make.user()
    for _ in range(3):
        await guess(api, user.email)
    events = await SecurityEvent.objects.acount()
    query = "mutation($i: LoginInput!) { login(input: $i) { errors { code } } }"
    answer = await api(query, i={"email": user.email, "password": PASSWORD})
    assert answer.statements == 2
    assert await SecurityEvent.objects.acount() == events


async def test_no_address_of_a_mail_is_kept_where_attempts_are_counted(api: Api) -> None:
    await guess(api, "ann@example.com")
    keys = [throttle.key async for throttle in Throttle.objects.all()]
    assert len(keys) == 3
    assert not any("ann" in key for key in keys)


async def test_registering_is_limited_by_address(api: Api) -> None:
    async def register(client: Api, number: int) -> list[str]:
        new = {"email": f"new{number}@example.com", "password": PASSWORD, "firstName": "Ann"}
        return [error["code"] for error in (await client.payload("register", "", **new))["errors"]]

    assert [await register(api, number) for number in range(4)] == [[], [], [], ["RATE_LIMITED"]]
    assert await register(from_(api, "203.0.113.1"), 5) == []


async def test_registering_an_address_again_and_again_is_no_mail_bomb(api: Api, settings: Any) -> None:
    settings.RATE_LIMIT_LOGIN, settings.EMAIL_VERIFICATION = "100/minute", "required"
    new = {"email": "ann@example.com", "password": PASSWORD, "firstName": "Ann"}
    codes = [
        [error["code"] for error in (await from_(api, f"198.51.100.{number}").payload("register", "", **new))["errors"]]
        for number in range(6)
    ]
    assert codes == [[]] * 5 + [["RATE_LIMITED"]]


async def test_setting_a_password_by_token_is_limited_by_address(api: Api) -> None:
    async def reset(client: Api) -> str:
        return (await client.refused("resetPassword", token="x", newPassword=NEW_PASSWORD))[0][0]

    assert [await reset(api) for _ in range(4)] == ["INVALID_TOKEN"] * 3 + ["RATE_LIMITED"]
    assert await reset(from_(api, "203.0.113.1")) == "INVALID_TOKEN"


async def test_whoever_knows_the_password_is_not_limited(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    for number in range(5):
        payload = await client.payload("requestEmailChange", "", password=PASSWORD, newEmail=f"new{number}@example.com")
        # Mails are limited by address: from here only three may be asked for.
        assert [error["code"] for error in payload["errors"]] == (["RATE_LIMITED"] if number > 2 else [])
    payload = await client.payload("deleteAccount", "success", password=PASSWORD)
    assert payload["success"]


async def test_what_a_form_refuses_does_not_count(api: Api) -> None:
    for _ in range(5):
        assert await api.refused("register", email="x", password=PASSWORD, firstName="Ann") == [("INVALID", ["email"])]


async def test_mails_of_one_kind_do_not_use_up_those_of_another(api: Api, settings: Any) -> None:
    """Else a stranger could keep somebody from resetting a password."""
    settings.RATE_LIMIT_LOGIN = "100/minute"
    query = "mutation($i: RequestEmailVerificationInput) { requestEmailVerification(input: $i) { errors { code } } }"
    for number in range(6):
        await from_(api, f"198.51.100.{number}")(query, i={"email": "ann@example.com"})
    payload = await api.payload("requestPasswordReset", "success", email="ann@example.com")
    assert payload["success"]


async def test_an_address_gets_five_mails_an_hour_at_most_whoever_asks(api: Api, settings: Any) -> None:
    settings.RATE_LIMIT_LOGIN = "100/minute"
    for number in range(7):
        client = from_(api, f"198.51.100.{number}")
        payload = await client.payload("requestPasswordReset", "success", email="ann@example.com")
        assert payload["success"] is (True if number < 5 else None), number
    assert len(await sync_to_async(written)()) == 5


async def test_a_stolen_session_cannot_guess_the_password(api: Api, make: Make) -> None:
    user = await make.user()
    thief = await api.as_(user)
    attempts: list[tuple[str, dict[str, str]]] = [
        ("changePassword", {"currentPassword": "wrong", "newPassword": NEW_PASSWORD}),
        ("deleteAccount", {"password": "wrong"}),
        ("requestEmailChange", {"password": "wrong", "newEmail": "new@example.com"}),
    ]
    for mutation, input in attempts:
        assert [code for code, _ in await thief.refused(mutation, **input)] == ["INVALID_CREDENTIALS"]
    for mutation, input in attempts:
        assert [code for code, _ in await thief.refused(mutation, **input)] == ["RATE_LIMITED"]
    assert await SecurityEvent.objects.filter(kind="login_failed", user_id=user.pk).acount() == 3


async def test_off_counts_nothing(api: Api, make: Make, settings: Any) -> None:
    settings.RATE_LIMIT_LOGIN = "off"
    user = await make.user()
    assert {await guess(api, user.email) for _ in range(20)} == {"INVALID_CREDENTIALS"}
    assert not await Throttle.objects.aexists()
