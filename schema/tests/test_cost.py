"""What an operation may load is estimated from its page sizes, and refused beyond GRAPHQL_MAX_COST."""

from typing import Any

import pytest
from django.apps import apps
from django.db.models import TextField
from graphql import GraphQLObjectType as Object

from schema.cost import WEIGHT
from schema.root import schema
from schema.types import Column
from tests.api import Api
from tests.make import Make, gid

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("{ viewer { fullName } }", 2),
        ("{ __typename viewer { __typename fullName } }", 4),
        ("{ __schema { types { name fields { name } } } }", 5_000),
        ('{ __type(name: "User") { name } viewer { id } }', 5_002),
        ("{ posts(first: 7) { nodes { title slug } } }", 21),
        ("{ posts(first: 7) { nodes { title body } } }", 7 * (1 + 1 + 26)),
        ("{ posts(first: 2) { nodes { comments(first: 3) { nodes { ...B } } } } } fragment B on Comment { body }", 26),
        ("{ posts { nodes { title } } }", 40),
        ("{ posts(last: 7) { edges { cursor node { title } } } }", 21),
        ("{ posts(first: 7) { nodes { author { id } } } }", 21),
        ("{ posts(first: 2) { nodes { author { id } tags { id } comments(first: 3) { nodes { id } } } } }", 58),
        (
            "{ a: posts(first: 2) { ...P } b: posts(first: 3) { ...P } } fragment P on PostConnection { nodes { id } }",
            10,
        ),
        ("query($n: Int = 9) { posts(first: $n) { nodes { id } } }", 18),
        ("{ ... on Query { posts(first: 4) { nodes { ... on Node { id } } } } }", 8),
        ('{ nodes(ids: ["a", "b", "c"]) { ... on User { posts(first: 5) { nodes { id } } } } }', 33),
    ],
)
async def test_page_sizes_multiply_and_siblings_add(api: Api, settings: Any, query: str, cost: int) -> None:
    settings.GRAPHQL_MAX_COST = cost
    assert "QUERY_TOO_COMPLEX" not in (await api(query)).codes
    settings.GRAPHQL_MAX_COST = cost - 1
    answer = await api(query)
    assert answer.codes == ["QUERY_TOO_COMPLEX"]
    assert f" {cost:,} values" in answer.body["errors"][0]["message"]
    assert answer.statements == 0


def test_whatever_text_may_be_long_says_how_long() -> None:
    models = [model for model in apps.get_models() if isinstance(schema._schema.get_type(model.__name__), Object)]
    unbounded, declared = set(), set()
    for model in models:
        texts = {field.name for field in model._meta.concrete_fields if isinstance(field, TextField)}
        for name in schema._schema.type_map[model.__name__].fields:  # type: ignore[attr-defined]
            field = schema.get_field_for_type(name, model.__name__)
            if isinstance(field, Column) and field.django_name in texts:
                unbounded.add(f"{model.__name__}.{name}")
            if field is not None and WEIGHT in field.metadata:
                declared.add(f"{model.__name__}.{name}")
    assert declared == unbounded >= {"Post.body", "Comment.body", "User.bio"}


async def test_all_that_is_read_of_long_texts_is_bounded(api: Api) -> None:
    """Without, one operation of strangers read 10,000 of the longest posts, each as often as it has tags: gigabytes."""
    query = "{ tags(first: 100) { nodes { posts(first: 100) { nodes { body } } } } }"
    answer = await api(query)
    assert answer.codes == ["QUERY_TOO_COMPLEX"]
    assert answer.statements == 0
    assert (await api(query.replace("body", "title"))).codes == []


async def test_a_variable_counts_with_the_value_that_was_sent(api: Api, settings: Any) -> None:
    settings.GRAPHQL_MAX_COST = 20
    query = "query($n: Int = 1) { posts(first: $n) { nodes { id } } }"
    assert (await api(query)).codes == []
    assert (await api(query, n=10)).codes == []
    assert (await api(query, n=11)).codes == ["QUERY_TOO_COMPLEX"]


async def test_a_variable_that_is_a_whole_float_counts_like_the_integer(api: Api, settings: Any) -> None:
    settings.GRAPHQL_MAX_COST = 60
    query = "query($n: Int) { posts(first: $n) { nodes { id } } }"
    assert (await api(query, n=100.0)).codes == ["QUERY_TOO_COMPLEX"]


async def test_an_answer_that_repeats_a_long_text_too_often_is_not_written(api: Api, make: Make, settings: Any) -> None:
    settings.GRAPHQL_MAX_RESPONSE_BYTES = 5_000
    post = await make.post(body="x" * 1_000)
    query = "query($id: ID!) {{ post(id: $id) {{ {} }} }}"
    assert (await api(query.format("body b: body"), id=gid(post))).codes == []
    often = query.format(" ".join(f"b{number}: body" for number in range(6)))
    assert (await api(often, id=gid(post))).codes == ["QUERY_TOO_COMPLEX"]


@pytest.mark.parametrize(
    ("body", "selection"),
    [
        ("x" * 1_000, "a: body b: body c: body d: body e: body f: body"),
        ("\x01" * 1_000, "body"),
        ("\u4e16" * 1_000, "a: body b: body"),
        ("\U0001f600" * 1_000, "a: body b: body"),
        ('"' * 1_000, "a: body b: body c: body"),
        ("x", f"{'a' * 1_200}: author {{ id {'b' * 1_200}: id {'c' * 1_200}: id {'d' * 1_200}: id }}"),
        ("x", " ".join(f"{'a' * 180}{number}: __typename" for number in range(30))),
    ],
    ids=["text", "escapes", "three bytes", "four bytes", "quotes", "long names", "type names"],
)
async def test_an_answer_over_the_limit_is_not_sent_whatever_makes_it_large(
    api: Api, make: Make, settings: Any, body: str, selection: str
) -> None:
    post = await make.post(body=body)
    query = f"query($id: ID!) {{ post(id: $id) {{ {selection} }} }}"
    sent = len((await api(query, id=gid(post))).content)
    settings.GRAPHQL_MAX_RESPONSE_BYTES = sent
    assert (await api(query, id=gid(post))).codes == []
    settings.GRAPHQL_MAX_RESPONSE_BYTES = sent - 1
    assert (await api(query, id=gid(post))).codes == ["QUERY_TOO_COMPLEX"]


async def test_errors_are_part_of_the_size(api: Api, settings: Any) -> None:
    settings.GRAPHQL_MAX_RESPONSE_BYTES = 20_000
    query = f"query($ids: [ID!]!) {{ {'a' * 1_000}: nodes(ids: $ids) {{ id }} }}"
    assert (await api(query, ids=["x"] * 100)).codes == ["QUERY_TOO_COMPLEX"]


async def test_ids_in_a_variable_count_one_by_one(api: Api, make: Make, settings: Any) -> None:
    settings.GRAPHQL_MAX_COST = 4
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    ids = [gid(await make.user()) for _ in range(3)]
    assert (await api(query, ids=ids[:2])).codes == []
    assert (await api(query, ids=ids)).codes == ["QUERY_TOO_COMPLEX"]


@pytest.mark.parametrize("size", [-1, 0, 10**9, None, "5", True])
async def test_a_size_that_is_no_page_is_left_to_the_field(api: Api, size: object) -> None:
    answer = await api("query($n: Int) { posts(first: $n) { nodes { id } } }", n=size)
    assert "INTERNAL" not in answer.codes
    assert "QUERY_TOO_COMPLEX" not in answer.codes


async def test_nested_pages_of_a_hundred_are_refused_by_default(api: Api) -> None:
    deep = "replies(first: 100) { nodes { " * 3 + "id" + " } }" * 3
    answer = await api(f"{{ posts(first: 100) {{ nodes {{ comments(first: 100) {{ nodes {{ {deep} }} }} }} }} }}")
    assert answer.codes == ["QUERY_TOO_COMPLEX"]
    assert answer.statements == 0
