"""Refresh tokens in a cookie, for browsers: only when asked for, and never for other sites."""

from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
from django.utils import timezone

from apps.users.models import Session
from tests.api import Answer, Api
from tests.make import PASSWORD, Make

pytestmark = pytest.mark.django_db

OWN, ALLOWED, FOREIGN = "http://testserver", "https://app.example.com", "https://evil.example.com"
LOGIN = "mutation($i: LoginInput!) { login(input: $i) { accessToken refreshToken errors { code field } } }"
RENEW = """mutation($i: RefreshTokenInput!) {
  refreshToken(input: $i) { accessToken refreshToken errors { code field } }
}"""
LOGOUT = "mutation($i: LogoutInput!) { logout(input: $i) { success errors { code field } } }"
CHANGE = "mutation($i: ChangePasswordInput!) { changePassword(input: $i) { refreshToken errors { code } } }"
FORBIDDEN = [{"code": "FORBIDDEN", "field": None}]
REQUIRED = [{"code": "REQUIRED", "field": ["refreshToken"]}]


async def send(api: Api, query: str, origin: str | None = OWN, cookie: str | None = None, **input: Any) -> Answer:
    headers = {"Origin": origin, "Cookie": cookie and f"theme=dark; refresh_token={cookie}"}
    api.client.cookies.clear()  # what a browser would send is said by each test
    return await api.post(
        {"query": query, "variables": {"i": input}},
        headers={name: value.encode("latin-1") for name, value in headers.items() if value is not None},
    )


async def sign_in(api: Api, make: Make) -> str:
    """The cookie of somebody who has signed in with one."""
    user = await make.user()
    return morsel(await send(api, LOGIN, email=user.email, password=PASSWORD, useCookie=True)).value


def morsel(answer: Answer, name: str = "refresh_token") -> "Morsel[str]":
    [header] = answer.headers.get_list("set-cookie")
    [(key, found)] = SimpleCookie(header).items()
    assert key == name
    return found


@pytest.mark.parametrize("origin", [OWN, ALLOWED])
async def test_whoever_asks_for_it_gets_the_token_in_a_cookie_alone(api: Api, make: Make, origin: str) -> None:
    user = await make.user()
    answer = await send(api, LOGIN, origin, email=user.email, password=PASSWORD, useCookie=True)
    assert answer.data["login"]["accessToken"]
    assert answer.data["login"]["refreshToken"] is None
    cookie = morsel(answer)
    assert len(cookie.value) == 43
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Strict", "/", "")
    expires = (await Session.objects.aget()).expires_at
    assert cookie["expires"] == f"{expires:%a, %d %b %Y %H:%M:%S} GMT"


async def test_in_production_it_is_for_https_and_this_host_alone(api: Api, make: Make, settings: Any) -> None:
    settings.REFRESH_COOKIE_SECURE = True
    user = await make.user()
    cookie = morsel(await send(api, LOGIN, email=user.email, password=PASSWORD, useCookie=True), "__Host-refresh_token")
    assert cookie["secure"] is True
    # Without the prefix another host of the domain may have set it.
    assert (await send(api, RENEW, cookie=cookie.value)).data["refreshToken"]["errors"] == REQUIRED


async def test_without_asking_there_is_no_cookie(api: Api, make: Make) -> None:
    user = await make.user()
    answer = await send(api, LOGIN, email=user.email, password=PASSWORD)
    assert answer.data["login"]["refreshToken"]
    assert "set-cookie" not in answer.headers


async def test_the_cookie_renews_and_is_replaced(api: Api, make: Make) -> None:
    first = await sign_in(api, make)
    answer = await send(api, RENEW, cookie=first)
    assert answer.data["refreshToken"]["errors"] == []
    assert answer.data["refreshToken"]["refreshToken"] is None
    second = morsel(answer).value
    assert second != first
    assert (await send(api, RENEW, cookie=second)).data["refreshToken"]["accessToken"]


async def test_of_two_tabs_the_slower_one_leaves_the_cookie_alone(api: Api, make: Make) -> None:
    first = await sign_in(api, make)
    await send(api, RENEW, cookie=first)
    slower = await send(api, RENEW, cookie=first)
    assert slower.data["refreshToken"]["errors"] == [{"code": "INVALID_TOKEN", "field": ["refreshToken"]}]
    assert "set-cookie" not in slower.headers


@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        None,
        "null",
        "",
        "http://testserver.evil.example.com",
        "evil://",
        "http://testserver:81",
        "https://testserver",
        "\xe9",
    ],
)
async def test_another_sites_page_cannot_use_it(api: Api, make: Make, origin: str | None) -> None:
    cookie = await sign_in(api, make)
    for query, name in ((RENEW, "refreshToken"), (LOGOUT, "logout")):
        answer = await send(api, query, origin, cookie)
        assert answer.data[name]["errors"] == REQUIRED
        assert "set-cookie" not in answer.headers
    assert (await send(api, RENEW, cookie=cookie)).data["refreshToken"]["accessToken"], "it was used up"


async def test_another_sites_page_cannot_have_a_browser_keep_one(api: Api, make: Make) -> None:
    """Else whoever visits it would go on in the account of its owner without noticing."""
    user = await make.user()
    answer = await send(api, LOGIN, FOREIGN, email=user.email, password=PASSWORD, useCookie=True)
    assert answer.data["login"]["errors"] == FORBIDDEN
    assert "set-cookie" not in answer.headers
    assert not await Session.objects.aexists()


async def test_a_token_that_is_sent_wins_over_the_cookie_and_comes_back_as_it_came(api: Api, make: Make) -> None:
    cookie = await sign_in(api, make)
    user = await make.user()
    sent = (await send(api, LOGIN, email=user.email, password=PASSWORD)).data["login"]["refreshToken"]
    answer = await send(api, RENEW, cookie=cookie, refreshToken=sent)
    assert answer.data["refreshToken"]["refreshToken"]
    assert "set-cookie" not in answer.headers
    assert (await send(api, RENEW, cookie=cookie)).data["refreshToken"]["accessToken"]


async def test_signing_out_drops_it(api: Api, make: Make) -> None:
    cookie = await sign_in(api, make)
    answer = await send(api, LOGOUT, cookie=cookie)
    assert answer.data["logout"] == {"success": True, "errors": []}
    assert (morsel(answer).value, morsel(answer)["expires"]) == ("", "Thu, 01 Jan 1970 00:00:00 GMT")
    assert (await Session.objects.aget()).revoked_at is not None


async def test_a_cookie_that_is_good_for_nothing_is_dropped(api: Api, make: Make) -> None:
    """Its page could not: scripts do not reach it."""
    cookie = await sign_in(api, make)
    await Session.objects.aupdate(revoked_at=timezone.now())
    for query, name in ((RENEW, "refreshToken"), (LOGOUT, "logout")):
        answer = await send(api, query, cookie=cookie if name == "refreshToken" else "unknown")
        assert answer.data[name]["errors"] == [{"code": "INVALID_TOKEN", "field": ["refreshToken"]}]
        assert morsel(answer).value == ""


async def test_it_goes_with_the_account(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    query = "mutation($i: DeleteAccountInput!) { deleteAccount(input: $i) { success } }"
    answer = await send(client, query, cookie="whatever", password=PASSWORD)
    assert answer.data["deleteAccount"]["success"]
    assert morsel(answer).value == ""


async def test_a_new_password_replaces_it_where_there_is_one(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    change = {"currentPassword": PASSWORD, "newPassword": f"better {PASSWORD}"}
    answer = await send(client, CHANGE, cookie="whatever it was", **change)
    assert answer.data["changePassword"] == {"refreshToken": None, "errors": []}
    assert (await send(api, RENEW, cookie=morsel(answer).value)).data["refreshToken"]["accessToken"]


@pytest.mark.parametrize("cookie", ["", "x", '"', "a=b=c", "\xe9", "x" * 50_000, "a\\b"])
async def test_a_cookie_that_is_none_of_ours_is_refused(api: Api, cookie: str) -> None:
    answer = await send(api, RENEW, cookie=cookie)
    [error] = answer.data["refreshToken"]["errors"]
    assert error["code"] in {"INVALID_TOKEN", "REQUIRED"}


async def test_it_makes_nobody_a_viewer(api: Api, make: Make) -> None:
    cookie = await sign_in(api, make)
    assert (await send(api, "{ viewer { id } }", cookie=cookie)).data == {"viewer": None}


async def test_browsers_may_send_it_from_allowed_origins_alone(api: Api) -> None:
    allowed = await api.post({"query": "{ __typename }"}, headers={"Origin": ALLOWED})
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert allowed.headers["access-control-allow-origin"] == ALLOWED
    foreign = await api.post({"query": "{ __typename }"}, headers={"Origin": FOREIGN})
    assert "access-control-allow-origin" not in foreign.headers
