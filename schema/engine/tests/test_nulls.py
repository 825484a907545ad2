"""Where a rising null ends, and which error tells of it."""

from collections.abc import Sequence
from typing import Annotated, Any, Union

import pytest
import strawberry

from schema.engine import batch_field
from schema.engine.tests.support import Info, agreed, both, failures, run


class Odd(ValueError):
    """The number is odd."""


def fate(number: int) -> Any:
    return Odd("odd") if number % 2 else number


async def fates(things: Sequence[Any], info: Info) -> list[Any]:
    return [fate(thing.number) for thing in things]


async def below(things: Sequence[Any], info: Info) -> list[Any]:
    return [Red(number=thing.number + 1) for thing in things]


async def pairs(things: Sequence[Any], info: Info) -> list[Any]:
    return [[Red(number=thing.number), Blue(number=thing.number + 1)] for thing in things]


@strawberry.interface
class Thing:
    number: int
    even: int = batch_field(fates, description="The number; fails when it is odd.")
    perhaps: int | None = batch_field(fates, description="The same, or null.")
    must: "Red" = batch_field(below, description="The next number.")
    may: Union["Red", None] = batch_field(below, description="The next number, or null.")
    pair: list["Thing"] = batch_field(pairs, description="This number and the next.")
    pair_may: list[Union["Thing", None]] = batch_field(pairs, description="This number and the next, or nulls.")

    @strawberry.field
    async def even_each(self) -> int:
        value: int = fate(self.number)
        return value


@strawberry.type
class Red(Thing):
    pass


@strawberry.type
class Blue(Thing):
    pass


@strawberry.type
class Green:
    """Not a thing."""

    number: int


Either = Annotated[Union[Red, Blue], strawberry.union("Either")]  # noqa: UP007  (Strawberry wants it like this)


def things(numbers: Sequence[int]) -> list[Any]:
    """Red ones below ten, blue ones above, and green ones below zero, which are wrong."""
    return [(Green if number < 0 else Blue if number > 9 else Red)(number=number) for number in numbers]


@strawberry.type
class Query:
    @strawberry.field
    def things(self, numbers: list[int]) -> list[Thing] | None:
        return things(numbers)

    @strawberry.field
    def things_may(self, numbers: list[int]) -> list[Thing | None]:
        return things(numbers)

    @strawberry.field
    def either(self, numbers: list[int]) -> list[Either | None]:
        return things(numbers)

    @strawberry.field
    def reds(self, numbers: list[int]) -> list[Red | None]:
        return things(numbers)

    @strawberry.field
    def one(self, number: int) -> Red:
        return Red(number=number)

    @strawberry.field
    def twice(self, number: int) -> list[Red | None]:
        return [Red(number=number), Red(number=2)] * 2 if number > 9 else [(red := Red(number=number)), None, red]


schemas = both(Query)


@pytest.mark.parametrize(
    ("operation", "expected", "path"),
    [
        ("{ one(number: 1) { even } }", None, ["one", "even"]),
        ("{ one(number: 1) { evenEach } }", None, ["one", "evenEach"]),
        ("{ one(number: 1) { number perhaps } }", {"one": {"number": 1, "perhaps": None}}, ["one", "perhaps"]),
        ("{ one(number: 2) { must { even } } }", None, ["one", "must", "even"]),
        ("{ one(number: 2) { may { even } number } }", {"one": {"may": None, "number": 2}}, ["one", "may", "even"]),
        (
            "{ one(number: 2) { may { must { may { even } } } } }",
            {"one": {"may": {"must": {"may": None}}}},
            ["one", "may", "must", "may", "even"],
        ),
        ("{ things(numbers: [2, 1, 12]) { even } }", {"things": None}, ["things", 1, "even"]),
        ("{ things(numbers: [2, 11]) { ... on Blue { even } } }", {"things": None}, ["things", 1, "even"]),
        ("{ things(numbers: [10]) { pair { even } } }", {"things": None}, ["things", 0, "pair", 1, "even"]),
        (
            "{ one(number: 2) { pairMay { even } } }",
            {"one": {"pairMay": [{"even": 2}, None]}},
            ["one", "pairMay", 1, "even"],
        ),
        (
            "{ either(numbers: [1, 2, 12]) { ... on Thing { even } } }",
            {"either": [None, {"even": 2}, {"even": 12}]},
            ["either", 0, "even"],
        ),
        (
            "{ either(numbers: [2, 11]) { ... on Red { even } ... on Blue { alias: even } } }",
            {"either": [{"even": 2}, None]},
            ["either", 1, "alias"],
        ),
    ],
)
async def test_a_null_rises_with_one_error_where_it_began(operation: str, expected: Any, path: list[Any]) -> None:
    result = await agreed(schemas, operation)
    assert result.data == expected
    [error] = result.errors or []
    assert (error.message, error.path) == ("odd", path)
    assert isinstance(error.original_error, Odd)
    [location] = error.locations or []
    assert operation[location.column - 1 :].startswith(("even", "perhaps", "alias"))


@pytest.mark.parametrize(
    ("operation", "kept"),
    [
        ("{ things(numbers: [1, 3, 11]) { even } }", 1),
        ("{ things(numbers: [1, 2]) { perhaps even evenEach } reds(numbers: [3]) { even } }", 2),
        ("{ thingsMay(numbers: [1]) { perhaps } one(number: 1) { even } }", 1),
        ("{ one(number: 1) { perhaps pairMay { perhaps } must { perhaps } even } }", 1),
        ("{ thingsMay(numbers: [1, 2, 3]) { pair { even } perhaps } twice(number: 1) { perhaps } }", 5),
    ],
)
async def test_of_several_errors_under_one_null_one_is_told(operation: str, kept: int) -> None:
    result, expected = [await run(schema, operation) for schema in schemas]
    assert result.data == expected.data
    assert len(result.errors or []) == kept
    assert {str(path) for _, path in failures(result)} <= {str(path) for _, path in failures(expected)}


async def test_an_object_that_occurs_twice_fails_in_both_places() -> None:
    result = await agreed(schemas, "{ twice(number: 1) { perhaps must { number } } }")
    odd = {"perhaps": None, "must": {"number": 2}}
    assert result.data == {"twice": [odd, None, odd]}
    assert failures(result) == [("odd", ["twice", 0, "perhaps"]), ("odd", ["twice", 2, "perhaps"])]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("thingsMay", "Abstract type 'Thing' must resolve to an Object type"),
        ("either", "is not in the list of the types of the union"),
        ("reds", "Expected value of type 'Red' but got: <Green instance>."),
    ],
)
async def test_an_object_of_a_wrong_type_fails_alone(field: str, message: str) -> None:
    result = await agreed(
        schemas, f"{{ {field}(numbers: [1, -1, 2]) {{ ... on Thing {{ number must {{ perhaps }} }} }} }}"
    )
    assert result.data == {
        field: [{"number": 1, "must": {"perhaps": 2}}, None, {"number": 2, "must": {"perhaps": None}}]
    }
    assert [path for _, path in failures(result)] == [[field, 1], [field, 2, "must", "perhaps"]]
    assert message in failures(result)[0][0]
