"""The engine against graphql-core's own executor: the same operations, the same data, the same errors.

Each field's behaviour is drawn: a value, null, an error, a value of the wrong type. `ENGINE_CASES=40000` runs as many
as a night allows.
"""

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Union

import pytest
import strawberry
from graphql import parse, validate
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strawberry.extensions import DisableValidation, ParserCache
from strawberry.types import ExecutionResult

from schema.engine import BreadthFirstExecutor, Levels, Permission, batch_field

# Each operation runs with so many seeds, which decide what its fields do, and what its variables are.
SEEDS = 8
OPERATIONS = int(os.environ.get("ENGINE_CASES", "3200")) // SEEDS


@dataclass
class Request:
    """The context: what each field of each object does, drawn once for both executors."""

    seed: int
    levels: Levels = field(default_factory=Levels)

    def fate(self, number: int, name: str) -> int:
        return (self.seed * 31 + number * 17 + sum(map(ord, name)) * 7) % 61


Info = strawberry.Info[Request, None]


@strawberry.enum
class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def value(info: Info, number: int, name: str, good: Any, bad: Any = None) -> Any:
    """What the field `name` of the object `number` gives."""
    fate = info.context.fate(number, name)
    if fate == 1:
        raise ValueError(f"{name} of {number} failed")
    if fate in {2, 3}:
        return None
    return bad if fate == 4 else good


def values(things: Sequence[Any], info: Info, name: str, good: Any, bad: Any = None) -> list[Any]:
    def one(thing: Any) -> Any:
        try:
            return value(info, thing.number, name, good(thing), bad)
        except ValueError as error:
            return error

    if info.context.fate(0, name) == 5:
        raise ValueError(f"{name} failed for all")
    return [one(thing) for thing in things]


def texts(things: Sequence[Any], info: Info, times: int = 1) -> list[Any]:
    return values(things, info, "text", lambda thing: f"t{thing.number}" * times, bad=["no", "text"])


async def counts(things: Sequence[Any], info: Info) -> list[Any]:
    await asyncio.sleep(0)
    return values(things, info, "count", lambda thing: thing.number, bad="many")


async def nexts(things: Sequence[Any], info: Info, step: int = 1) -> list[Any]:
    return values(things, info, "next", lambda thing: thing_of(thing.number + step))


async def load_many(things: Sequence[Any], info: Info, first: int = 2) -> list[Any]:
    return values(things, info, "many", lambda thing: [thing_of(thing.number * 2 + i) for i in range(first)], bad=7)


def grids(things: Sequence[Any], info: Info) -> list[Any]:
    return values(things, info, "grid", lambda thing: [[thing.number, None], None, []], bad=[[1], 2])


class Even(Permission):
    async def has_permission_many(self, parents: Sequence[Any], info: Any) -> list[bool]:
        return [parent.number % 2 == 0 for parent in parents]


@strawberry.interface
class Thing:
    number: int
    text: str | None = batch_field(texts, description="Perhaps a text.")
    must: str = batch_field(texts, description="A text.")
    count: int | None = batch_field(counts, description="Perhaps a number.")
    counted: int = batch_field(counts, description="A number.")
    guarded: int | None = batch_field(counts, description="A number of even things.", permissions=[Even()])
    next: Union["Thing", None] = batch_field(nexts, description="Another thing.")
    then: "Thing" = batch_field(nexts, description="Another thing, surely.")
    many: list["Thing"] = batch_field(load_many, description="Things.")
    perhaps: list[Union["Thing", None]] | None = batch_field(load_many, description="Perhaps things.")
    either: list[Annotated["Either", strawberry.lazy("schema.engine.tests.test_differential")]] | None = batch_field(
        load_many, description="Things, as a union."
    )
    grid: list[list[int | None] | None] | None = batch_field(grids, description="Lists of lists.")
    strict: list[list[int]] | None = batch_field(grids, description="Lists of lists of numbers.")

    @strawberry.field
    def colour(self, info: Info) -> Colour | None:
        found: Colour | None = value(info, self.number, "colour", list(Colour)[self.number % 2], bad="green")
        return found

    @strawberry.field
    async def slow(self, info: Info, add: int = 0) -> int:
        await asyncio.sleep(0)
        found: int = value(info, self.number, "slow", self.number + add, bad="fast")
        return found

    @strawberry.field
    async def each(self, info: Info) -> list["Thing"] | None:
        found: list[Thing] | None = value(info, self.number, "each", [thing_of(self.number + 1)], bad=1)
        return found


@strawberry.type
class Left(Thing):
    left: str = "left"


@strawberry.type
class Right(Thing):
    right: int = 3


Either = Annotated[Left | Right, strawberry.union("Either")]


def thing_of(number: int) -> Thing:
    number %= 50
    return Left(number=number) if number % 3 else Right(number=number)


async def load_things(roots: Sequence[Any], info: Info, first: int = 3) -> list[list[Thing]]:
    return [[thing_of(number) for number in range(1, first + 1)] for _ in roots]


@strawberry.type
class Query:
    things: list[Thing] | None = batch_field(load_things, description="Where it starts.")
    surely: list[Thing] = batch_field(load_things, description="The same, never null.")

    @strawberry.field
    def thing(self, number: int = 1) -> Thing | None:
        return thing_of(number)


# Parsed and validated once, for both.
UNCHECKED = [DisableValidation, ParserCache]
stock = strawberry.Schema(Query, types=[Left, Right], extensions=UNCHECKED)
breadth = strawberry.Schema(
    Query, types=[Left, Right], extensions=UNCHECKED, execution_context_class=BreadthFirstExecutor
)

LEAVES = ["number", "text", "must", "count", "counted", "guarded", "colour", "slow", "grid", "strict", "__typename"]
ARGUMENTS = {
    "text": "(times: $n)",
    "slow": "(add: 2)",
    "many": "(first: $n)",
    "next": "(step: 3)",
    "must": "(times: 2)",
}
OBJECTS = ["next", "then", "many", "perhaps", "each"]
DIRECTIVES = ["", "", "", "@include(if: $yes)", "@skip(if: $yes)", "@include(if: true)", "@skip(if: true)"]
ALIASES = ["", "", "", "a: ", "b: "]


@st.composite
def selections(draw: Any, depth: int) -> str:
    """The inside of a selection set on Thing. Keys that would mean two fields are made distinct by their field."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        directive = draw(st.sampled_from(DIRECTIVES))
        kind = draw(st.integers(0, 9)) if depth else 0
        if kind <= 4:
            name = draw(st.sampled_from(LEAVES))
            parts.append(f"{_key(draw, name)}{name}{ARGUMENTS.get(name, '')} {directive}")
        elif kind <= 7:
            name = draw(st.sampled_from(OBJECTS))
            inner = draw(selections(depth - 1))
            parts.append(f"{_key(draw, name)}{name}{ARGUMENTS.get(name, '')} {directive} {{ {inner} }}")
        elif kind == 8:
            inner = draw(selections(depth - 1))
            parts.append(f"either {directive} {{ ... on Left {{ {inner} left }} ... on Thing {{ number {inner} }} }}")
        else:
            on = draw(st.sampled_from(["", "on Left", "on Right", "on Thing"]))
            parts.append(f"... {on} {directive} {{ {draw(selections(depth - 1))} }} ...Spread")
    return " ".join(parts)


def _key(draw: Any, name: str) -> str:
    alias = draw(st.sampled_from(ALIASES))
    return f"{name}_{alias}" if alias and not name.startswith("__") else ""


@st.composite
def operations(draw: Any) -> str:
    roots = [
        f"things(first: $n) {{ {draw(selections(3))} }}",
        f"surely {{ {draw(selections(2))} }}",
        f"thing(number: 4) {{ {draw(selections(3))} }}",
    ]
    chosen = draw(st.lists(st.sampled_from(roots), min_size=1, max_size=3, unique=True))
    spread = f"fragment Spread on Thing {{ number {draw(st.sampled_from(LEAVES))} ... on Right {{ right }} }}"
    query = "query ($yes: Boolean!, $n: Int!) { __typename @include(if: $yes) n: thing(number: $n) { number } ...Root"
    return f"{query} {' '.join(chosen)} }} {spread} {ROOT}"


ROOT = "fragment Root on Query { more: thing(number: 9) { ...Spread } }"


def placed(result: ExecutionResult) -> Counter[tuple[Any, ...]]:
    """The errors, but for those under a position that is null: of these either executor may report another."""
    return Counter(
        (error.message, tuple(error.path or ()), tuple(error.locations or ()))
        for error in result.errors or []
        if not nulled(result.data, error.path or [])
    )


def nulled(data: Any, path: Sequence[Any]) -> bool:
    """Whether something above `path` is null."""
    for step in path:
        if data is None:
            return True
        data = data[step]
    return False


def null_places(result: ExecutionResult) -> set[tuple[Any, ...]]:
    """The positions above errors that are null because of them."""
    places = set()
    for error in result.errors or []:
        data: Any = result.data
        place: list[Any] = []
        for step in error.path or []:
            if data is None:
                places.add(tuple(place))
                break
            data = data[step]
            place.append(step)
    return places


@pytest.fixture
def everything_collected() -> Iterator[None]:
    """graphql-core leaves unawaited what lies under a position that is null by then: it is noticed in here."""
    yield
    gc.collect()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine 'Executor.complete_:RuntimeWarning"
)
@pytest.mark.usefixtures("everything_collected")
@pytest.mark.no_cover  # the measuring would take as long again
@settings(
    max_examples=OPERATIONS, deadline=None, derandomize=OPERATIONS <= 500, suppress_health_check=list(HealthCheck)
)
@given(operations(), st.lists(st.integers(0, 10_000), min_size=SEEDS, max_size=SEEDS, unique=True))
def test_the_engine_gives_what_graphql_core_gives(operation: str, seeds: list[int]) -> None:
    assume(validate(stock._schema, parse(operation)) == [])

    async def results(seed: int) -> list[ExecutionResult]:
        variables = {"yes": seed % 2 == 0, "n": seed % 4}
        return [await schema.execute(operation, variables, context_value=Request(seed)) for schema in (stock, breadth)]

    async def all_results() -> list[list[ExecutionResult]]:
        return [await results(seed) for seed in seeds]

    for expected, given_by_engine in asyncio.run(all_results()):
        assert given_by_engine.data == expected.data
        assert placed(given_by_engine) == placed(expected)
        assert null_places(given_by_engine) == null_places(expected)
