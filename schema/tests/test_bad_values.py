"""What a wrong value is answered with: the reason, and never the value, which may be somebody's password."""

from typing import Any

import pytest

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
