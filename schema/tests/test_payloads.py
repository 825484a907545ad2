from typing import Any

import pytest
import strawberry
from graphql import GraphQLEnumType

from apps.core.errors import DomainError, DomainErrors, ErrorCode
from apps.core.ids import global_id
from apps.posts.models import Post
from schema.context import Info
from schema.errors import RequestError, RequestErrorCode
from schema.payloads import Payload, input_key, mutation, write
from schema.root import schema
from schema.tests.mounted import mounted
from tests.api import Api
from tests.make import Make, gid

ERRORS = "errors { code message field retryAfter }"


@strawberry.type
class Query:
    nothing: str | None = None


@strawberry.type
class SavePayload(Payload):
    title: str | None = None


@strawberry.type
class Mutation:
    @mutation(description="Saves, or refuses as told.")
    async def save(self, info: Info, how: str) -> SavePayload:
        """A service's refusal, as it comes through `write`."""
        return SavePayload.of(title=await write(info, service, how=how))

    @mutation(description="Raises what belongs at the top level.")
    async def raise_at_the_top(self) -> SavePayload:
        raise RequestError(RequestErrorCode.FORBIDDEN, "Not here.")


def service(*, how: str) -> str:
    if how == "one":
        raise DomainError(ErrorCode.RATE_LIMITED, "Wait.", "first_name", retry_after=7)
    if how == "many":
        raise DomainErrors([DomainError(ErrorCode.REQUIRED, "A.", "title"), DomainError(ErrorCode.INVALID, "B.")])
    return how


async def save(how: str) -> Any:
    async with mounted(Query, Mutation) as api:
        query = f"mutation($how: String!) {{ save(how: $how) {{ title {ERRORS} }} }}"
        return (await api(query, how=how)).data["save"]


async def test_what_was_carried_out_has_no_errors() -> None:
    assert await save("saved") == {"title": "saved", "errors": []}


async def test_a_refusal_comes_back_in_the_names_of_the_api() -> None:
    error = {"code": "RATE_LIMITED", "message": "Wait.", "field": ["firstName"], "retryAfter": 7}
    assert await save("one") == {"title": None, "errors": [error]}


async def test_several_refusals_come_back_together() -> None:
    assert await save("many") == {
        "title": None,
        "errors": [
            {"code": "REQUIRED", "message": "A.", "field": ["title"], "retryAfter": None},
            {"code": "INVALID", "message": "B.", "field": None, "retryAfter": None},
        ],
    }


async def test_a_request_error_in_a_mutation_stays_at_the_top() -> None:
    async with mounted(Query, Mutation) as api:
        answer = await api(f"mutation {{ raiseAtTheTop {{ title {ERRORS} }} }}")
    assert answer.codes == ["FORBIDDEN"]
    assert answer.body["data"] is None


def test_a_key_is_read_from_an_id_of_its_type_only() -> None:
    assert input_key("Post", global_id("Post", 7)) == 7
    for value in ("", "x", global_id("Comment", 7), global_id("Post", 0), global_id("Post", 2**63)):
        with pytest.raises(DomainError) as refusal:
            input_key("Post", value, "post_id")
        assert (refusal.value.code, refusal.value.field) == (ErrorCode.INVALID, "post_id")


@pytest.mark.django_db
async def test_a_write_makes_later_reads_of_the_request_new(api: Api, make: Make) -> None:
    """Two mutations in one operation: the second's answer does not show what the first one had loaded."""
    post = await make.post()
    client = await api.as_(post.author)
    add = f'addComment(input: {{postId: "{gid(post)}", body: "x"}}) {{ comment {{ post {{ title commentCount }} }} }}'
    change = f'updatePost(input: {{id: "{gid(post)}", version: 1, title: "New"}}) {{ post {{ commentCount }} }}'
    data = (await client(f"mutation {{ one: {add} two: {add} three: {change} four: {add} }}")).data
    counts = [data["one"]["comment"]["post"], data["two"]["comment"]["post"], data["four"]["comment"]["post"]]
    assert [found["commentCount"] for found in counts] == [1, 2, 3]
    assert [found["title"] for found in counts] == [post.title, post.title, "New"]
    assert data["three"]["post"]["commentCount"] == 2


@pytest.mark.django_db
async def test_one_refusal_does_not_stop_the_next_mutation(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    create = "createPost(input: {title: $title}) { post { title } errors { code } }"
    query = (
        f'mutation($title: String!) {{ bad: createPost(input: {{title: ""}}) {{ errors {{ code }} }} good: {create} }}'
    )
    data = (await client(query, title="Title")).data
    assert data == {"bad": {"errors": [{"code": "REQUIRED"}]}, "good": {"post": {"title": "Title"}, "errors": []}}
    assert await Post.objects.acount() == 1


def test_every_code_is_described() -> None:
    enum = schema._schema.type_map["ErrorCode"]
    assert isinstance(enum, GraphQLEnumType)
    assert set(enum.values) == {code.value for code in ErrorCode}
    assert all(value.description for value in enum.values.values())
