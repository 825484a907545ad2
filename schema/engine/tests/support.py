"""What the engine's tests share: requests that remember what happened in them, and ways to run an operation."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import strawberry
from strawberry.types import ExecutionResult

from schema.engine import BreadthFirstExecutor, Levels, batch_field


@dataclass
class Request:
    """The context of one operation. `calls` are those of batch resolvers: their name, and the numbers of the parents.

    With `levels` None, batch fields work on the engine only.
    """

    name: str = ""
    levels: Levels | None = field(default_factory=Levels)
    calls: list[tuple[str, list[int]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    events: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    def called(self, name: str, parents: Iterable[Any]) -> None:
        self.calls.append((name, [parent.number for parent in parents]))


Info = strawberry.Info[Request, Any]


def on_engine(query: type, **options: Any) -> strawberry.Schema:
    return strawberry.Schema(query, execution_context_class=BreadthFirstExecutor, **options)


def both(query: type, **options: Any) -> tuple[strawberry.Schema, strawberry.Schema]:
    """The same schema on the engine and on graphql-core's own executor."""
    return on_engine(query, **options), strawberry.Schema(query, **options)


def with_rows(annotation: Any, value: Any = None) -> type:
    """A query of `rows(count: 3) { number value }`. The rows may be null, and their `value` is of the annotated type.

    It is the field `value`, or an attribute that is the row's number.
    """
    members = {"__annotations__": {"number": int, "value": annotation}, **({"value": value} if value else {})}
    row: Any = strawberry.type(type("Row", (), members))

    def rows(count: int = 3) -> Any:
        return [row(number=number, **({} if value else {"value": number})) for number in range(count)]

    field = strawberry.field(resolver=rows, graphql_type=list[row | None], description="Some rows.")
    query: type = strawberry.type(type("Query", (), {"rows": field}))
    return query


Give = Callable[[int], Any]


def coroutine_of(give: Give) -> Any:
    """A field whose batch resolver, a coroutine function, gives what `give` makes of the number of each parent."""

    async def values(parents: Sequence[Any], info: Info) -> list[Any]:
        await asyncio.sleep(0)
        return [given(give, parent.number) for parent in parents]

    return batch_field(values, description="A value for each parent.")


def function_of(give: Give) -> Any:
    """The same with a plain function."""

    def values(parents: Sequence[Any], info: Info) -> list[Any]:
        return [given(give, parent.number) for parent in parents]

    return batch_field(values, description="A value for each parent.")


def each_of(give: Give) -> Any:
    """The same with a resolver that is called for each parent."""

    def value(root: Any) -> Any:
        return give(root.number)

    return strawberry.field(resolver=value, description="A value.")


def each_awaited_of(give: Give) -> Any:
    """The same with a coroutine function that is called for each parent."""

    async def value(root: Any) -> Any:
        await asyncio.sleep(0)
        return give(root.number)

    return strawberry.field(resolver=value, description="A value.")


FIELDS = [coroutine_of, function_of, each_of, each_awaited_of]


def given(give: Give, number: int) -> Any:
    """What it gives; an exception in the place of the value when it raises that."""
    try:
        return give(number)
    except ValueError as error:
        return error


async def run(
    schema: strawberry.Schema, operation: str, request: Request | None = None, **variables: Any
) -> ExecutionResult:
    """The result, within ten seconds."""
    async with asyncio.timeout(10):
        result = await schema.execute(operation, variables, context_value=request or Request())
    assert isinstance(result, ExecutionResult)
    return result


async def data(schema: strawberry.Schema, operation: str, request: Request | None = None, **variables: Any) -> Any:
    """The data of an operation in which nothing fails."""
    result = await run(schema, operation, request, **variables)
    assert result.errors is None
    return result.data


async def agreed(
    schemas: tuple[strawberry.Schema, strawberry.Schema], operation: str, **variables: Any
) -> ExecutionResult:
    """The engine's result, which has to be graphql-core's too."""
    result, expected = [await run(schema, operation, **variables) for schema in schemas]
    assert result.data == expected.data
    assert formatted(result) == formatted(expected)
    return result


def formatted(result: ExecutionResult) -> list[Any]:
    return sorted((error.formatted for error in result.errors or []), key=str)


def failures(result: ExecutionResult) -> list[tuple[str, list[str | int] | None]]:
    """Message and path of each error."""
    return [(error.message, error.path) for error in result.errors or []]
