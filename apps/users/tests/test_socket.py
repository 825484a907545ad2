"""Who is asking over a WebSocket: the token of its upgrade or of `connection_init`, asked about by each operation."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session as DjangoSession
from django.test import Client
from django.utils import timezone

from apps.users.models import Session, User
from apps.users.tests.test_tokens import signed
from apps.users.tokens import LEEWAY_SECONDS
from tests.make import PASSWORD, Make, access_token, gid
from tests.sockets import INIT, Close, connected, opened

pytestmark = pytest.mark.django_db

VIEWER = "{ viewer { id } }"
ENDED = Close(4403, "UNAUTHENTICATED: This session has ended. Sign in again.")


async def bearer(user: User) -> str:
    return f"Bearer {await sync_to_async(access_token)(user)}"


async def session_of(user: User) -> Session:
    return await Session.objects.acreate(user=user, expires_at=timezone.now() + timedelta(days=1))


@pytest.mark.parametrize("payload", [None, {}, {"Authorisation": "Bearer x", "token": "x"}])
async def test_without_a_token_a_socket_is_anonymous(payload: dict[str, Any] | None) -> None:
    async with connected(payload) as socket:
        assert await socket.ask(VIEWER) == {"data": {"viewer": None}}


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
async def test_a_good_token_says_who_asks_wherever_it_is(make: Make, name: str) -> None:
    user = await make.user()
    brought = {name: await bearer(user)}
    async with connected(brought) as by_init, connected(headers=brought) as by_header:
        for socket in (by_init, by_header):
            assert await socket.ask(VIEWER) == {"data": {"viewer": {"id": gid(user)}}}


BAD: dict[str, Any] = {
    "nothing": "",
    "null": None,
    "a number": 1,
    "true": True,
    "a list": ["Bearer x"],
    "an object": {"Bearer": "x"},
    "no scheme": "x",
    "no token": "Bearer ",
    "another scheme": "Basic x",
    "no jwt": "Bearer x",
    "any script": "Bearer 世界",
    "expired": f"Bearer {signed(exp=-timedelta(minutes=1))}",
    "of another type": f"Bearer {signed(typ='refresh')}",
    "for another audience": f"Bearer {signed(aud='somebody-else')}",
    "of another issuer": f"Bearer {signed(iss='somebody-else')}",
    "of another key": f"Bearer {signed(key='x' * 46)}",
    "of a session that there is not": f"Bearer {signed(sid=str(2**62))}",
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_is_refused_and_never_anonymous(name: str) -> None:
    async with opened() as socket:
        socket.send(INIT | {"payload": {"Authorization": BAD[name]}})
        close = await socket.closed()
    assert close.code == 4403
    assert close.reason.startswith("UNAUTHENTICATED: ")


@pytest.mark.parametrize("name", [name for name, value in BAD.items() if isinstance(value, str) and value.isascii()])
async def test_a_bad_header_is_refused_and_never_anonymous(name: str) -> None:
    async with opened(headers={"Authorization": BAD[name]}) as socket:
        socket.send(INIT)
        assert (await socket.closed()).code == 4403


async def test_two_tokens_are_refused_even_when_both_are_good(make: Make) -> None:
    token = await bearer(await make.user())
    for headers, payload in (
        ({"Authorization": token}, {"Authorization": token}),
        ({"Authorization": "Bearer x"}, {"Authorization": token}),
        ({"Authorization": token}, {"authorization": None}),
        ({}, {"Authorization": token, "authorization": token}),
    ):
        async with opened(headers=headers) as socket:
            socket.send(INIT | {"payload": payload})
            close = await socket.closed()
        assert close.code == 4403
        assert close.reason.startswith("UNAUTHENTICATED: Send ")


async def lock(user: User) -> None:
    await User.objects.filter(pk=user.pk).aupdate(is_active=False)


async def delete(user: User) -> None:
    await user.adelete()


async def revoke(user: User) -> None:
    await Session.objects.filter(user=user).aupdate(revoked_at=timezone.now())


async def let_run_out(user: User) -> None:
    await Session.objects.filter(user=user).aupdate(expires_at=timezone.now())


async def change_password(user: User) -> None:
    user.set_password("another horse battery staple")
    await sync_to_async(user.save)()


LOSSES = [lock, delete, revoke, let_run_out, change_password]


@pytest.mark.parametrize("lose", LOSSES)
async def test_who_may_no_longer_ask_is_refused_with_the_next_operation(
    make: Make, lose: Callable[[User], Awaitable[None]]
) -> None:
    user = await make.user()
    token = await bearer(user)
    async with connected({"Authorization": token}) as socket:
        assert (await socket.ask(VIEWER))["data"]["viewer"]
        await lose(user)
        socket.subscribe(VIEWER)
        message = await socket.next()
        assert (message["type"], message["id"]) == ("error", "1")
        assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await socket.closed() == ENDED


@pytest.mark.parametrize("lose", LOSSES)
async def test_who_may_no_longer_ask_is_not_let_in(make: Make, lose: Callable[[User], Awaitable[None]]) -> None:
    user = await make.user()
    token = await bearer(user)
    await lose(user)
    async with opened() as socket:
        socket.send(INIT | {"payload": {"Authorization": token}})
        assert await socket.closed() == ENDED


async def test_a_token_of_somebody_elses_session_is_refused(make: Make) -> None:
    session = await session_of(await make.user())
    token = signed(sub=str((await make.user()).pk), sid=str(session.pk))
    async with opened() as socket:
        socket.send(INIT | {"payload": {"Authorization": f"Bearer {token}"}})
        assert await socket.closed() == ENDED


async def test_who_signs_out_over_the_socket_is_refused_next(make: Make) -> None:
    user = await make.user()
    login = 'mutation { login(input: {email: "%s", password: "%s"}) { accessToken refreshToken } }'
    async with connected() as socket:
        tokens = (await socket.ask(login % (user.email, PASSWORD)))["data"]["login"]
        # Who signs in is somebody with the next socket: this one has no token.
        assert await socket.ask(VIEWER) == {"data": {"viewer": None}}
    async with connected({"Authorization": f"Bearer {tokens['accessToken']}"}) as socket:
        logout = 'mutation { logout(input: {refreshToken: "%s"}) { success } }'
        assert (await socket.ask(logout % tokens["refreshToken"]))["data"]["logout"]["success"]
        socket.subscribe(VIEWER)
        assert (await socket.next())["type"] == "error"
        assert await socket.closed() == ENDED


@pytest.mark.parametrize("by_header", [True, False])
async def test_an_idle_socket_ends_with_its_token(make: Make, by_header: bool) -> None:
    """Two seconds at most are left of it. The leeway of clocks counts here as it does for a request."""
    user = await make.user()
    session = await session_of(user)
    token = signed(sub=str(user.pk), sid=str(session.pk), exp=timedelta(seconds=2 - LEEWAY_SECONDS))
    brought = {"Authorization": f"Bearer {token}"}
    async with connected(None if by_header else brought, headers=brought if by_header else {}) as socket:
        assert await socket.closed() == Close(4403, "UNAUTHENTICATED: The access token has expired.")


async def test_a_token_costs_one_statement_an_operation(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    token = await bearer(await make.user())
    async with connected({"Authorization": token}) as ours, connected() as anonymous:
        for socket in (ours, ours, anonymous):
            await socket.ask("{ __typename }")
    lines = [vars(record) for record in caplog.records if record.name == "broadside.operation"]
    assert [line["statements"] for line in lines] == [1, 1, 0]


async def test_no_token_is_ever_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    token = await bearer(await make.user())
    with caplog.at_level(logging.DEBUG):
        async with connected({"Authorization": token}) as socket:
            await socket.ask(VIEWER)
        async with opened() as socket:
            socket.send(INIT | {"payload": {"Authorization": f"{token}x"}})
            await socket.closed()
    assert token.split()[1] not in caplog.text


async def test_an_admin_cookie_is_nobody_and_no_django_session_is_made(make: Make) -> None:
    staff, user = await make.user(is_staff=True), await make.user()
    browser = Client()
    await sync_to_async(browser.force_login)(staff)
    cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
    before = await DjangoSession.objects.acount()
    async with connected(headers=cookie) as socket:
        assert await socket.ask(VIEWER) == {"data": {"viewer": None}}
    async with connected({"Authorization": await bearer(user)}, headers=cookie) as socket:
        assert await socket.ask(VIEWER) == {"data": {"viewer": {"id": gid(user)}}}
    assert await DjangoSession.objects.acount() == before
