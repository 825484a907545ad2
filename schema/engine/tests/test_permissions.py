"""Permissions of a level: who is refused, what reaches the resolver, and that it is one call."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from schema.engine import Permission, batch_field
from schema.engine.tests.support import Info, Request, agreed, both, failures, on_engine, run, with_rows


class Only(Permission):
    """Allows what `allows` does, and keeps the calls in the request."""

    def __init__(self, name: str, allows: Callable[[int], bool]) -> None:
        self._name = name
        self._allows = allows
        self.message = f"not {name}"

    def has_permission_many(self, parents: Sequence[Any], info: Info) -> Any:
        info.context.called(self._name, parents)
        return [self._allows(parent.number) for parent in parents]


class OnlyAwaited(Only):
    async def has_permission_many(self, parents: Sequence[Any], info: Info) -> Any:
        await asyncio.sleep(0)
        return super().has_permission_many(parents, info)


async def texts(rows: Sequence[Any], info: Info, text: str = "n") -> list[Any]:
    info.context.called("texts", rows)
    return [f"{text}{row.number}" if row.number < 8 else ValueError("too large") for row in rows]


def texts_at_once(rows: Sequence[Any], info: Info, text: str = "n") -> list[Any]:
    info.context.called("texts", rows)
    return [f"{text}{row.number}" if row.number < 8 else ValueError("too large") for row in rows]


def even(number: int) -> bool:
    return number % 2 == 0


def large(number: int) -> bool:
    return number > 2


@pytest.mark.parametrize("resolver", [texts, texts_at_once])
@pytest.mark.parametrize("permission", [Only, OnlyAwaited])
async def test_refused_parents_never_reach_the_resolver_which_is_called_once(
    resolver: Any, permission: type[Only]
) -> None:
    request = Request(levels=None)
    field = batch_field(
        resolver, description="A text.", permissions=[permission("even", even), permission("large", large)]
    )
    query = with_rows(str | None, field)
    result = await run(on_engine(query), '{ rows(count: 9) { value(text: "t") } }', request)
    assert request.calls == [
        ("even", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("large", [0, 2, 4, 6, 8]),
        ("texts", [4, 6, 8]),
    ]
    assert result.data == {"rows": [{"value": {4: "t4", 6: "t6"}.get(number)} for number in range(9)]}
    messages = ["not large", "not even", "not large", "not even", "not even", "not even", "too large"]
    places = [0, 1, 2, 3, 5, 7, 8]
    assert failures(result) == [
        (message, ["rows", place, "value"]) for message, place in zip(messages, places, strict=True)
    ]


async def test_nobody_asks_the_resolver_or_the_next_permission_when_all_are_refused() -> None:
    request = Request()
    nobody, unasked = Only("nobody", lambda number: False), Only("unasked", even)
    field = batch_field(texts, description="A text.", permissions=[nobody, unasked])
    result = await run(on_engine(with_rows(str, field)), "{ rows { value } }", request)
    assert [call for call in request.calls if call[1]] == [("nobody", [0, 1, 2])]
    assert "texts" not in dict(request.calls)
    assert result.data == {"rows": [None, None, None]}
    assert failures(result) == [("not nobody", ["rows", place, "value"]) for place in range(3)]


async def test_a_refusal_is_the_same_under_graphql_core() -> None:
    field = batch_field(texts, description="A text.", permissions=[OnlyAwaited("even", even)])
    result = await agreed(both(with_rows(str | None, field)), "{ rows { value } }")
    assert result.data == {"rows": [{"value": "n0"}, {"value": None}, {"value": "n2"}]}
    assert failures(result) == [("not even", ["rows", 1, "value"])]


class Shy(Only):
    def refusal(self) -> Exception:
        return LookupError("There is nothing here.")


async def test_a_permission_may_refuse_with_an_error_of_its_own() -> None:
    field = batch_field(texts, description="A text.", permissions=[Shy("even", even)])
    result = await run(on_engine(with_rows(str | None, field)), "{ rows { value } }")
    [error] = result.errors or []
    assert isinstance(error.original_error, LookupError)
    assert failures(result) == [("There is nothing here.", ["rows", 1, "value"])]


class Broken(Only):
    def has_permission_many(self, parents: Sequence[Any], info: Info) -> Any:
        if self._name == "raises":
            raise ValueError("no verdict")
        return [True] * (len(parents) + {"too few": -1, "too many": 1}[self._name])


@pytest.mark.parametrize("name", ["raises", "too few", "too many"])
async def test_a_permission_without_a_verdict_for_each_parent_refuses_all(name: str) -> None:
    request = Request()
    field = batch_field(texts, description="A text.", permissions=[Broken(name, even)])
    result = await run(on_engine(with_rows(str | None, field)), "{ rows { value } }", request)
    assert request.calls == []
    assert result.data == {"rows": [{"value": None}] * 3}
    assert [path for _, path in failures(result)] == [["rows", place, "value"] for place in range(3)]
    if name != "raises":
        assert "Broken.has_permission_many gave" in failures(result)[0][0]


@pytest.mark.parametrize("number", [0, 2, 4])
async def test_a_guarded_resolver_gives_one_value_for_each_parent_that_reaches_it(number: int) -> None:
    def some(rows: Sequence[Any], info: Info) -> list[str]:
        return ["value"] * number

    field = batch_field(some, description="A text.", permissions=[Only("all", lambda _: True)])
    result = await run(on_engine(with_rows(str | None, field)), "{ rows { value } }")
    assert [message for message, _ in failures(result)] == [
        f"{some.__qualname__} gave {number} values for 3 parents"
    ] * 3
