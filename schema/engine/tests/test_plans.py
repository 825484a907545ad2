"""How long plans live, which requests share one, and that they keep nothing of a request."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Any, NewType, cast

import pytest
import strawberry
from strawberry.extensions import DisableValidation, ParserCache
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from schema.engine import BreadthFirstExecutor, batch_field
from schema.engine.tests.support import Info, Request, data, on_engine, run


class Key:
    """What a client sends as a Key, parsed."""

    def __init__(self, text: str) -> None:
        self.text = text


KeyScalar = NewType("KeyScalar", Key)
KEYS: list[weakref.ref[Any]] = []


def parse_key(value: str) -> Key:
    key = Key(value)
    KEYS.append(weakref.ref(key))
    return key


async def texts(things: Sequence[Any], info: Info, key: KeyScalar | None = None, text: str = "") -> list[Any]:
    await asyncio.sleep(0)
    return [ValueError("two") if thing.number == 2 else f"{thing.number}{text}" for thing in things]


@strawberry.type
class Thing:
    number: int
    text: str | None = batch_field(texts, description="A text, but for two.")

    @strawberry.field
    def again(self) -> "Thing":
        return self

    @strawberry.field
    def words(self, json: JSON) -> int:
        """One more than there were in the list."""
        words: list[str] = cast("Any", json)["list"]
        words.append("word")
        return len(words)

    @strawberry.field
    def must(self, key: KeyScalar | None = None) -> int:
        if self.number == 4:
            raise ValueError("four")
        return self.number

    @strawberry.field
    def each(self, info: Info, key: KeyScalar | None = None) -> int:
        return self.number


@strawberry.interface
class Node:
    number: int


@strawberry.type
class Leaf(Node):
    text: str | None = batch_field(texts, description="A text, but for two.")


@strawberry.type
class Query:
    @strawberry.field
    def things(self, info: Info, count: int = 2) -> list[Thing]:
        return [kept(info, Thing(number=number)) for number in range(count)]

    @strawberry.field
    def nodes(self, info: Info, count: int = 2) -> list[Node]:
        return [kept(info, Leaf(number=number)) for number in range(count)]


@strawberry.type
class Mutation:
    @strawberry.mutation
    def make(self, info: Info) -> Thing:
        made: Thing = kept(info, Thing(number=1))
        return made


OBJECTS: list[weakref.ref[Any]] = []


def kept(info: Info, thing: Any) -> Any:
    OBJECTS.append(weakref.ref(thing))
    return thing


def make_schema(*extensions: Any) -> strawberry.Schema:
    scalars: dict[object, Any] = {KeyScalar: strawberry.scalar(name="Key", serialize=str, parse_value=parse_key)}
    config = StrawberryConfig(scalar_map=scalars)
    return on_engine(Query, mutation=Mutation, types=[Leaf], extensions=[ParserCache, *extensions], config=config)


schema = make_schema()


@pytest.fixture(autouse=True)
def own_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BreadthFirstExecutor, "plans", type(BreadthFirstExecutor.plans)())
    OBJECTS.clear()
    KEYS.clear()


def plans() -> int:
    return len(BreadthFirstExecutor.plans)


async def test_requests_with_other_variables_share_a_plan() -> None:
    operation = (
        "query ($count: Int, $text: String!, $key: Key) { things(count: $count) { text(text: $text, key: $key) } }"
    )
    assert await data(schema, operation, text="a") == {"things": [{"text": "0a"}, {"text": "1a"}]}
    assert await data(schema, operation, text="b", count=1, key="k") == {"things": [{"text": "0b"}]}
    assert (await run(schema, operation, text="", count=3)).data == {
        "things": [{"text": "0"}, {"text": "1"}, {"text": None}]
    }
    assert plans() == 1


async def test_each_way_that_the_directives_steer_has_a_plan_of_its_own() -> None:
    operation = """
        query ($yes: Boolean!, $no: Boolean = false, $text: String!) {
          things(count: 1) {
            number @include(if: $yes) text(text: $text) @skip(if: $no) ... @include(if: $yes) { each }
          }
        }
    """
    for text in ("a", "b"):
        everything = {"number": 0, "text": f"0{text}", "each": 0}
        for yes, no in [(True, None), (True, False), (True, True), (False, False)]:
            kept = {"number", "each"} if yes else set()
            expected = {key: value for key, value in everything.items() if key in kept or (key == "text" and not no)}
            variables: dict[str, Any] = {"yes": yes, "text": text} | ({} if no is None else {"no": no})
            assert await data(schema, operation, **variables) == {"things": [expected]}
    assert plans() == 3


async def test_each_operation_of_a_document_and_each_schema_has_a_plan_of_its_own() -> None:
    operation = "query A { things(count: 1) { number } } query B { things(count: 1) { b: number } }"
    for schema in (make_schema(), make_schema()):
        for name, key in (("A", "number"), ("B", "b"), ("A", "number")):
            result = await schema.execute(operation, operation_name=name, context_value=Request())
            assert result.data == {"things": [{key: 0}]}
    assert plans() == 4


@pytest.mark.no_cover  # the measuring would take as long again
async def test_ten_thousand_documents_leave_a_bounded_number_of_plans_and_the_one_in_use() -> None:
    schema = make_schema(DisableValidation)
    # A large one: to make room for its plan, several others would have to go.
    used = f"{{ {' '.join(f'f{number}: __typename' for number in range(50))} }}"
    counts = []
    for number in range(10_000):
        result = await schema.execute(f"{{ a{number}: __typename __typename }}")
        assert result.data == {f"a{number}": "Query", "__typename": "Query"}
        if number % 100 == 0:
            counts.append(plans())
            await data(schema, used)
            assert plans() == counts[-1] + (number == 0)
    assert counts[:3] == [1, 102, 202]
    assert counts[-1] == counts[-2] == max(counts) < 9_000


@pytest.mark.parametrize("operation", ["{{ a{0}: {1} }}", "{{ a{0}: {1} __schema {{ __typename }} }}"])
async def test_the_larger_the_documents_the_fewer_plans_are_kept(operation: str) -> None:
    schema = make_schema(DisableValidation)
    for number in range(200):
        document = operation.format(number, "__typename " * 200)
        assert (await schema.execute(document)).errors is None
    assert plans() < 200


async def test_a_plan_keeps_nothing_of_a_request() -> None:
    operations = [
        "query ($key: Key) { things(count: 4) { text(key: $key) each(key: $key) again { number text } } }",
        "query ($key: Key) { nodes(count: 4) { __typename number ... on Leaf { text(key: $key) } } }",
        "mutation ($key: Key) { make { text(key: $key) } }",
        "query ($key: Key) { __schema { queryType { name } } things { text(key: $key) } }",
        "query ($key: Key) { things(count: 5) { must(key: $key) } }",
    ]

    async def results() -> list[weakref.ref[Any]]:
        request, root = Request(), Thing(number=0)
        for operation in operations:
            variables = {"key": "text"}
            await schema.execute(operation, variables, context_value=request, root_value=root)
        return [weakref.ref(request), weakref.ref(root)]

    held = [*await results(), *OBJECTS, *KEYS]
    assert len(held) == 2 + (4 + 4 + 1 + 2 + 5) + 5
    gc.collect()
    assert [reference() for reference in held if reference() is not None] == []
    assert plans() == len(operations)


async def test_a_resolver_that_changes_a_literal_changes_it_for_nobody_else() -> None:
    operation = "{ a: things(count: 2) { words(json: {list: []}) } }"
    for _ in range(2):
        assert await data(schema, operation) == {"a": [{"words": 1}, {"words": 1}]}
