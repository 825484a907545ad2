"""Values that are not what they say they are, and resolvers that are cancelled by nobody."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import strawberry
from graphql import Source

from schema.engine import batch_field
from schema.engine.tests.support import Info, Request, both, failures, on_engine, run

PLACES = 200


class Lazy:
    """Says that it is what `make` gives, as Django's lazy objects do."""

    def __init__(self, make: Any) -> None:
        self._make = make

    @property  # type: ignore[misc]  # isinstance() believes it
    def __class__(self) -> Any:
        return type(self._make())

    def __str__(self) -> str:
        return str(self._make())


def fail() -> Any:
    raise ValueError("lazy")


async def stops(parents: Sequence[Any], info: Info) -> list[Any]:
    return [StopIteration(), *["x"] * (len(parents) - 1)]


async def is_cancelled(parents: Sequence[Any], info: Info) -> list[Any]:
    raise asyncio.CancelledError


@strawberry.type
class Thing:
    stops: str | None = batch_field(stops, description="Fails for the first.")
    is_cancelled: str | None = batch_field(is_cancelled, description="Awaited something that was cancelled.")

    @strawberry.field
    def bad(self) -> list[int] | None:
        return Lazy(fail)  # type: ignore[return-value]

    @strawberry.field
    def text(self) -> str:
        return Lazy(lambda: "x")  # type: ignore[return-value]

    @strawberry.field
    def fails(self) -> str | None:
        raise ValueError("no")


@strawberry.type
class Query:
    @strawberry.field
    def things(self, n: int = 2) -> list[Thing]:
        return [Thing() for _ in range(n)]


ENGINE, STOCK = both(Query)


async def test_a_lazy_list_that_fails_fails_its_field_alone() -> None:
    result = await run(ENGINE, "{ things(n: 1) { bad __typename } }")
    assert result.data == {"things": [{"bad": None, "__typename": "Thing"}]}
    assert failures(result) == [("lazy", ["things", 0, "bad"])]


async def test_a_lazy_text_does_not_stop_the_measuring() -> None:
    result = await run(ENGINE, "{ things(n: 1) { text } }")
    assert result.errors is None
    assert result.data is not None
    assert [str(thing["text"]) for thing in result.data["things"]] == ["x"]


async def test_graphql_core_gets_a_stop_iteration_as_an_error() -> None:
    result = await run(STOCK, "{ things { stops } }")
    assert result.data == {"things": [{"stops": None}, {"stops": "x"}]}


@pytest.mark.parametrize("schema", [ENGINE, STOCK])
async def test_a_cancelled_resolver_keeps_nobody_waiting(schema: strawberry.Schema) -> None:
    with pytest.raises(asyncio.CancelledError):
        await run(schema, "{ things { isCancelled } }", Request())


async def test_the_place_of_a_field_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    find = Source.get_location

    def counted(source: Source, position: int) -> Any:
        looked.append(position)
        return find(source, position)

    monkeypatch.setattr(Source, "get_location", counted)
    result = await run(on_engine(Query), f"{{ things(n: {PLACES}) {{ fails }} }}")
    errors = result.errors or []
    assert [error.path for error in errors] == [["things", place, "fails"] for place in range(PLACES)]
    assert {str(error.formatted["locations"]) for error in errors} == {str([{"line": 1, "column": 20}])}
    assert len(looked) == 1
