"""What batch resolvers are told: their arguments, and the info."""

from collections.abc import Sequence
from typing import Any

import pytest
import strawberry

from schema.engine import batch_field
from schema.engine.tests.support import Info, agreed, both


@strawberry.input
class Part:
    first_word: str
    times: int = 2


async def joined(things: Sequence[Any], info: Info, all_parts: list[Part], glue: str = "-") -> list[str]:
    return [glue.join(part.first_word * part.times for part in all_parts) for _ in things]


@strawberry.type
class Joining:
    joined: str = batch_field(joined, description="The parts.")


@pytest.mark.parametrize(
    ("operation", "variables", "expected"),
    [
        ('{ joined(allParts: [{firstWord: "a"}, {firstWord: "b", times: 1}]) }', {}, "aa-b"),
        ('{ joined(allParts: {firstWord: "a", times: 3}) }', {}, "aaa"),
        ('query ($a: String!) { joined(allParts: [{firstWord: $a}], glue: "+") }', {"a": "x"}, "xx"),
        ("query ($parts: [Part!]!) { joined(allParts: $parts) }", {"parts": [{"firstWord": "y"}] * 2}, "yy-yy"),
        ('query ($glue: String) { joined(allParts: [{firstWord: "a"}], glue: $glue) }', {}, "aa"),
    ],
)
async def test_arguments_reach_a_batch_resolver_as_python_knows_them(
    operation: str, variables: dict[str, Any], expected: str
) -> None:
    assert (await agreed(both(Joining), operation, **variables)).data == {"joined": expected}


async def infos(things: Sequence[Any], info: Info, text: str = "") -> list[str]:
    path = [step for step in info.path.as_list() if isinstance(step, str)]
    selected: Any = info.selected_fields
    known: list[Any] = [info.field_name, info.python_name, path, info.return_type, info.variable_values]
    known += [(each.name, each.alias, each.arguments) for each in selected]
    known += [info.operation.name, info.context.name, info.schema is not None]
    return [str(known) for _ in things]


@strawberry.type
class Told:
    my_info: str = batch_field(infos, description="What the resolver knows.")


@strawberry.type
class Telling:
    @strawberry.field
    def told(self) -> list[Told]:
        return [Told(), Told()]


async def test_a_batch_resolver_knows_what_it_would_know_under_graphql_core() -> None:
    operation = 'query Name($text: String) { told { myInfo(text: $text) alias: myInfo(text: "b") } }'
    result = await agreed(both(Telling), operation, text="a")
    assert result.data is not None
    assert "['told', 'alias'], <class 'str'>, {'text': 'a'}" in result.data["told"][1]["alias"]
