"""What the engine does not run itself is answered as graphql-core answers it, and subscriptions event by event."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, cast

import pytest
import strawberry
from graphql import parse
from graphql.execution.executor import AsyncWorkFinishedInfo, ExecutionHooks
from strawberry.extensions import FieldExtension, SchemaExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionResult

from schema.engine import BreadthFirstExecutor, batch_field
from schema.engine.tests.support import (
    Info,
    Request,
    agreed,
    both,
    data,
    failures,
    formatted,
    on_engine,
    run,
    with_rows,
)


async def labels(things: Sequence[Any], info: Info) -> list[Any]:
    info.context.called("label", things)
    return [ValueError("odd") if thing.number % 2 else f"{thing.number}" for thing in things]


class Twice(FieldExtension):
    def resolve(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        info.context.notes.append(f"twice {source.number}")
        value = next_(source, info, **kwargs)
        return twice(value) if isawaitable(value) else value * 2

    async def resolve_async(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        info.context.notes.append(f"twice {source.number}")
        return await next_(source, info, **kwargs) * 2


async def twice(value: Awaitable[Any]) -> Any:
    return await value * 2


class Positive(BasePermission):
    message = "not positive"

    def has_permission(self, source: Any, info: Any, **kwargs: Any) -> bool:
        return bool(source.number > 0)


def number_of(root: Any) -> int:
    number: int = root.number
    return number


async def number_later(root: Any) -> int:
    await asyncio.sleep(0)
    return number_of(root)


def path_of(info: Info) -> str:
    """Where graphql-core thinks it is. The engine is on a level: there is no index in its paths."""
    return "/".join(map(str, info.path.as_list()))


@strawberry.type
class Thing:
    number: int
    path: str = strawberry.field(resolver=path_of)
    label: str | None = batch_field(labels, description="The number, when it is even.")

    doubled: int = strawberry.field(resolver=number_of, extensions=[Twice()])
    doubled_later: int = strawberry.field(resolver=number_later, extensions=[Twice()])
    positive: int | None = strawberry.field(resolver=number_of, permission_classes=[Positive])


@strawberry.type
class Other:
    number: int


@strawberry.type
class Query:
    @strawberry.field
    def things(self) -> list[Thing]:
        return [Thing(number=number) for number in range(3)]

    @strawberry.field
    def numbers(self) -> list[int]:
        return [1, 2, 3]

    @strawberry.field
    async def later(self) -> list[Thing] | None:
        await asyncio.sleep(0)
        return [Thing(number=2)]


schemas = both(Query)
FIELDS = "number label doubled doubledLater positive"


@pytest.mark.parametrize(
    "operation",
    [
        '{ things { path label } __type(name: "Thing") { name fields { name isDeprecated } } }',
        "{ __schema { queryType { name } directives { name } } later { path label __typename } }",
        "{ ...F things { path label } } fragment F on Query { __schema { types { name kind } } __typename }",
    ],
)
async def test_introspection_beside_fields_is_answered_whole(operation: str) -> None:
    result = await agreed(schemas, operation)
    assert result.data is not None
    assert "/0/path" in str(result.data)
    assert [message for message, _ in failures(result)] == ["odd"] * operation.count("things { ")


@pytest.mark.parametrize(
    ("fields", "expected", "path"),
    [
        ("__typename later { number @skip(if: $null) }", {"__typename": "Query", "later": None}, ["later", 0]),
        ("__typename later @skip(if: $null) { number }", None, None),
    ],
)
async def test_a_directive_that_is_given_null_fails_what_it_stands_at(fields: str, expected: Any, path: Any) -> None:
    result = await agreed(schemas, f"query ($null: Boolean = true) {{ {fields} }}", null=None)
    assert result.data == expected
    [(message, place)] = failures(result)
    assert "Argument 'if' has invalid value" in message
    assert place == path


async def test_field_extensions_and_permission_classes_work_beside_batch_fields() -> None:
    request = Request()
    result = await run(schemas[0], f"{{ things {{ {FIELDS} }} }}", request)
    assert result.data == (await run(schemas[1], f"{{ things {{ {FIELDS} }} }}")).data
    assert result.data is not None
    assert [(thing["doubled"], thing["doubledLater"]) for thing in result.data["things"]] == [(0, 0), (2, 2), (4, 4)]
    assert sorted(request.notes) == sorted(["twice 0", "twice 1", "twice 2"] * 2)
    assert failures(result) == [("not positive", ["things", 0, "positive"]), ("odd", ["things", 1, "label"])]
    assert request.calls == [("label", [0, 1, 2])]


async def test_a_batch_field_with_an_extension_is_resolved_object_by_object() -> None:
    field = batch_field(labels, description="The number, when it is even.")
    field.extensions.append(Twice())
    query = with_rows(str | None, field)
    request = Request()
    result = await run(on_engine(query), "{ rows { value } }", request)
    assert result.data == {"rows": [{"value": "00"}, {"value": None}, {"value": "22"}]}
    assert failures(result) == [("odd", ["rows", 1, "value"])]
    assert request.notes == ["twice 0", "twice 1", "twice 2"]


class Seen(SchemaExtension):
    """Middleware: sees each field of each object."""

    def resolve(self, _next: Callable[..., Any], root: Any, info: Any, *args: str, **kwargs: Any) -> Any:
        info.context.notes.append("/".join(map(str, info.path.as_list())))
        return _next(root, info, *args, **kwargs)


async def test_middleware_sees_each_field_of_each_object() -> None:
    request = Request()
    engine, stock = both(Query, extensions=[Seen])
    result = await agreed((engine, stock), "{ things { label } }")
    assert result == await run(engine, "{ things { label } }", request)
    assert request.notes == ["things", "things/0/label", "things/1/label", "things/2/label"]


async def test_hooks_are_told_when_all_work_has_ended() -> None:
    finished: asyncio.Queue[AsyncWorkFinishedInfo] = asyncio.Queue()
    executor = BreadthFirstExecutor.build(
        on_engine(Query)._schema,
        parse("{ things { label } }"),
        context_value=Request(),
        hooks=ExecutionHooks(finished.put_nowait),
    )
    assert isinstance(executor, BreadthFirstExecutor)
    await executor.execute_operation()
    assert (await asyncio.wait_for(finished.get(), 10)).executor is executor


async def test_an_extension_that_is_no_middleware_leaves_the_operation_to_the_engine() -> None:
    class Around(SchemaExtension):
        def on_execute(self) -> Any:
            self.execution_context.context.notes.append("before")
            yield
            result: Any = self.execution_context.result
            self.execution_context.context.notes.append(str(result.data))

    request = Request(levels=None)
    found = await data(on_engine(Query, extensions=[Around]), "{ later { label } }", request)
    assert found == {"later": [{"label": "2"}]}
    assert request.notes == ["before", str(found)]
    assert request.calls == [("label", [2])]


@pytest.mark.parametrize("operation", ["{ things { number doubled positive } }", "{ __typename }"])
def test_what_is_executed_synchronously_is_answered_at_once(operation: str) -> None:
    result, expected = [schema.execute_sync(operation, context_value=Request()) for schema in schemas]
    assert result.data is not None
    assert result.data == expected.data
    assert formatted(result) == formatted(expected)


async def test_a_type_that_is_told_by_a_coroutine_is_told_by_it() -> None:
    @strawberry.interface
    class Node:
        number: int

    @strawberry.type
    class Even(Node):
        @classmethod
        async def is_type_of(cls, value: Any, info: Any) -> bool:
            await asyncio.sleep(0)
            return bool(value.number % 2 == 0)

    @strawberry.type
    class Odd(Node):
        @classmethod
        async def is_type_of(cls, value: Any, info: Any) -> bool:
            await asyncio.sleep(0)
            return bool(value.number % 2 == 1)

    @strawberry.type
    class Nodes:
        @strawberry.field
        def nodes(self) -> list[Node]:
            return cast("list[Node]", [Other(number=1), Other(number=2)])

    result = await agreed(both(Nodes, types=[Even, Odd]), "{ nodes { __typename number } }")
    assert result.data == {"nodes": [{"__typename": "Odd", "number": 1}, {"__typename": "Even", "number": 2}]}


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def things(self, info: Info, counts: list[int]) -> AsyncGenerator[list[Thing | None], None]:
        for count in counts:
            yield [Thing(number=number) for number in range(count)]


async def events(schema: strawberry.Schema, operation: str, request: Request) -> list[Any]:
    stream = await schema.subscribe(operation, context_value=request)
    async with asyncio.timeout(5):
        return [event async for event in cast("AsyncIterator[ExecutionResult]", stream)]


async def test_each_event_of_a_subscription_is_one_call_of_a_batch_field() -> None:
    operation = "subscription { things(counts: [1, 3, 0, 2]) { number label doubledLater } }"
    request = Request(levels=None)
    found = await events(on_engine(Query, subscription=Subscription), operation, request)
    assert request.calls == [("label", [0]), ("label", [0, 1, 2]), ("label", [0, 1])]
    things = [
        {"number": number, "label": None if number % 2 else f"{number}", "doubledLater": number * 2}
        for number in range(3)
    ]
    assert [event.data for event in found] == [{"things": things[:count]} for count in (1, 3, 0, 2)]
    odd = ("odd", ["things", 1, "label"])
    assert [failures(event) for event in found] == [[], [odd], [], [odd]]


@pytest.mark.parametrize(
    "operation",
    [
        "{ later { path ... @defer { label } } }",
        "{ later { label } ... @defer { things { path } } }",
        "{ numbers @stream(initialCount: 1) later { path label } }",
    ],
)
async def test_deferred_and_streamed_parts_come_as_from_graphql_core(operation: str) -> None:
    config = StrawberryConfig(enable_experimental_incremental_execution=True)
    given = []
    for schema in both(Query, config=config):
        result: Any = await schema.execute(operation, context_value=Request())
        later = [part.formatted async for part in result.subsequent_results]
        given.append((result.initial_result.formatted, later))
    assert given[0] == given[1]
    assert given[0][0]["hasNext"] is True
    assert "/0/path" in str(given[0])
