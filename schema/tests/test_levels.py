"""How the parents of a level come together under an executor that resolves object by object."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Annotated, Any, Union

import pytest
import strawberry
from graphql.pyutils import Path
from strawberry.types import ExecutionResult

from schema.engine import Levels, batch_field


@dataclass
class Request:
    """The context of one operation, and the calls of batch resolvers that it caused: parents and argument."""

    levels: Levels = field(default_factory=Levels)
    calls: list[tuple[list[int], str]] = field(default_factory=list)


Info = strawberry.Info[Request, None]


async def echo(owners: Sequence[Any], info: Info, text: str = "") -> list[Any]:
    info.context.calls.append(([owner.number for owner in owners], text))
    await asyncio.sleep(0)
    return [f"{text}{owner.number}" for owner in owners]


async def odd(owners: Sequence[Any], info: Info) -> list[Any]:
    info.context.calls.append(([owner.number for owner in owners], ""))
    return [owner.number if owner.number % 2 else ValueError(f"{owner.number} is even") for owner in owners]


async def too_few(owners: Sequence[Any], info: Info) -> list[Any]:
    return [1 for _ in owners[1:]]


async def broken(owners: Sequence[Any], info: Info) -> list[Any]:
    raise ValueError("nothing works")


async def shared(owners: Sequence[Any], info: Info) -> list[Any]:
    return [Owner(number=0) for _ in owners]


def doubled(owners: Sequence[Any], info: Info) -> list[int]:
    return [owner.number * 2 for owner in owners]


async def any_iterable(owners: Sequence[Any], info: Info) -> Any:
    return (owner.number for owner in owners)


def any_iterable_at_once(owners: Sequence[Any], info: Info) -> Any:
    return (owner.number for owner in owners)


def odd_at_once(owners: Sequence[Any], info: Info) -> list[Any]:
    return [owner.number if owner.number % 2 else ValueError(f"{owner.number} is even") for owner in owners]


def too_many_at_once(owners: Sequence[Any], info: Info) -> list[int]:
    return [1, 2]


@strawberry.type
class Owner:
    number: int
    echo: str = batch_field(echo, description="The text and the number.")
    odd: int | None = batch_field(odd, description="The number when it is odd.")
    too_few: int | None = batch_field(too_few, description="One value too few.")
    broken: int | None = batch_field(broken, description="Nothing.")
    shared: "Owner" = batch_field(shared, description="Another owner.")
    doubled: int = batch_field(doubled, description="Without a coroutine.")
    any_iterable: int = batch_field(any_iterable, description="The number.")
    any_iterable_at_once: int = batch_field(any_iterable_at_once, description="The number.")
    odd_at_once: int | None = batch_field(odd_at_once, description="Without a coroutine.")
    too_many_at_once: int | None = batch_field(too_many_at_once, description="Without a coroutine.")


async def owners(things: Sequence[Any], info: Info) -> list[Owner]:
    info.context.calls.append(([thing.number for thing in things], "owner"))
    return [Owner(number=thing.number) for thing in things]


@strawberry.type
class Red:
    number: int
    owner: Owner = batch_field(owners, description="Its owner.")


@strawberry.type
class Blue:
    number: int
    owner: Owner = batch_field(owners, description="Its owner.")


Thing = Annotated[Union[Red, Blue], strawberry.union("Thing")]  # noqa: UP007  (Strawberry wants it like this)


@strawberry.type
class Query:
    @strawberry.field
    def boxes(self) -> list[list[Red]]:
        return [[Red(number=1), Red(number=2)], [], [Red(number=3)]]

    @strawberry.field
    def things(self) -> list[Thing]:
        return [Red(number=1), Blue(number=2), Red(number=3), Blue(number=4)]


schema = strawberry.Schema(Query)


async def run(query: str, request: Request | None = None) -> ExecutionResult:
    result = await schema.execute(query, context_value=request or Request())
    assert isinstance(result, ExecutionResult)
    return result


async def test_a_level_is_resolved_with_one_call_in_the_order_of_its_parents() -> None:
    request = Request()
    result = await run("{ boxes { owner { echo } } }", request)
    assert result.errors is None
    assert result.data == {
        "boxes": [[{"owner": {"echo": "1"}}, {"owner": {"echo": "2"}}], [], [{"owner": {"echo": "3"}}]]
    }
    assert request.calls == [([1, 2, 3], "owner"), ([1, 2, 3], "")]


async def test_a_wrong_number_of_values_is_an_error_of_each_parent() -> None:
    result = await run("{ boxes { owner { tooFew number } } }")
    assert result.errors is not None
    assert [error.message for error in result.errors] == ["too_few gave 2 values for 3 parents"] * 3
    assert result.data is not None
    assert result.data["boxes"][2] == [{"owner": {"tooFew": None, "number": 3}}]


async def test_an_exception_as_a_value_fails_its_own_parent_only() -> None:
    request = Request()
    result = await run("{ boxes { owner { odd } } }", request)
    assert result.errors is not None
    assert [(error.message, error.path) for error in result.errors] == [("2 is even", ["boxes", 0, 1, "owner", "odd"])]
    assert result.data == {"boxes": [[{"owner": {"odd": 1}}, {"owner": {"odd": None}}], [], [{"owner": {"odd": 3}}]]}


async def test_a_raised_exception_fails_every_parent() -> None:
    result = await run("{ boxes { owner { broken doubled } } }")
    assert result.errors is not None
    assert [error.path for error in result.errors] == [
        ["boxes", 0, 0, "owner", "broken"],
        ["boxes", 0, 1, "owner", "broken"],
        ["boxes", 2, 0, "owner", "broken"],
    ]
    assert result.data is not None
    assert result.data["boxes"][2] == [{"owner": {"broken": None, "doubled": 6}}]


async def test_one_name_with_other_arguments_below_another_type_is_another_level() -> None:
    request = Request()
    result = await run(
        """{ things {
          ... on Red { owner { echo(text: "red") } }
          ... on Blue { owner { echo(text: "blue") } }
        } }""",
        request,
    )
    assert result.errors is None
    assert result.data is not None
    assert [thing["owner"]["echo"] for thing in result.data["things"]] == ["red1", "blue2", "red3", "blue4"]
    assert sorted(request.calls) == [
        ([1, 3], "owner"),
        ([1, 3], "red"),
        ([2, 4], "blue"),
        ([2, 4], "owner"),
    ]


async def test_aliases_of_one_field_are_levels_of_their_own() -> None:
    request = Request()
    result = await run('{ boxes { a: owner { x: echo(text: "x") y: echo(text: "y") } } }', request)
    assert result.errors is None
    assert result.data is not None
    assert result.data["boxes"][2] == [{"a": {"x": "x3", "y": "y3"}}]
    assert sorted(request.calls) == [([1, 2, 3], "owner"), ([1, 2, 3], "x"), ([1, 2, 3], "y")]


async def test_one_field_at_two_depths_is_two_levels() -> None:
    request = Request()
    result = await run('{ boxes { owner { echo(text: "a") shared { echo(text: "b") } } } }', request)
    assert result.errors is None
    assert request.calls[1:] == [([1, 2, 3], "a"), ([0, 0, 0], "b")]


async def test_operations_at_the_same_time_have_levels_of_their_own() -> None:
    requests = [Request(), Request()]
    results = await asyncio.gather(*(run("{ boxes { owner { echo } } }", request) for request in requests))
    assert [result.errors for result in results] == [None, None]
    assert [request.calls for request in requests] == [[([1, 2, 3], "owner"), ([1, 2, 3], "")]] * 2


async def test_plain_functions_resolve_batch_fields_too() -> None:
    result = await run("{ boxes { owner { doubled oddAtOnce } } }")
    assert result.errors is not None
    assert [error.message for error in result.errors] == ["2 is even"]
    assert result.data is not None
    assert result.data["boxes"][0] == [
        {"owner": {"doubled": 2, "oddAtOnce": 1}},
        {"owner": {"doubled": 4, "oddAtOnce": None}},
    ]


async def test_a_wrong_number_of_values_of_a_plain_function_is_an_error() -> None:
    result = await run("{ boxes { owner { tooManyAtOnce } } }")
    assert result.errors is not None
    assert [error.message for error in result.errors] == ["too_many_at_once gave 2 values for 1 parents"] * 3


async def test_the_values_may_come_in_any_iterable() -> None:
    result = await run("{ boxes { owner { anyIterable anyIterableAtOnce } } }")
    assert result.data is not None
    assert result.data["boxes"][2] == [{"owner": {"anyIterable": 3, "anyIterableAtOnce": 3}}]


async def test_without_levels_a_batch_field_says_what_it_needs() -> None:
    result = await schema.execute("{ boxes { owner { number } } }", context_value=SimpleNamespace(calls=[]))
    assert result.errors is not None
    assert "info.context.levels" in result.errors[0].message


async def test_a_value_that_nobody_awaits_any_more_is_left_out() -> None:
    levels = Levels()
    info: Any = SimpleNamespace(path=Path(None, "owner", "Red"), context=Request(levels))
    left, awaited = [levels.load(echo, Owner(number=number), info, {}) for number in (1, 2)]
    left.cancel()
    assert await awaited == "2"


async def test_closing_cancels_what_still_runs_and_starts_nothing_new() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def endless(parents: Sequence[Any], info: Any) -> list[Any]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return []

    @strawberry.type
    class Slow:
        never: int = batch_field(endless, description="Does not end.")

    request = Request()
    task = asyncio.ensure_future(strawberry.Schema(Slow).execute("{ never }", context_value=request))
    await asyncio.wait_for(started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    request.levels.close()
    await asyncio.wait_for(stopped.wait(), 5)

    late = SimpleNamespace(path=Path(None, "never", "Slow"))
    request.levels.load(endless, None, late, {})
    request.levels.close()
    started.clear()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not started.is_set()
