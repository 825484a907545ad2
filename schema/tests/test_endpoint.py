"""GraphQL over HTTP: what goes in, what comes out, and what is logged."""

import gc
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from apps.users.models import User
from schema.http import RESPONSE_JSON, Call
from schema.tests.mounted import SlowQuery, mounted
from tests.api import Api
from tests.make import PASSWORD, Make

pytestmark = pytest.mark.django_db

ORIGIN = "https://app.example.com"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def http(api: Api) -> httpx.AsyncClient:
    """The client itself, for what is no operation."""
    return api.client


async def get(api: Api, **request: Any) -> httpx.Response:
    """A GET of the endpoint with query parameters."""
    return await api.client.get("/graphql/", **request)


# What is answered


async def test_a_query_by_post_and_by_get(api: Api) -> None:
    answer = await api("{ viewer { id } }")
    assert (answer.status, answer.body) == (200, {"data": {"viewer": None}})
    assert answer.headers["content-type"] == "application/json"
    response = await get(
        api, params={"query": "query($n: Int) { posts(first: $n) { nodes { id } } }", "variables": '{"n": 1}'}
    )
    assert (response.status_code, response.json()) == (200, {"data": {"posts": {"nodes": []}}})


async def test_the_operation_is_chosen_by_name(api: Api) -> None:
    query = "query A { a: __typename } query B { b: __typename }"
    assert (await api.post({"query": query, "operationName": "B"})).data == {"b": "Query"}
    response = await get(api, params={"query": query, "operationName": "A"})
    assert response.json() == {"data": {"a": "Query"}}


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
async def test_with_and_without_the_slash(http: httpx.AsyncClient, path: str) -> None:
    response = await http.post(path, json={"query": "{ __typename }"})
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_text_of_any_script_goes_through(api: Api, make: Make) -> None:
    await make.post(title="Grüße, 世界 \U0001f600", slug="x")
    response = await api.client.post("/graphql/", json={"query": '{ post(slug: "x") { title } }'})
    assert "Grüße, 世界 \U0001f600".encode() in response.content


async def test_a_mutation_by_get_is_refused(api: Api, make: Make) -> None:
    user = await make.user()
    mutation = f'mutation {{ login(input: {{email: "{user.email}", password: "{PASSWORD}"}}) {{ accessToken }} }}'
    response = await get(api, params={"query": mutation})
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert not await User.objects.filter(sessions__isnull=False).aexists()


async def test_a_batch_is_refused(api: Api) -> None:
    answer = await api.post([{"query": "{ __typename }"}] * 2)
    assert (answer.status, answer.codes) == (400, ["BAD_USER_INPUT"])


STATUSES: list[tuple[int, int, dict[str, Any]]] = [
    (200, 200, {"json": {"query": "{ __typename }"}}),
    (200, 200, {"json": {"query": '{ node(id: "x") { id } __typename }'}}),
    (200, 400, {"json": {"query": "{"}}),
    (200, 400, {"json": {"query": "{ nothing }"}}),
    (200, 400, {"json": {"query": "query($n: Int) { posts(first: $n) { nodes { id } } }", "variables": {"n": "x"}}}),
    (400, 400, {"json": {"query": "{ __typename }", "operationName": "A"}}),
    (400, 400, {"json": {}}),
    (400, 400, {"content": b"{", "headers": JSON}),
    (400, 400, {"content": b"{ __typename }"}),
    (401, 401, {"json": {"query": "{ __typename }"}, "headers": {"Authorization": "Bearer x"}}),
]


@pytest.mark.parametrize(("status", "of_the_new_type", "request_"), STATUSES, ids=lambda value: str(value)[:60])
async def test_the_status_is_the_one_that_the_documents_give(
    http: httpx.AsyncClient, status: int, of_the_new_type: int, request_: dict[str, Any]
) -> None:
    for media_type, expected in (("application/json", status), (RESPONSE_JSON, of_the_new_type)):
        headers = {**request_.get("headers", {}), "Accept": media_type}
        response = await http.post("/graphql/", **{**request_, "headers": headers})
        assert (response.status_code, response.headers["content-type"]) == (expected, media_type)
        assert ("data" in response.json()) is (status == of_the_new_type == 200)


# Requests that are none

BAD_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "not json": b"{",
    "a comment": b'{"query": "{ __typename }"} // x',
    "single quotes": b"{'query': '{ __typename }'}",
    "nan": b'{"query": "{ __typename }", "variables": {"x": NaN}}',
    "invalid utf-8": b'{"query": "{ __typename } \xff"}',
    "utf-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "a lone surrogate": b'{"query": "{ __typename } # \\ud800"}',
    "gzip": gzip.compress(b'{"query": "{ __typename }"}'),
    "a string": b'"{ __typename }"',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "an empty list": b"[]",
    "a list of nulls": b"[null]",
    "a list of strings": b'["{ __typename }"]',
    "an empty object": b"{}",
    "no query": b'{"variables": {}}',
    "a query that is null": b'{"query": null}',
    "a query that is a number": b'{"query": 1}',
    "a query that is a list": b'{"query": ["{ __typename }"]}',
    "an empty query": b'{"query": ""}',
    "variables that are a list": b'{"query": "{ __typename }", "variables": []}',
    "variables that are a string": b'{"query": "{ __typename }", "variables": "{}"}',
    "variables that are a number": b'{"query": "{ __typename }", "variables": 0}',
    "variables that are false": b'{"query": "{ __typename }", "variables": false}',
    "extensions that are a string": b'{"query": "{ __typename }", "extensions": "x"}',
    "a name that is a number": b'{"query": "{ __typename }", "operationName": 1}',
    "a name that is a list": b'{"query": "{ __typename }", "operationName": []}',
    "a name that is unknown": b'{"query": "query A { __typename }", "operationName": "B"}',
    "a name that is empty": b'{"query": "query A { __typename }", "operationName": ""}',
    "two operations and no name": b'{"query": "query A { __typename } query B { __typename }"}',
    "only a fragment": b'{"query": "fragment F on Query { __typename }"}',
    "lists 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a subscription": b'{"query": "subscription { __typename }"}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_body_that_is_no_request_is_refused_with_a_code(api: Api, name: str) -> None:
    answer = await api.post(content=BAD_BODIES[name], headers=JSON)
    assert answer.codes[0] in {"BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"}
    assert answer.status in {200, 400}
    assert "data" not in answer.body
    assert answer.body["errors"][0]["extensions"]["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("number", ["9223372036854775808", "1" * 30, "-" + "9" * 5_000, "1e400", "1" * 100_000])
async def test_long_numbers_are_bad_input(api: Api, number: str) -> None:
    for query in ("query($n: Int) { posts(first: $n) { nodes { id } } }", "query($n: ID!) { node(id: $n) { id } }"):
        content = f'{{"query": "{query}", "variables": {{"n": {number}}}}}'
        answer = await api.post(content=content, headers=JSON)
        assert set(answer.codes) == {"BAD_USER_INPUT"}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonx",
    ],
)
async def test_another_content_type_is_refused(api: Api, content_type: str | None) -> None:
    """A form can be posted from any site without asking: it must not be taken for an operation."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await api.post(content=b'{"query": "{ __typename }"}', headers=headers)
    assert (answer.status, answer.codes) == (400, ["BAD_USER_INPUT"])


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON "]
)
async def test_json_is_json_in_any_case_and_with_a_charset(api: Api, content_type: str) -> None:
    answer = await api.post(content=b'{"query": "{ __typename }"}', headers={"Content-Type": content_type})
    assert answer.data == {"__typename": "Query"}


async def test_what_a_form_leaves_empty_is_left_out(api: Api) -> None:
    params = {"query": "{ __typename }", "variables": "", "operationName": "", "extensions": "null"}
    response = await get(api, params=params, headers={"Accept": "application/json"})
    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "params",
    [
        {"query": "{"},
        {"query": ""},
        {"query": "{ nothing }"},
        {"query": "{ __typename }", "variables": "{"},
        {"query": "{ __typename }", "variables": "[]"},
        {"query": "{ __typename }", "variables": "[" * 5_000},
        {"query": "{ __typename }", "extensions": "1"},
        {"query": "query A { __typename }", "operationName": "B"},
        {"variables": "{}"},
    ],
    ids=lambda params: str(params)[:60],
)
async def test_a_get_that_is_no_request_is_refused(api: Api, params: dict[str, str]) -> None:
    response = await get(api, params=params, headers={"Accept": "application/json"})
    assert response.status_code in {200, 400}
    assert response.json()["errors"][0]["extensions"]["code"] != "INTERNAL"
    assert "data" not in response.json()


async def test_a_get_of_bytes_that_are_no_text_is_refused(api: Api) -> None:
    response = await get(api, params=b"query=%7B%20__typename%20%7D&variables=%ff")
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_body_over_the_limit_is_refused_before_it_is_read_to_its_end(api: Api, settings: Any) -> None:
    settings.GRAPHQL_MAX_BODY_BYTES = 1_000
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 100
            yield b" " * 100

    answer = await api.post(content=chunks(), headers=JSON)
    assert answer.codes == ["BAD_USER_INPUT"]
    assert "1,000 bytes" in answer.body["errors"][0]["message"]
    assert sent < 5_000
    body = json.dumps({"query": "{ __typename }"}).ljust(1_000)
    assert (await api.post(content=body, headers=JSON)).data
    assert (await api.post(content=body + " ", headers=JSON)).codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_not_allowed(http: httpx.AsyncClient, method: str) -> None:
    response = await http.request(method, "/graphql/", json={"query": "{ __typename }"})
    assert response.status_code == response.json()["errors"][0]["extensions"]["status"] == 405
    assert response.headers["content-type"] == "application/json"
    assert {allowed.strip() for allowed in response.headers["allow"].split(",")} >= {"GET", "POST"}
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_refused_request_is_let_go_of_at_once(api: Api) -> None:
    """Not when the collector comes, which is after thousands of them."""
    for content in (b"{", b'{"query": "{"}', b'{"query": "{ nothing }"}'):
        await api.post(content=content, headers=JSON)
        gc.collect()
        gc.disable()
        try:
            await api.post(content=content, headers=JSON)
            assert [each for each in gc.get_objects() if type(each) is Call] == []
        finally:
            gc.enable()


@pytest.mark.parametrize("directive", ["include", "skip"])
async def test_a_null_cannot_decide_what_is_selected(api: Api, directive: str) -> None:
    query = f"query($yes: Boolean = true) {{ __typename viewer {{ id @{directive}(if: $yes) }} }}"
    assert (await api(query, yes=None)).codes == ["BAD_USER_INPUT"]
    assert (await api(query, yes=False)).codes == []
    assert (await api(query)).codes == []


# Media types and statuses


REFUSED = [
    ("{", "GRAPHQL_PARSE_FAILED"),
    ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
    ("query($id: ID!) { node(id: $id) { id } }", "BAD_USER_INPUT"),
    ("query($n: Int = null, $m: Int! = 1) { posts(first: $m) { nodes { id(x: $n) } } }", "GRAPHQL_VALIDATION_FAILED"),
]


@pytest.mark.parametrize(("query", "code"), REFUSED)
async def test_a_request_error_is_200_in_plain_json_and_400_in_the_new_media_type(
    api: Api, query: str, code: str
) -> None:
    unwanted = f"application/json, {RESPONSE_JSON};q=0"
    for accept in (None, "*/*", "application/json", "application/json, text/html;q=0.9", unwanted, f"{unwanted}.00"):
        answer = await api.post({"query": query}, headers={"Accept": accept} if accept else {})
        assert (answer.status, answer.codes, "data" in answer.body) == (200, [code], False)
        assert answer.headers["content-type"] == "application/json"
    for accept in (
        RESPONSE_JSON,
        f"{RESPONSE_JSON}, application/json;q=0.9",
        f"text/html, {RESPONSE_JSON}; charset=utf-8",
        RESPONSE_JSON.title(),
    ):
        answer = await api.post({"query": query}, headers={"Accept": accept})
        assert (answer.status, answer.codes, "data" in answer.body) == (400, [code], False)
        assert answer.headers["content-type"].startswith(RESPONSE_JSON)


async def test_accept_may_come_in_two_lines(api: Api) -> None:
    for accepts in ([RESPONSE_JSON, "application/json"], ["application/json", RESPONSE_JSON]):
        headers = [("Content-Type", "application/json"), *(("Accept", accept) for accept in accepts)]
        response = await api.client.post("/graphql/", content=b'{"query": "{"}', headers=headers)
        assert response.headers["content-type"].startswith(RESPONSE_JSON)


async def test_an_error_of_a_field_is_200_in_both_media_types(api: Api) -> None:
    for accept in ("application/json", RESPONSE_JSON):
        answer = await api.post({"query": '{ node(id: "x") { id } }'}, headers={"Accept": accept})
        assert (answer.status, answer.codes, answer.body["data"]) == (200, ["BAD_USER_INPUT"], {"node": None})
        assert answer.headers["content-type"].startswith(accept)


async def test_a_refused_token_has_its_status_and_media_type_in_both(api: Api) -> None:
    for accept in ("application/json", RESPONSE_JSON):
        answer = await api.with_token("x").post({"query": "{ __typename }"}, headers={"Accept": accept})
        assert (answer.status, answer.codes) == (401, ["UNAUTHENTICATED"])
        assert answer.headers["content-type"].startswith(accept)


async def test_an_error_has_its_place_and_nothing_else(api: Api) -> None:
    answer = await api.post({"query": "{\n  nothing\n}"}, headers={"X-Request-ID": "abcdefgh"})
    [error] = answer.body["errors"]
    assert error == {
        "message": "Cannot query field 'nothing' on type 'Query'.",
        "locations": [{"line": 2, "column": 3}],
        "extensions": {"code": "GRAPHQL_VALIDATION_FAILED", "status": 400, "requestId": "abcdefgh"},
    }


# The request's id


async def test_a_request_id_is_kept_or_made(api: Api) -> None:
    given = await api.post({"query": "{"}, headers={"X-Request-ID": "proxy-7.abc_DEF"})
    assert given.headers["x-request-id"] == "proxy-7.abc_DEF"
    assert given.body["errors"][0]["extensions"]["requestId"] == "proxy-7.abc_DEF"
    made = [(await api("{")).headers["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    assert all(len(request_id) == 32 for request_id in made)


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "a b c d e f g", "id\tid\tid\tid", "<script>alert(1)</script>"]
)
async def test_a_request_id_that_could_forge_a_log_line_is_replaced(api: Api, given: str) -> None:
    assert (await api.post({"query": "{"}, headers={"X-Request-ID": given})).headers["x-request-id"] != given


async def test_answers_of_django_have_a_request_id_too(http: httpx.AsyncClient) -> None:
    response = await http.get("/healthz", headers={"X-Request-ID": "abcdefgh"})
    assert response.headers["x-request-id"] == "abcdefgh"


# Browsers


async def test_a_preflight_of_an_allowed_origin(http: httpx.AsyncClient) -> None:
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-request-id",
    }
    response = await http.options("/graphql/", headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-credentials"] == "true"
    foreign = await http.options("/graphql/", headers={**headers, "Origin": "https://evil.example.com"})
    assert foreign.status_code == 400
    assert "access-control-allow-origin" not in foreign.headers


async def test_answers_are_readable_for_allowed_origins_only(api: Api) -> None:
    """Refusals, too: a client on another origin has to see the code."""
    for client in (api, api.with_token("x")):
        answer = await client.post({"query": "{ __typename }"}, headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-expose-headers"] == "X-Request-ID, Retry-After"
        assert answer.headers["vary"] == "Origin"
        foreign = await client.post({"query": "{ __typename }"}, headers={"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in foreign.headers


async def test_browsers_get_the_explorer_and_operations_do_not(http: httpx.AsyncClient) -> None:
    page = await http.get("/graphql/", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    data = await http.get("/graphql/", params={"query": "{ __typename }"}, headers={"Accept": "text/html"})
    assert data.json() == {"data": {"__typename": "Query"}}


async def test_head_is_answered_like_get_but_without_a_body(http: httpx.AsyncClient) -> None:
    headers = {"Accept": "text/html"}
    page, head = await http.get("/graphql/", headers=headers), await http.head("/graphql/", headers=headers)
    assert (head.status_code, head.headers["content-type"]) == (page.status_code, page.headers["content-type"])
    assert head.content == b""


async def test_without_an_explorer_there_is_no_page() -> None:
    async with mounted(SlowQuery) as api:
        response = await api.client.get("/graphql/", headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_path_is_not_taken_for_the_endpoint(http: httpx.AsyncClient) -> None:
    for path in ("/graphql/x", "/graphqlx", f"/{quote('graphql/')}x"):
        assert (await http.post(path, json={"query": "{ __typename }"})).status_code == 404
