"""Resolvers that do not keep to the rules: what fails with them, and what does not."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError

from schema.engine import batch_field
from schema.engine.tests.support import (
    FIELDS,
    Give,
    Info,
    agreed,
    both,
    each_of,
    failures,
    on_engine,
    run,
    with_rows,
)

ROWS = "{ rows { number value } }"


def raising(numbers: list[int]) -> Any:
    raise ValueError("nothing works")


def stopping(numbers: list[int]) -> Iterator[int]:
    yield 0
    raise ValueError("nothing works")


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(
    ("give", "message"),
    [
        pytest.param(raising, "nothing works", id="raises"),
        pytest.param(stopping, "nothing works", id="raises on the way"),
        pytest.param(lambda numbers: numbers[1:], "values gave 2 values for 3 parents", id="too few"),
        pytest.param(lambda numbers: [], "values gave 0 values for 3 parents", id="none"),
        pytest.param(lambda numbers: [*numbers, 4], "values gave 4 values for 3 parents", id="too many"),
        pytest.param(lambda numbers: None, "'NoneType' object is not iterable", id="null"),
        pytest.param(lambda numbers: 5, "'int' object is not iterable", id="not a list"),
    ],
)
async def test_a_batch_resolver_without_a_value_for_each_parent_fails_for_all_of_them(
    awaited: bool, give: Callable[[list[int]], Any], message: str
) -> None:
    def values(rows: Sequence[Any], info: Info) -> Any:
        return give([row.number for row in rows])

    async def awaited_values(rows: Sequence[Any], info: Info) -> Any:
        await asyncio.sleep(0)
        return give([row.number for row in rows])

    awaited_values.__qualname__ = values.__qualname__
    field = batch_field(awaited_values if awaited else values, description="A value for each row.")
    result = await run(on_engine(with_rows(int | None, field)), ROWS)
    assert result.data == {"rows": [{"number": number, "value": None} for number in range(3)]}
    assert [path for _, path in failures(result)] == [["rows", place, "value"] for place in range(3)]
    assert {found.rpartition(".")[2] for found, _ in failures(result)} == {message}


def second_is(value: Any) -> Give:
    """The number of each parent, but for the second: that is given `value`."""
    return lambda number: value() if number == 1 else number


def fails() -> Any:
    raise ValueError("no")


NO_INT = "Int cannot represent non-integer value: "
BIG = "Int cannot represent non 32-bit signed integer value: "
REFUSED = pytest.mark.parametrize(
    ("annotation", "value", "message", "below"),
    [
        pytest.param(int | None, fails, "no", [], id="raised"),
        pytest.param(int | None, lambda: ValueError("no"), "no", [], id="error for a value"),
        pytest.param(int | None, lambda: "x", f"{NO_INT}'x'", [], id="text for a number"),
        pytest.param(int | None, lambda: [1], f"{NO_INT}[1]", [], id="list for a number"),
        pytest.param(int | None, lambda: 2**31, f"{BIG}{2**31}", [], id="number out of bounds"),
        pytest.param(int | None, lambda: float("nan"), f"{NO_INT}nan", [], id="no number"),
        pytest.param(list[int | None] | None, lambda: [1, "x"], f"{NO_INT}'x'", [1], id="item of a list"),
    ],
)


@pytest.mark.parametrize("field", FIELDS)
@REFUSED
async def test_one_bad_value_fails_alone(
    field: Callable[[Give], Any], annotation: Any, value: Callable[[], Any], message: str, below: list[int]
) -> None:
    listed = bool(below)
    give: Give = second_is(value)
    query = with_rows(annotation, field(lambda number: [number] if listed and number != 1 else give(number)))
    result = await agreed(both(query), ROWS)
    expected = {number: [number] if listed else number for number in range(3)} | {1: [1, None] if listed else None}
    assert result.data == {"rows": [{"number": number, "value": expected[number]} for number in range(3)]}
    assert failures(result) == [(message, ["rows", 1, "value", *below])]


@pytest.mark.parametrize("field", FIELDS)
async def test_one_bad_value_of_a_thousand_leaves_the_others_alone(field: Callable[[Give], Any]) -> None:
    query = with_rows(int | None, field(lambda number: 2**31 if number == 500 else number))
    result = await run(on_engine(query), "{ rows(count: 1000) { value } }")
    assert result.data == {"rows": [{"value": None if number == 500 else number} for number in range(1000)]}
    assert failures(result) == [(f"{BIG}{2**31}", ["rows", 500, "value"])]


# The second one is what next() raises, and what a loop takes for its own end.
@pytest.mark.parametrize("error", [ValueError("broken"), StopIteration("broken")], ids=repr)
async def test_one_bad_attribute_of_a_thousand_leaves_the_others_alone(error: Exception) -> None:
    @strawberry.type
    class Row:
        number: int

    class Broken:
        @property
        def number(self) -> int:
            raise error

    @strawberry.type
    class Query:
        @strawberry.field
        def rows(self) -> list[Row | None]:
            rows: list[Any] = [Row(number=number) for number in range(1000)]
            rows[500], rows[600] = Broken(), Row(number=2**31)
            return rows

    result = await run(on_engine(Query), "{ rows { number } }")
    bad = {500, 600}
    assert result.data == {"rows": [None if number in bad else {"number": number} for number in range(1000)]}
    assert failures(result) == [("broken", ["rows", 500, "number"]), (f"{BIG}{2**31}", ["rows", 600, "number"])]


NULL = "Cannot return null for non-nullable field Row.value."


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("annotation", "value", "message", "below", "left"),
    [
        pytest.param(int, None, NULL, [], None, id="null"),
        pytest.param(int, ValueError("no"), "no", [], None, id="error"),
        pytest.param(list[int], None, NULL, [], None, id="null for a list"),
        pytest.param(
            list[int], 5, "Expected Iterable, but did not find one for field 'Row.value'.", [], None, id="no list"
        ),
        pytest.param(list[int], [1, None], NULL, [1], None, id="null in a list"),
        pytest.param(list[int] | None, [1, None], NULL, [1], {"value": None}, id="null in a list that may be null"),
        pytest.param(list[int] | None, [ValueError("no"), 1], "no", [0], {"value": None}, id="error in a list"),
        pytest.param(list[list[int]], [[1], [2, None]], NULL, [1, 1], None, id="null in lists of lists"),
        pytest.param(
            list[list[int] | None], [[1], [None, 2]], NULL, [1, 0], {"value": [[1], None]}, id="null in an inner list"
        ),
    ],
)
async def test_a_null_rises_to_the_next_position_that_may_be_null(
    field: Callable[[Give], Any], annotation: Any, value: Any, message: str, below: list[int], left: Any
) -> None:
    nesting = str(annotation).count("list[")
    good = {0: 7, 1: [7], 2: [[7]]}[nesting]

    def give(number: int) -> Any:
        if number == 1 and isinstance(value, Exception):
            raise value
        return value if number == 1 else good

    result = await agreed(both(with_rows(annotation, field(give))), "{ rows { value } }")
    assert result.data == {"rows": [{"value": good}, left, {"value": good}]}
    assert failures(result) == [(message, ["rows", 1, "value", *below])]
    assert [(error.locations or [])[0].column for error in result.errors or []] == [10]


async def test_a_number_that_python_will_not_write_fails_alone() -> None:
    """Of more than 4,300 digits. An id is written as text."""
    schemas = both(with_rows(strawberry.ID | None, each_of(lambda number: 10**5_000 if number == 1 else number)))
    result = await agreed(schemas, ROWS)
    assert result.data == {"rows": [{"number": n, "value": None if n == 1 else str(n)} for n in range(3)]}


async def test_a_type_that_is_told_by_its_class_fails_for_its_own_position() -> None:
    def told_by_class(value: Any, info: Any) -> bool:
        if value.number == 2:
            raise ValueError("nobody knows")
        return bool(value.number)

    told_by_class.by_class = True  # type: ignore[attr-defined]

    @strawberry.type
    class Thing:
        number: int
        is_type_of = staticmethod(told_by_class)

    @strawberry.type
    class Query:
        @strawberry.field
        def fine(self) -> int:
            return 1

        @strawberry.field
        def thing(self, number: int) -> Thing | None:
            return Thing(number=number)

    schemas = both(Query)
    told = await agreed(schemas, "{ fine thing(number: 1) { number } }")
    assert told.data == {"fine": 1, "thing": {"number": 1}}
    for number in (0, 2):
        refused = await agreed(schemas, f"{{ fine thing(number: {number}) {{ number }} }}")
        assert refused.data == {"fine": 1, "thing": None}
        assert [path for _, path in failures(refused)] == [["thing"]]


async def test_an_error_that_has_a_path_keeps_it() -> None:
    def raises(number: int) -> Any:
        raise GraphQLError("it was there", path=["elsewhere"])

    result = await agreed(both(with_rows(str | None, each_of(raises))), "{ rows(count: 1) { value } }")
    assert failures(result) == [("it was there", ["elsewhere"])]
