"""Operations are counted: a viewer's by the viewer, others by the address that they come from."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from apps.core.throttling.leases import leases
from schema.http import RESPONSE_JSON
from tests.api import Answer, Api
from tests.make import Make
from tests.throttling import STORES, keys_of_our_own

pytestmark = pytest.mark.django_db

QUERY = "{ __typename }"


@pytest.fixture(autouse=True)
def nothing_is_counted_yet() -> Iterator[None]:
    leases.cache_clear()
    yield
    leases.cache_clear()


async def codes(api: Api, times: int, **request: Any) -> list[str]:
    """What so many operations were refused with, and "OK" for each that was not."""
    answers = [await api.post({"query": QUERY}, **request) for _ in range(times)]
    return [(answer.codes or ["OK"])[0] for answer in answers]


@pytest.mark.parametrize("media_type", ["application/json", RESPONSE_JSON])
async def test_an_operation_too_many_is_refused_with_the_time_to_wait(api: Api, settings: Any, media_type: str) -> None:
    settings.RATE_LIMIT_ANONYMOUS = "2/hour"
    assert await codes(api, 2) == ["OK"] * 2
    answer: Answer = await api.post({"query": QUERY}, headers={"Accept": media_type})
    assert (answer.status, answer.headers["content-type"]) == (429, media_type)
    [error] = answer.body["errors"]
    wait = error["extensions"]["retryAfter"]
    assert 1_800 <= wait <= 7_200
    assert error["message"] == f"Too many operations. Try again in {wait} seconds."
    assert error["extensions"] == {
        "code": "RATE_LIMITED",
        "status": 429,
        "requestId": answer.headers["x-request-id"],
        "retryAfter": wait,
    }
    assert answer.headers["retry-after"] == str(wait)
    assert "data" not in answer.body


async def test_pages_of_other_sites_can_read_how_long_to_wait(api: Api, settings: Any) -> None:
    settings.RATE_LIMIT_ANONYMOUS = "1/hour"
    await codes(api, 1)
    answer = await api.post({"query": QUERY}, headers={"Origin": "https://app.example.com"})
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


async def test_by_get_they_count_as_by_post(api: Api, settings: Any) -> None:
    settings.RATE_LIMIT_ANONYMOUS = "1/hour"
    assert await codes(api, 1) == ["OK"]
    response = await api.client.get("/graphql/", params={"query": QUERY})
    assert response.status_code == 429


async def test_each_viewer_is_counted_alone_and_so_is_who_has_no_token(api: Api, make: Make, settings: Any) -> None:
    settings.RATE_LIMIT_USER, settings.RATE_LIMIT_ANONYMOUS = "2/hour", "1/hour"
    ann = await make.user()
    here, there, bob = await api.as_(ann), await api.as_(ann), await api.as_(await make.user())
    assert await codes(here, 1) + await codes(there, 2) == ["OK", "OK", "RATE_LIMITED"]
    assert await codes(bob, 2) + await codes(api, 2) == ["OK", "OK", "OK", "RATE_LIMITED"]


async def test_a_bad_token_counts_for_its_address(api: Api, settings: Any) -> None:
    settings.RATE_LIMIT_ANONYMOUS = "2/hour"
    assert await codes(api.with_token("x"), 3) == ["UNAUTHENTICATED"] * 2 + ["RATE_LIMITED"]
    assert await codes(api, 1) == ["RATE_LIMITED"]


async def test_what_is_refused_for_its_form_has_been_counted(api: Api, settings: Any) -> None:
    settings.RATE_LIMIT_ANONYMOUS = "2/hour"
    answers = [await api.post({"query": "{"}), await api.post([]), await api.post({"query": QUERY})]
    assert [answer.codes for answer in answers] == [["GRAPHQL_PARSE_FAILED"], ["BAD_USER_INPUT"], ["RATE_LIMITED"]]


async def test_a_forged_header_gives_nobody_another_address(api: Api, settings: Any) -> None:
    settings.RATE_LIMIT_ANONYMOUS = "2/hour"
    forged = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(3)]
    answered = [(await codes(api, 1, headers=headers))[0] for headers in forged]
    assert answered == ["OK", "OK", "RATE_LIMITED"]
    settings.TRUSTED_PROXIES = 1
    behind_a_proxy = [{"X-Forwarded-For": f"203.0.113.{number}, 198.51.100.1"} for number in range(3)]
    answered = [(await codes(api, 1, headers=headers))[0] for headers in behind_a_proxy]
    assert answered == ["OK", "OK", "RATE_LIMITED"]
    assert await codes(api, 1, headers={"X-Forwarded-For": "198.51.100.2"}) == ["OK"]


async def test_addresses_of_one_subscriber_are_counted_as_one(api: Api, settings: Any) -> None:
    settings.RATE_LIMIT_ANONYMOUS, settings.TRUSTED_PROXIES = "1/hour", 1
    neighbours = [{"X-Forwarded-For": f"2001:db8:1:2::{number}"} for number in range(2)]
    answered = [(await codes(api, 1, headers=headers))[0] for headers in neighbours]
    assert answered == ["OK", "RATE_LIMITED"]
    assert await codes(api, 1, headers={"X-Forwarded-For": "2001:db8:1:3::"}) == ["OK"]


async def test_counting_takes_one_statement_for_many_operations(api: Api, make: Make, settings: Any) -> None:
    client = await api.as_(await make.user())
    assert [(await client(QUERY)).statements for _ in range(3)] == [1, 1, 1]
    settings.RATE_LIMIT_USER = "300/hour"
    assert [(await client(QUERY)).statements for _ in range(6)] == [2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("url", STORES.values())
async def test_other_processes_count_too(api: Api, make: Make, settings: Any, url: str) -> None:
    settings.RATE_LIMIT_USER, settings.RATE_LIMIT_URL = "2/hour", url
    # One that nobody else's tests have on this Redis.
    user = await make.user(pk=secrets.randbelow(2**48))
    client = await api.as_(user)
    with keys_of_our_own(url, f"operations:user:{user.pk}"):
        assert await codes(client, 2) == ["OK"] * 2
        leases.cache_clear()
        assert await codes(client, 1) == ["RATE_LIMITED"]


async def test_without_the_store_operations_go_through(
    api: Api, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.RATE_LIMIT_ANONYMOUS, settings.RATE_LIMIT_URL = "1/hour", "redis://127.0.0.1:1/0"
    assert await codes(api, 5) == ["OK"] * 5
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
