"""What lies beside the API: files, sockets, and requests that break off."""

import logging
from typing import Any

import httpx
import pytest

from config.asgi import application
from tests.api import Api
from tests.sockets import knocking, opened

SENT = list[dict[str, Any]]


async def call(scope: dict[str, Any], *received: dict[str, Any]) -> SENT:
    """What the application sends for `scope` while it receives `received`."""
    messages, sent = iter(received), SENT()

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    await application({"headers": [], "query_string": b"", "root_path": "", "scheme": "http", **scope}, receive, send)
    return sent


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/static/admin/css/base.css", 200),
        ("GET", "/static/nope.css", 404),
        ("GET", "/static/admin/", 404),
        ("GET", "/static/%2e%2e/manage.py", 404),
        ("GET", "/static/%00", 404),
        ("POST", "/static/admin/css/base.css", 405),
    ],
)
async def test_static_files_are_served_or_refused(api: Api, method: str, path: str, status: int) -> None:
    assert (await api.client.request(method, path)).status_code == status


async def test_answers_of_the_api_are_kept_by_nobody(api: Api) -> None:
    for client in (api, api.with_token("x")):
        headers = (await client("{ __typename }")).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


@pytest.mark.django_db
async def test_pages_of_the_admin_run_and_load_nothing_of_others(api: Api) -> None:
    response = await api.client.get("/admin/login/")
    assert response.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert (policy["frame-ancestors"], policy["form-action"], policy["base-uri"]) == ("'none'", "'self'", "'none'")
    assert response.headers["x-frame-options"] == "DENY"
    assert "<script>" not in response.text


@pytest.mark.parametrize("path", ["/x", "/admin/", "/healthz", "/static/x", "/graphql/x", "/graphql/explorer/"])
async def test_a_websocket_is_refused_where_there_is_no_graphql(path: str) -> None:
    async with knocking(path=path, raw_path=path.encode()) as socket:
        assert (await socket.next())["type"] == "websocket.close"


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
async def test_a_websocket_is_taken_with_and_without_the_slash(path: str) -> None:
    async with opened(path=path, raw_path=path.encode()):
        pass


async def test_a_websocket_in_clear_is_refused_where_https_is_asked_for(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    async with knocking(headers={"X-Forwarded-Proto": "https"}) as socket:
        assert (await socket.next())["type"] == "websocket.close"
    async with opened(scheme="wss"):
        pass
    settings.TRUSTED_PROXIES = 1
    for forwarded in ("https", "wss"):
        async with opened(headers={"X-Forwarded-Proto": forwarded}):
            pass


async def test_a_client_that_hangs_up_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql/",
        "client": ("127.0.0.1", 1),
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"50"), (b"host", b"testserver")],
    }
    half = {"type": "http.request", "body": b'{"q', "more_body": True}
    with caplog.at_level(logging.INFO):
        await call(scope, half, {"type": "http.disconnect"})
    assert [record.levelname for record in caplog.records] == ["INFO"]


@pytest.mark.parametrize("path", ["/graphql/", "/graphql", "/static/admin/css/base.css", "/graphql/explorer/"])
async def test_plain_http_is_sent_to_https_where_that_is_asked_for(api: Api, settings: Any, path: str) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = await api.client.post(path, json={"query": "{ viewer { id } }"})
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://testserver{path}"

    for proxies, forwarded in [(1, "https"), (2, "https, http")]:
        settings.TRUSTED_PROXIES = proxies
        answer = await api.client.get(path, headers={"X-Forwarded-Proto": forwarded})
        assert answer.status_code != 308


@pytest.mark.parametrize("path", ["/graphql/", "/static/admin/css/base.css", "/graphql/explorer/"])
async def test_browsers_are_told_to_come_by_https_where_that_is_asked_for(api: Api, settings: Any, path: str) -> None:
    async def told(origin: str = "https://testserver") -> Any:
        return (await api.client.get(f"{origin}{path}")).headers.get("strict-transport-security")

    assert await told() is None
    settings.SECURE_HSTS_SECONDS = 60
    assert await told() == "max-age=60"
    assert await told("http://testserver") is None
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True
    assert await told() == "max-age=60; includeSubDomains; preload"


async def test_a_proxy_that_is_not_trusted_cannot_vouch_for_https(api: Api, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer: httpx.Response = await api.client.get("/graphql/", headers={"X-Forwarded-Proto": "https"})
    assert answer.status_code == 308
