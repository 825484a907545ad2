"""What an operation leaves in the log, how long it may take, and where it came from."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from apps.core.db import conninfo
from schema.tests.mounted import LOCK, SlowQuery, mounted
from tests.api import Answer, Api
from tests.make import PASSWORD, Make

pytestmark = pytest.mark.django_db


def operations(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == "broadside.operation"]


async def test_an_operation_is_one_line(api: Api, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        await make.post()
    secret = "do not log me"
    query = "query Feed($s: String) { posts(filter: {search: $s}) { nodes { id } } users { nodes { id } } }"
    answer = await api.post({"query": query, "variables": {"s": secret}}, headers={"X-Request-ID": "abcdefgh"})
    assert answer.data
    [line] = operations(caplog)
    assert (line["msg"], line["code"], line["request_id"], line["levelno"]) == ("Feed", "OK", "abcdefgh", logging.INFO)
    assert line["ms"] > 0
    assert (line["statements"], line["rows"]) == (2, 2)
    assert secret not in caplog.text
    assert not [value for value in line.values() if secret in str(value)]


@pytest.mark.parametrize(
    ("body", "name", "code"),
    [
        ({"query": "{ __typename }"}, "unnamed", "OK"),
        ({"query": "mutation SignIn { __typename }"}, "SignIn", "OK"),
        ({"query": "query A { __typename } query B { __typename }", "operationName": "B"}, "B", "OK"),
        ({"query": "{ __typename }", "operationName": "x\ny forged=1"}, "unnamed", "BAD_USER_INPUT"),
        ({"query": "query Broken {"}, "Broken", "GRAPHQL_PARSE_FAILED"),
        ({"query": "query Wrong { nothing }"}, "Wrong", "GRAPHQL_VALIDATION_FAILED"),
        ({"query": 'query Field { node(id: "x") { id } }'}, "Field", "BAD_USER_INPUT"),
        ({"query": "query " + "N" * 90_000 + " { __typename }"}, "N" * 100, "OK"),
        ([], "unnamed", "BAD_USER_INPUT"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_line_has_the_name_and_the_first_code(
    api: Api, caplog: pytest.LogCaptureFixture, body: Any, name: str, code: str
) -> None:
    await api.post(body)
    [line] = operations(caplog)
    assert (line["msg"], line["code"]) == (name, code)


async def test_a_refused_token_and_a_get_are_lines_too(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    await api.with_token("x")("{ __typename }")
    await api.client.get("/graphql/", params={"query": "query Feed { __typename }"})
    assert [(line["msg"], line["code"]) for line in operations(caplog)] == [
        ("unnamed", "UNAUTHENTICATED"),
        ("Feed", "OK"),
    ]


async def test_the_page_is_no_operation(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    await api.client.get("/graphql/", headers={"Accept": "text/html"})
    assert operations(caplog) == []


async def test_passwords_and_tokens_are_never_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("django.db.backends").setLevel(logging.INFO)
    new = {"email": "ann@example.com", "password": "sword-fish-secret", "firstName": "Ann"}
    await api.payload("register", "", **new)
    tokens = await api.payload("login", "accessToken refreshToken", email=new["email"], password=new["password"])
    await api.payload("refreshToken", "", refreshToken=tokens["refreshToken"])
    literal = f'mutation {{ login(input: {{email: "ann@example.com", password: "{new["password"]}"}}) {{ nothing }} }}'
    await api(literal)
    await api.with_token(tokens["accessToken"])("{ viewer { id } }")
    for secret in (new["password"], tokens["accessToken"], tokens["refreshToken"]):
        assert secret not in caplog.text


# Time


@pytest.fixture
def somebody_else() -> Iterator[psycopg.Connection]:
    """A connection of its own to the database of the tests."""
    with psycopg.connect(conninfo(), autocommit=True) as other:
        yield other


@pytest.mark.django_db(transaction=True)
async def test_an_operation_that_takes_too_long_is_cut(
    somebody_else: psycopg.Connection, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    somebody_else.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    async with mounted(SlowQuery) as api:
        settings.GRAPHQL_TIMEOUT_SECONDS = 0.2
        answer = await api("query Slow { locked }")
        settings.GRAPHQL_TIMEOUT_SECONDS = 10.0
        assert (answer.status, answer.codes) == (504, ["TIMEOUT"])
        assert "data" not in answer.body
        [line] = operations(caplog)
        # Not its name, which a slow machine may not have come to in this time.
        assert line["code"] == "TIMEOUT"
        assert (await api("{ fine }")).data == {"fine": "fine"}

        # The lock is still held: the client has not waited for the statement.
        left_behind = asyncio.all_tasks() - {asyncio.current_task()}
        somebody_else.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        await asyncio.gather(*left_behind, return_exceptions=True)


async def test_an_operation_within_its_time_is_not_cut(settings: Any) -> None:
    settings.GRAPHQL_TIMEOUT_SECONDS = 10.0
    async with mounted(SlowQuery) as api:
        assert (await api("{ slow(seconds: 0.01) }")).data == {"slow": "done"}


# Addresses


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.7", "127.0.0.1"),
        (1, None, "127.0.0.1"),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (2, "198.51.100.1, 203.0.113.7", "198.51.100.1"),
        (2, "192.0.2.1, 198.51.100.1, 203.0.113.7", "198.51.100.1"),
        (5, "203.0.113.7", "127.0.0.1"),
        (1, "203.0.113.7:4711", "203.0.113.7"),
        (1, "[fe80::1%eth0]:4711", "fe80::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "garbage", None),
        (1, "' OR 1=1 --", None),
    ],
)
async def test_the_address_of_a_session(
    api: Api, make: Make, settings: Any, proxies: int, forwarded: str | None, expected: str | None
) -> None:
    settings.TRUSTED_PROXIES = proxies
    user = await make.user()
    given = f'input: {{email: "{user.email}", password: "{PASSWORD}"}}'
    query = f"mutation {{ login({given}) {{ user {{ sessions {{ ip }} }} }} }}"
    answer: Answer = await api.post({"query": query}, headers={"X-Forwarded-For": forwarded} if forwarded else {})
    assert answer.data["login"]["user"]["sessions"] == [{"ip": expected}]
