"""In which shapes values may come, and how long they may be waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from schema.engine import batch_field
from schema.engine.tests.support import (
    FIELDS,
    Give,
    Info,
    agreed,
    both,
    data,
    each_of,
    failures,
    function_of,
    on_engine,
    run,
    with_rows,
)

ROWS = "{ rows { number value } }"
THE_NUMBERS = {"rows": [{"number": number, "value": number} for number in range(3)]}


@dataclass
class Eventually:
    """Something that can be awaited without being a coroutine, and that never suspends."""

    value: Any

    def __await__(self) -> Generator[Any, None, Any]:
        return self.value
        yield


async def at_once(value: Any) -> Any:
    return value


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def future(value: Any) -> asyncio.Future[Any]:
    done = asyncio.get_running_loop().create_future()
    done.set_result(value)
    return done


async def items(*numbers: int) -> AsyncIterator[int]:
    for number in numbers:
        yield number


AWAITABLES = [at_once, later, future, Eventually]


@pytest.mark.parametrize("awaitable", AWAITABLES)
@pytest.mark.parametrize("kind", [list, tuple, iter, dict.fromkeys, lambda numbers: (number for number in numbers)])
async def test_a_batch_resolver_may_give_its_values_in_any_iterable(kind: Any, awaitable: Callable[[Any], Any]) -> None:
    def at_once(rows: Sequence[Any], info: Info) -> Any:
        return kind([row.number for row in rows])

    def awaited(rows: Sequence[Any], info: Info) -> Any:
        return awaitable(at_once(rows, info))

    for resolver in (at_once, awaited):
        field = batch_field(resolver, description="The row's number.")
        assert await data(on_engine(with_rows(int, field)), ROWS) == THE_NUMBERS


@pytest.mark.parametrize("awaitable", AWAITABLES)
@pytest.mark.parametrize("field", [function_of, each_of])
async def test_a_value_may_be_awaited(field: Callable[[Give], Any], awaitable: Callable[[Any], Any]) -> None:
    assert await data(on_engine(with_rows(int, field(awaitable))), ROWS) == THE_NUMBERS


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "give",
    [
        pytest.param(lambda number: (number, 1), id="tuple"),
        pytest.param(lambda number: (item for item in (number, 1)), id="generator"),
        pytest.param(lambda number: {number: 0, 1: 0}.keys() if number != 1 else [1, 1], id="keys"),
        pytest.param(lambda number: [at_once(number), 1], id="a coroutine in a list"),
        pytest.param(lambda number: (at_once(item) for item in (number, 1)), id="coroutines in a generator"),
        pytest.param(lambda number: items(number, 1), id="asynchronous iterator"),
    ],
)
async def test_a_list_may_be_any_iterable_and_its_items_may_be_awaited(
    field: Callable[[Give], Any], give: Give
) -> None:
    result = await agreed(both(with_rows(list[int], field(give))), ROWS)
    assert result.data == {"rows": [{"number": number, "value": [number, 1]} for number in range(3)]}


@pytest.mark.parametrize("field", FIELDS)
async def test_awaited_items_stay_in_their_places_beside_nulls_and_errors(field: Callable[[Give], Any]) -> None:
    given: list[Give] = [
        lambda number: None,
        lambda number: [[number, at_once(number)], None, [at_once(None)], [later(number)]],
        lambda number: int("no number"),
        lambda number: [None, (later(item) for item in range(2)), items(number)],
    ]
    schemas = both(with_rows(list[list[int | None] | None] | None, field(lambda number: given[number](number))))
    result = await agreed(schemas, "{ rows(count: 4) { value } }")
    assert result.data == {
        "rows": [
            {"value": None},
            {"value": [[1, 1], None, [None], [1]]},
            {"value": None},
            {"value": [None, [0, 1], [3]]},
        ]
    }
    assert failures(result) == [("invalid literal for int() with base 10: 'no number'", ["rows", 2, "value"])]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("kind", [list, iter, items])
async def test_an_item_that_is_awaited_may_fail_alone(field: Callable[[Give], Any], kind: Any) -> None:
    async def odd(number: int) -> int:
        if number % 2 == 0:
            raise ValueError(f"{number} is even")
        return number

    def give(number: int) -> Any:
        coroutines = [odd(number), odd(number + 1)]
        return items(*coroutines) if kind is items else kind(coroutines)

    result = await run(on_engine(with_rows(list[int | None], field(give))), "{ rows(count: 2) { value } }")
    assert result.data == {"rows": [{"value": [None, 1]}, {"value": [1, None]}]}
    assert failures(result) == [("0 is even", ["rows", 0, "value", 0]), ("2 is even", ["rows", 1, "value", 1])]


# Whoever forgets an await there leaves something unawaited: graphql-core does not look at it, either.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("field", FIELDS)
async def test_what_has_to_be_awaited_twice_takes_no_other_field_with_it(field: Callable[[Give], Any]) -> None:
    result = await run(on_engine(with_rows(int | None, field(lambda number: later(later(number))))), ROWS)
    assert result.data is not None
    assert [row["number"] for row in result.data["rows"]] == [0, 1, 2]
    assert all(path and path[-1] == "value" for _, path in failures(result))
