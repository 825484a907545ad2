"""What a wrong value is answered with: the reason, and never the value, which may be somebody's password."""

import time
from typing import Any

import pytest

from schema.errors import MESSAGE_MAX
from tests.api import Api

pytestmark = pytest.mark.django_db

SECRET = "swordfish"
LOGIN = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
POSTS = "query($filter: PostFilter, $first: Int) { posts(filter: $filter, first: $first) { nodes { id } } }"


@pytest.mark.parametrize(
    ("query", "variables", "reason"),
    [
        (LOGIN, {"input": {"email": "a", "passwort": SECRET}}, "not to include unknown field 'passwort'."),
        (LOGIN, {"input": {"email": "a", "passwort": SECRET}}, "to include required field 'password'."),
        (LOGIN, {"input": SECRET}, "Expected value of type 'LoginInput' to be an object."),
        (LOGIN, {"input": {"email": "a", "password": [SECRET]}}, "String cannot represent a non string value."),
        (LOGIN, {"input": {"email": "a", "password": {"\n": SECRET}}}, "String cannot represent a non string value."),
        (LOGIN, {"input": {"email": "a", "password": None}}, "not to be null."),
        (LOGIN, {}, "Expected a value of non-null type 'LoginInput!' to be provided."),
        (POSTS, {"first": SECRET}, "Int cannot represent non-integer value."),
        (POSTS, {"filter": {"author": {SECRET: 1}}}, "ID cannot represent value."),
        (POSTS, {"filter": {"publishedAfter": SECRET}}, "A DateTime has to be text like"),
        (f'mutation {{ login(input: {{email: "a", passwort: "{SECRET}"}}) {{ user {{ id }} }} }}', {}, "'passwort'."),
        (f'mutation {{ login(input: "{SECRET}") {{ user {{ id }} }} }}', {}, "to be an object."),
        (f'{{ posts(first: "{SECRET}") {{ nodes {{ id }} }} }}', {}, "Int cannot represent non-integer value."),
        (f'{{ posts(filter: {{publishedAfter: "{SECRET}"}}) {{ nodes {{ id }} }} }}', {}, "A DateTime has to be"),
        (f'{{ login(email: "a", password "{SECRET}") }}', {}, "Expected ':', found String."),
        (f'{{ login(email: "a", password """{SECRET}""") }}', {}, "Expected ':', found BlockString."),
        (f'{{ "{SECRET}" }}', {}, "found String."),
        ("query Q { posts } 1234567890", {}, "Unexpected Int."),
    ],
)
async def test_the_reason_is_told_without_the_value(
    api: Api, query: str, variables: dict[str, Any], reason: str
) -> None:
    answer = await api.post({"query": query, "variables": variables})
    messages = [error["message"] for error in answer.body["errors"]]
    assert any(reason in message or reason.rstrip(".") + ". Did you mean" in message for message in messages), messages
    assert SECRET not in str(answer.body)
    assert "None" not in str(messages)


async def test_a_wrong_literal_is_located(api: Api) -> None:
    query = '{ posts(filter: {publishedAfter: "2026-01-01T00:00:00Z", publishedBefore: "soon"}) { nodes { id } } }'
    answer = await api.post({"query": query})
    assert answer.codes == ["GRAPHQL_VALIDATION_FAILED"]
    assert answer.body["errors"][0]["locations"] == [{"line": 1, "column": query.index('"soon"') + 1}]


@pytest.mark.parametrize("repeated", [" represent ", " found", "found String ", "? Found: ", "x"])
async def test_a_name_as_long_as_a_request_is_answered_at_once(api: Api, repeated: str) -> None:
    """graphql-core quotes an unknown name as it is; to look for something in it must not take its length squared."""
    started = time.process_time()
    wrong = {"email": "a", "password": "b", repeated * (1_500_000 // len(repeated)): 1}
    answer = await api.post({"query": LOGIN, "variables": {"input": wrong}})
    assert time.process_time() - started < 15
    assert answer.codes == ["BAD_USER_INPUT"]
    assert len(answer.body["errors"][0]["message"]) <= MESSAGE_MAX + 1


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ('query($x: ID = "a") { found: node(id: $x) { id } }', ["found"]),
        ('query($x: ID = "a") { nodes(ids: [$x]) { id } }', ["nodes"]),
        ('mutation($x: ID = "a") { deletePost(input: {id: $x}) { errors { code } } }', ["deletePost"]),
    ],
)
async def test_a_null_in_the_place_of_a_default_is_the_clients(
    api: Api, caplog: pytest.LogCaptureFixture, query: str, path: list[str]
) -> None:
    """A type cannot say so: `ID` with a default may stand where `ID!` is wanted, and still be sent as null."""
    answer = await api(query, x=None)
    assert answer.codes == ["BAD_USER_INPUT"]
    [error] = answer.body["errors"]
    assert error["path"] == path
    assert error["message"].endswith("not to be null.")
    assert not [record for record in caplog.records if record.exc_info]
