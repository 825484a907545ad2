"""Every code of the API, and an operation that produces it."""

import ast
import json
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any

import pytest
import strawberry
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection

from apps.core.errors import ErrorCode
from apps.core.ids import global_id
from apps.posts.models import Post, PostStatus
from schema.engine import Permission, batch_field
from schema.errors import RequestErrorCode
from schema.tests import test_errors
from schema.tests.mounted import SlowQuery, mounted
from tests.api import Answer, Api
from tests.make import PASSWORD, Make, gid, make_comment

pytestmark = pytest.mark.django_db

Refusals = list[tuple[str, list[str] | None]]


async def unauthenticated(api: Api, make: Make) -> Refusals:
    return await api.refused("createPost", title="Title")


async def forbidden(api: Api, make: Make) -> Refusals:
    stranger = await api.as_(await make.user())
    return await stranger.refused("archivePost", id=gid(await make.post()))


async def not_found(api: Api, make: Make) -> Refusals:
    stranger = await api.as_(await make.user())
    return await stranger.refused("archivePost", id=gid(await make.post(status="draft")))


async def invalid(api: Api, make: Make) -> Refusals:
    return await (await api.as_(await make.user())).refused("createPost", title="x" * 201)


async def required(api: Api, make: Make) -> Refusals:
    return await (await api.as_(await make.user())).refused("createPost", title=" ")


async def unique(api: Api, make: Make) -> Refusals:
    user = await make.user()
    return await api.refused("register", email=user.email, password=PASSWORD, firstName="Ann")


async def conflict(api: Api, make: Make) -> Refusals:
    post = await make.post(version=2)
    return await (await api.as_(post.author)).refused("updatePost", id=gid(post), version=1)


async def invalid_credentials(api: Api, make: Make) -> Refusals:
    return await api.refused("login", email="nobody@example.com", password=PASSWORD)


async def invalid_token(api: Api, make: Make) -> Refusals:
    return await api.refused("refreshToken", refreshToken="x")


async def password_too_weak(api: Api, make: Make) -> Refusals:
    return await api.refused("register", email="ann@example.com", password="short", firstName="Ann")


async def account_disabled(api: Api, make: Make) -> Refusals:
    user = await make.user(is_active=False)
    return await api.refused("login", email=user.email, password=PASSWORD)


async def rate_limited(api: Api, make: Make) -> Refusals:
    for _ in range(2):
        refusals = await api.refused("login", email="nobody@example.com", password=PASSWORD)
    return refusals


async def email_not_verified(api: Api, make: Make) -> Refusals:
    user = await make.user()
    return await api.refused("login", email=user.email, password=PASSWORD)


async def bad_token(api: Api) -> Answer:
    return await api.with_token("x")("{ viewer { id } }")


async def bad_user_input(api: Api) -> Answer:
    return await api("{ posts(first: 0) { nodes { id } } }")


async def changed_meanwhile(api: Api) -> Answer:
    """The post is archived between the statement that reads its comment and the one that reads the post."""
    comment = await sync_to_async(make_comment)()

    def archive_after_the_comment(execute: Any, sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if 'FROM "comments_comment"' in sql:
            connection.execute_wrappers.remove(archive_after_the_comment)
            Post.objects.filter(pk=comment.post_id).update(status=PostStatus.ARCHIVED)
        return result

    await sync_to_async(lambda: connection.execute_wrappers.append(archive_after_the_comment))()
    return await api("query($id: ID!) { comment(id: $id) { post { id } } }", id=gid(comment))


async def no_such_post(api: Api) -> Answer:
    query = "subscription($id: ID!) { commentAdded(postId: $id) { id } }"
    variables = {"id": global_id("Post", 10**15)}
    headers = {"Accept": "text/event-stream"}
    response = await api.client.post("/graphql/", json={"query": query, "variables": variables}, headers=headers)
    name, data, *_ = response.text.splitlines()
    assert name == "event: next"
    return Answer(200, response.headers, response.content, json.loads(data.removeprefix("data: ")), 0, 0)


async def too_complex(api: Api) -> Answer:
    return await api("{" + " ".join(f"a{number}: __typename" for number in range(51)) + "}")


async def too_many(api: Api) -> Answer:
    await api("{ __typename }")
    return await api("{ __typename }")


async def no_document(api: Api) -> Answer:
    return await api("{")


async def not_valid(api: Api) -> Answer:
    return await api("{ nothing }")


async def database_gone(api: Api) -> Answer:
    async with mounted(test_errors.Query) as broken:
        return await broken("{ gone }")


async def too_slow(api: Api) -> Answer:
    async with mounted(SlowQuery) as slow:
        return await slow("{ slow(seconds: 0.5) }")


class Nobody(Permission):
    message = "Only the staff may see this."

    def has_permission_many(self, parents: Sequence[Any], info: Any) -> list[bool]:
        return [False] * len(parents)


@strawberry.type
class GuardedQuery:
    secret: str | None = batch_field(lambda roots, info: ["secret"], description="For nobody.", permissions=[Nobody()])


async def not_allowed(api: Api) -> Answer:
    async with mounted(GuardedQuery) as guarded:
        answer = await guarded("{ secret }")
    assert answer.body["errors"][0]["message"] == Nobody.message
    return answer


async def unexpected(api: Api) -> Answer:
    async with mounted(test_errors.Query) as broken:
        return await broken("{ broken }")


MUTATIONS: dict[ErrorCode, Callable[[Api, Make], Awaitable[Refusals]]] = {
    ErrorCode.UNAUTHENTICATED: unauthenticated,
    ErrorCode.FORBIDDEN: forbidden,
    ErrorCode.NOT_FOUND: not_found,
    ErrorCode.INVALID: invalid,
    ErrorCode.REQUIRED: required,
    ErrorCode.UNIQUE: unique,
    ErrorCode.CONFLICT: conflict,
    ErrorCode.INVALID_CREDENTIALS: invalid_credentials,
    ErrorCode.INVALID_TOKEN: invalid_token,
    ErrorCode.RATE_LIMITED: rate_limited,
    ErrorCode.PASSWORD_TOO_WEAK: password_too_weak,
    ErrorCode.ACCOUNT_DISABLED: account_disabled,
    ErrorCode.EMAIL_NOT_VERIFIED: email_not_verified,
}

REQUESTS: dict[RequestErrorCode, Callable[[Api], Awaitable[Answer]]] = {
    RequestErrorCode.UNAUTHENTICATED: bad_token,
    RequestErrorCode.BAD_USER_INPUT: bad_user_input,
    RequestErrorCode.FORBIDDEN: not_allowed,
    RequestErrorCode.NOT_FOUND: no_such_post,
    RequestErrorCode.CONFLICT: changed_meanwhile,
    RequestErrorCode.RATE_LIMITED: too_many,
    RequestErrorCode.QUERY_TOO_COMPLEX: too_complex,
    RequestErrorCode.GRAPHQL_PARSE_FAILED: no_document,
    RequestErrorCode.GRAPHQL_VALIDATION_FAILED: not_valid,
    RequestErrorCode.SERVICE_UNAVAILABLE: database_gone,
    RequestErrorCode.TIMEOUT: too_slow,
    RequestErrorCode.INTERNAL: unexpected,
}

# Part of the contract, so that clients can prepare for them, but nothing raises them yet.
UNUSED: dict[StrEnum, str] = {
    RequestErrorCode.DOCUMENT_NOT_FOUND: "there are no stored documents yet",
}


@pytest.mark.parametrize("code", MUTATIONS)
async def test_a_mutation_that_is_refused_with(code: ErrorCode, api: Api, make: Make, settings: Any) -> None:
    settings.RATE_LIMIT_LOGIN = "1/hour" if code is ErrorCode.RATE_LIMITED else "off"
    settings.EMAIL_VERIFICATION = "required" if code is ErrorCode.EMAIL_NOT_VERIFIED else "optional"
    assert [refusal[0] for refusal in await MUTATIONS[code](api, make)] == [code.value]


@pytest.mark.parametrize("code", REQUESTS)
async def test_a_request_that_is_refused_with(code: RequestErrorCode, api: Api, settings: Any) -> None:
    settings.GRAPHQL_TIMEOUT_SECONDS = 0.1 if code is RequestErrorCode.TIMEOUT else 10.0
    settings.RATE_LIMIT_ANONYMOUS = "1/minute" if code is RequestErrorCode.RATE_LIMITED else "off"
    answer = await REQUESTS[code](api)
    assert answer.codes == [code.value]
    assert answer.body["errors"][0]["extensions"]["status"] == code.status


def test_every_code_is_either_produced_here_or_unused_for_a_reason() -> None:
    assert {*MUTATIONS, *UNUSED} >= set(ErrorCode)
    assert {*REQUESTS, *UNUSED} >= set(RequestErrorCode)


def test_the_source_raises_exactly_the_codes_that_are_produced_here() -> None:
    """A code that is raised for the first time needs an operation above that produces it."""
    raised = {name for path in sources() for name in codes_raised_in(ast.parse(path.read_text()))}
    assert raised == {f"{type(code).__name__}.{code.name}" for code in (*MUTATIONS, *REQUESTS)}


def sources() -> list[Any]:
    files = [path for folder in ("apps", "schema", "config") for path in (settings.BASE_DIR / folder).rglob("*.py")]
    return [path for path in files if "tests" not in path.parts and "migrations" not in path.parts]


def codes_raised_in(tree: ast.AST) -> set[str]:
    """The codes that are passed to a call, or returned: not those that a table has as its keys."""
    found: list[ast.AST | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Return):
            found.append(node.value)
        elif isinstance(node, ast.IfExp):
            found += [node.body, node.orelse]
    return {
        f"{node.value.id}.{node.attr}"
        for node in found
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"ErrorCode", "RequestErrorCode"}
    }


def test_that_reading_of_the_source_finds_what_is_raised() -> None:
    tree = ast.parse(
        "raise DomainError(ErrorCode.UNIQUE, 'x')\nTABLE = {ErrorCode.CONFLICT: 1}\ncall({ErrorCode.INVALID: 1})"
    )
    assert codes_raised_in(tree) == {"ErrorCode.UNIQUE"}
