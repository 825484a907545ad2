"""Which calls the fields of a level cause, and what becomes of their values when all goes well."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Union

import pytest
import strawberry

from schema.engine import batch_field
from schema.engine.tests.support import Info, Request, agreed, both, data


async def labels(things: Sequence[Any], info: Info, text: str = "") -> list[str]:
    info.context.called(f"label {text}".strip(), things)
    await asyncio.sleep(0)
    return [f"{text}{thing.number}" for thing in things]


def kinds(things: Sequence[Any], info: Info) -> list[str]:
    info.context.called("kind", things)
    return [type(thing).__name__ for thing in things]


async def owners(things: Sequence[Any], info: Info) -> list[Any]:
    info.context.called("owner", things)
    return [Red(number=thing.number + 10) for thing in things]


async def sharing(things: Sequence[Any], info: Info) -> list[Any]:
    """Two owners, of which each has every other thing."""
    first, second = Red(number=10), Red(number=20)
    return [second if place % 2 else first for place, _ in enumerate(things)]


@strawberry.interface
class Thing:
    number: int
    label: str = batch_field(labels, description="The text and the number.")
    kind: str = batch_field(kinds, description="The name of the type, without a coroutine.")
    owner: "Red" = batch_field(owners, description="A thing of its own.")
    shared: "Red" = batch_field(sharing, description="A thing that others have too.")

    @strawberry.field
    async def slow(self) -> int:
        for _ in range(3):
            await asyncio.sleep(0)
        return self.number


@strawberry.type
class Red(Thing):
    pass


@strawberry.type
class Blue(Thing):
    pass


Either = Annotated[Union[Red, Blue], strawberry.union("Either")]  # noqa: UP007  (Strawberry wants it like this)


@strawberry.type
class Box:
    things: list[Red]


def make(*numbers: int) -> list[Red]:
    return [Red(number=number) for number in numbers]


TWICE = Red(number=1)


def gives(value: Any) -> Any:
    """A root field of that value."""
    return strawberry.field(resolver=lambda: value)


@strawberry.type
class Query:
    reds: list[Red] = gives(make(3, 1, 2))
    grid: list[list[Red]] = gives([make(3, 1), [], make(2)])
    cube: list[list[list[Red]]] = gives([[make(3)], [], [[], make(1, 2)]])
    gaps: list[list[Red | None] | None] = gives([[None, *make(3)], None, make(1, 2)])
    boxes: list[Box] = gives([Box(things=make(3, 1)), Box(things=[]), Box(things=make(2))])
    twice: list[Red] = gives([TWICE, Red(number=2), TWICE])
    twice_in_grid: list[list[Either]] = gives([[TWICE, Blue(number=2)], [TWICE]])
    none: list[Red] = gives([])
    null: Red | None = gives(None)
    nulls: list[Red | None] = gives([None, None])
    empty_grid: list[list[Red]] = gives([[], []])

    @strawberry.field
    def things(self) -> list[Thing]:
        return [Blue(number=4), Red(number=3), Blue(number=2), Red(number=1)]

    @strawberry.field
    async def either(self) -> list[Either]:
        return [Blue(number=4), Red(number=3), Blue(number=2), Red(number=1)]


schemas = both(Query)
schema, _ = schemas


@pytest.mark.parametrize(
    ("operation", "calls"),
    [
        pytest.param("{ reds { label } }", [("label", [3, 1, 2])], id="list"),
        pytest.param("{ reds { kind } }", [("kind", [3, 1, 2])], id="without a coroutine"),
        pytest.param("{ grid { label } }", [("label", [3, 1, 2])], id="lists of lists"),
        pytest.param("{ cube { label } }", [("label", [3, 1, 2])], id="lists of lists of lists"),
        pytest.param("{ gaps { label } }", [("label", [3, 1, 2])], id="lists with nulls"),
        pytest.param("{ boxes { things { label } } }", [("label", [3, 1, 2])], id="lists of several parents"),
        pytest.param(
            "{ reds { owner { label } } }", [("owner", [3, 1, 2]), ("label", [13, 11, 12])], id="below a batch field"
        ),
        pytest.param("{ things { label } }", [("label", [4, 2]), ("label", [3, 1])], id="interface"),
        pytest.param(
            "{ either { ... on Red { label } ... on Blue { owner { kind } } } }",
            [("label", [3, 1]), ("owner", [4, 2]), ("kind", [14, 12])],
            id="union",
        ),
        pytest.param(
            "{ reds { label ...F ... on Thing { label } ... { label } } } fragment F on Red { number label }",
            [("label", [3, 1, 2])],
            id="one field in several fragments",
        ),
        pytest.param(
            "{ reds { owner { number } ... on Thing { owner { label } } } }",
            [("owner", [3, 1, 2]), ("label", [13, 11, 12])],
            id="selections that are merged",
        ),
        pytest.param(
            '{ reds { a: label(text: "a") b: label(text: "b") } }',
            [("label a", [3, 1, 2]), ("label b", [3, 1, 2])],
            id="aliases",
        ),
        pytest.param(
            "{ a: reds { label } b: reds { label } }", [("label", [3, 1, 2])] * 2, id="aliases of the level above"
        ),
        pytest.param(
            '{ reds { label(text: "a") owner { label(text: "b") } } }',
            [("label a", [3, 1, 2]), ("owner", [3, 1, 2]), ("label b", [13, 11, 12])],
            id="one field on two levels",
        ),
        pytest.param(
            "{ twice { label kind } }", [("label", [1, 2]), ("kind", [1, 2])], id="an object that occurs twice"
        ),
        pytest.param(
            "{ twiceInGrid { ... on Thing { label } } }",
            [("label", [1]), ("label", [2])],
            id="an object that occurs twice in a union",
        ),
        pytest.param(
            "{ reds { shared { label owner { label } } } }",
            [("label", [10, 20]), ("owner", [10, 20]), ("label", [20, 30])],
            id="an object that several parents share",
        ),
        pytest.param("{ none { label kind owner { label } } }", [], id="empty list"),
        pytest.param("{ null { label kind } nulls { label kind } emptyGrid { label kind } }", [], id="only nulls"),
        pytest.param("{ reds { label @skip(if: true) kind @include(if: false) } }", [], id="skipped"),
    ],
)
async def test_a_batch_field_is_called_once_for_a_level_in_the_order_of_its_parents(
    operation: str, calls: list[tuple[str, list[int]]]
) -> None:
    request = Request()
    found = await data(schema, operation, request)
    assert sorted(request.calls) == sorted(calls)
    assert found == (await agreed(schemas, operation)).data


async def test_an_object_that_occurs_twice_has_its_values_in_both_places() -> None:
    assert await data(schema, "{ twice { label slow } twiceInGrid { ... on Thing { label } } }") == {
        "twice": [{"label": "1", "slow": 1}, {"label": "2", "slow": 2}, {"label": "1", "slow": 1}],
        "twiceInGrid": [[{"label": "1"}, {"label": "2"}], [{"label": "1"}]],
    }


async def test_fields_are_in_the_order_of_the_document_whenever_their_values_come() -> None:
    found = await data(schema, "{ reds { slow label ... on Thing { number } kind __typename } null { kind } }")
    assert list(found) == ["reds", "null"]
    assert [list(red) for red in found["reds"]] == [["slow", "label", "number", "kind", "__typename"]] * 3


async def test_objects_of_an_interface_keep_their_places() -> None:
    assert await data(schema, "{ things { number kind __typename ... on Blue { slow } } }") == {
        "things": [
            {"number": 4, "kind": "Blue", "__typename": "Blue", "slow": 4},
            {"number": 3, "kind": "Red", "__typename": "Red"},
            {"number": 2, "kind": "Blue", "__typename": "Blue", "slow": 2},
            {"number": 1, "kind": "Red", "__typename": "Red"},
        ]
    }


async def test_twenty_levels_are_twenty_calls() -> None:
    request = Request()
    found = await data(schema, "{ reds { " + "owner { " * 20 + "number" + " }" * 22, request)
    assert request.calls == [("owner", [3 + 10 * depth, 1 + 10 * depth, 2 + 10 * depth]) for depth in range(20)]
    assert str(found["reds"][0]).count("owner") == 20
    assert "'number': 203" in str(found["reds"][0])


@pytest.mark.parametrize("name", ["label", "kind", "number", "slow"])
async def test_five_hundred_fields_of_a_level(name: str) -> None:
    fields = [f"f{number}: {name}" for number in range(500)]
    found = await data(schema, f"{{ things {{ {' '.join(fields)} }} }}")
    value = {"label": "4", "kind": "Blue", "number": 4, "slow": 4}[name]
    assert found["things"][0] == {f"f{number}": value for number in range(500)}


@pytest.mark.parametrize(("count", "chained"), [(100, False), (100, True)])
async def test_hundreds_of_fragments(count: int, chained: bool) -> None:
    spreads = [f"...F{number}" for number in range(count)]
    nexts = [*spreads[1:], ""] if chained else [""] * count
    fragments = [f"fragment F{number} on Red {{ f{number}: label {nexts[number]} }}" for number in range(count)]
    request = Request()
    spread = spreads[0] if chained else " ".join(spreads)
    found = await data(schema, f"{{ reds {{ {spread} }} }} {' '.join(fragments)}", request)
    assert request.calls == [("label", [3, 1, 2])] * count
    assert found["reds"][1] == {f"f{number}": "1" for number in range(count)}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
async def test_a_fragment_is_included_where_a_directive_says_so(first: bool, second: bool) -> None:
    operation = """
        query ($first: Boolean!, $second: Boolean!) {
          reds { number ...F @include(if: $first) ... on Thing { ...F @include(if: $second) } }
          grid { ...F @include(if: $first) }
          boxes { things { ...F @skip(if: $second) } }
        }
        fragment F on Red { label owner { kind @include(if: $second) number } }
    """
    found = (await agreed(schemas, operation, first=first, second=second)).data
    assert found is not None
    below = {"owner": {"kind": "Red", "number": 13} if second else {"number": 13}}
    fragment = {"label": "3", **below}
    assert found["reds"][0] == {"number": 3, **(fragment if first or second else {})}
    assert found["grid"][0][0] == (fragment if first else {})
    assert found["boxes"][0]["things"][0] == ({} if second else fragment)
