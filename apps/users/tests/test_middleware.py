from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session as DjangoSession
from django.test import Client
from django.utils import timezone

from apps.users.middleware import JWTMiddleware, authenticate
from apps.users.models import Session, User
from apps.users.tokens import Claims, InvalidToken, issue_access
from tests.api import Answer, Api
from tests.make import PASSWORD, Make, access_token, gid

VIEWER = "{ viewer { id } }"


async def ask(api: Api, *authorization: str | bytes) -> Answer:
    headers = [(b"authorization", value if isinstance(value, bytes) else value.encode()) for value in authorization]
    return await Api(_WithHeaders(api.client, headers)).post({"query": VIEWER})  # type: ignore[arg-type]


class _WithHeaders:
    """httpx's client with headers that may repeat."""

    def __init__(self, client: Any, headers: list[tuple[bytes, bytes]]) -> None:
        self.client, self.headers = client, headers

    async def post(self, url: str, **request: Any) -> Any:
        return await self.client.post(url, **{**request, "headers": self.headers})


def test_what_headers_prove() -> None:
    token, _ = issue_access(7, 8, timezone.now())
    assert authenticate([]) is None
    for header in (f"Bearer {token}", f"bearer {token}", f"BEARER   {token} "):
        claims = authenticate([header.encode()])
        assert isinstance(claims, Claims)
        assert (claims.user_id, claims.session_id) == (7, 8)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b" ",
        b"Bearer",
        b"Bearer ",
        b"Bearer    ",
        b"Bearer x",
        b"Bearer x y",
        b"Bearer a.b.c",
        b"Bearer \xff\xfe",
        b"Basic YW5uOnBhc3N3b3Jk",
        b"JWT a.b.c",
        b"Token",
        b"Bearer " + b"x" * 1_000_000,
        b"Bearer " + b"." * 1_000_000,
    ],
    ids=lambda header: repr(header[:20]),
)
def test_a_header_that_proves_nothing_is_no_anonymous_request(header: bytes) -> None:
    assert isinstance(authenticate([header]), InvalidToken)


def test_two_headers_are_refused_even_when_both_are_good() -> None:
    token, _ = issue_access(7, 8, timezone.now())
    assert isinstance(authenticate([f"Bearer {token}".encode()] * 2), InvalidToken)


async def test_other_scopes_pass_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    middleware: Any = JWTMiddleware(app)
    await middleware({"type": "lifespan"}, None, None)
    await middleware({"type": "websocket", "headers": []}, None, None)
    assert seen == [{"type": "lifespan"}, {"type": "websocket", "headers": [], "auth": None}]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "authorization",
    [[b""], [b"Basic x"], [b"Bearer x"], [b"Bearer \xff"], [b"Bearer " + b"x" * 60_000], [b"Bearer x", b"Bearer x"]],
    ids=lambda headers: repr(headers[0][:12]) + str(len(headers)),
)
async def test_the_endpoint_refuses_what_is_no_token(api: Api, authorization: list[bytes]) -> None:
    answer = await ask(api, *authorization)
    assert (answer.status, answer.codes) == (401, ["UNAUTHENTICATED"])
    assert "data" not in answer.body
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.statements == 0


@pytest.mark.django_db
async def test_two_good_headers_are_refused(api: Api, make: Make) -> None:
    token = await sync_to_async(access_token)(await make.user())
    assert (await ask(api, f"Bearer {token}")).data["viewer"]
    assert (await ask(api, f"Bearer {token}", f"Bearer {token}")).codes == ["UNAUTHENTICATED"]


@pytest.mark.django_db
async def test_a_revoked_session_is_refused_at_once(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    assert (await client(VIEWER)).data["viewer"]
    await Session.objects.aupdate(revoked_at=timezone.now())
    assert (await client(VIEWER)).status == 401


@pytest.mark.django_db
async def test_a_session_that_nobody_renewed_in_time_is_refused(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    await Session.objects.aupdate(expires_at=timezone.now())
    assert (await client(VIEWER)).codes == ["UNAUTHENTICATED"]


@pytest.mark.django_db
async def test_a_locked_and_a_deleted_user_are_refused_at_once(api: Api, make: Make) -> None:
    user = await make.user()
    client = await api.as_(user)
    await User.objects.aupdate(is_active=False)
    assert (await client(VIEWER)).codes == ["UNAUTHENTICATED"]
    await User.objects.aupdate(is_active=True)
    assert (await client(VIEWER)).data["viewer"]
    await user.adelete()
    assert (await client(VIEWER)).codes == ["UNAUTHENTICATED"]


@pytest.mark.django_db
async def test_a_session_of_somebody_else_is_refused(api: Api, make: Make) -> None:
    ann, bob = await make.user(), await make.user()
    session = await Session.objects.acreate(user=ann, expires_at=timezone.now() + timedelta(days=1))
    token, _ = issue_access(bob.pk, session.pk, timezone.now())
    assert (await api.with_token(token)(VIEWER)).codes == ["UNAUTHENTICATED"]


@pytest.mark.django_db
@pytest.mark.parametrize(("user_id", "session_id"), [(0, 0), (-1, -1), (2**63, 1), (1, 2**63), (10**40, 10**40)])
async def test_ids_that_no_row_can_have_are_refused(api: Api, user_id: int, session_id: int) -> None:
    token, _ = issue_access(user_id, session_id, timezone.now())
    assert (await api.with_token(token)(VIEWER)).codes == ["UNAUTHENTICATED"]


@pytest.mark.django_db
async def test_a_token_costs_one_statement(api: Api, make: Make) -> None:
    await make.post()
    query = "{ posts(first: 2) { nodes { title } } }"
    client = await api.as_(await make.user())
    assert (await client(query)).statements == (await api(query)).statements + 1
    assert (await client("{ __typename }")).statements == 1
    assert (await api("{ __typename }")).statements == 0


@pytest.mark.django_db
async def test_a_token_makes_no_django_session_and_an_admin_cookie_is_nobody(api: Api, make: Make) -> None:
    staff, user = await make.user(is_staff=True), await make.user()
    await DjangoSession.objects.all().adelete()
    payload = await api.payload("login", "accessToken", email=user.email, password=PASSWORD)
    client = api.with_token(payload["accessToken"])
    assert (await client(VIEWER)).headers.get("set-cookie") is None
    assert not await DjangoSession.objects.aexists()

    browser = Client()
    await sync_to_async(browser.force_login)(staff)
    cookie = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
    assert (await api.post({"query": VIEWER}, headers=cookie)).data == {"viewer": None}
    assert (await client.post({"query": VIEWER}, headers=cookie)).data == {"viewer": {"id": gid(user)}}
