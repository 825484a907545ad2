"""Lists of values, as resolvers give them: what is in them, what has to be awaited, and where it belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum, auto
from functools import lru_cache
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from itertools import islice
from typing import Any

from graphql import Undefined

LISTS = frozenset((list, tuple))
NULLS = frozenset((type(None), type(Undefined)))


class Trait(Enum):
    """What the type of a value says about it."""

    USUAL = auto()
    NULL = auto()
    ERROR = auto()
    WAITS = auto()


def _trait(kind: type) -> Trait:
    if kind in NULLS:
        return Trait.NULL
    if issubclass(kind, Exception):
        return Trait.ERROR
    return Trait.WAITS if hasattr(kind, "__await__") or hasattr(kind, "__aiter__") else Trait.USUAL


trait: Callable[[type], Trait] = lru_cache(maxsize=1_000)(_trait)


class HasToWait(Exception):
    """Among `values`, or in lists of them, is something that has to be awaited first.

    Who raises it gives the values back, in the form in which it got them, to whoever knows where they belong.
    """

    def __init__(self, values: Any) -> None:
        super().__init__()
        self.values = values


async def gathered(call: Callable[[Any], Coroutine[Any, Any, Any]], values: Sequence[Any]) -> list[Any]:
    """What `call` gives for each value, side by side.

    None is left running, whatever becomes of the others or of the request, and no coroutine among the values is left
    that nobody has begun.
    """
    if len(values) == 1:
        return [await call(values[0])]  # nothing stands beside it, and a task takes as long as many a resolver
    tasks = [asyncio.ensure_future(call(value)) for value in values]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            # Once is enough: a second time would interrupt what the first one has set going.
            if not task.cancelling():
                task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            close_unbegun(values)
        raise


def close_unbegun(values: Any) -> None:
    """Close the coroutines in `values`, and in lists in it, that nobody has begun to await and nobody will."""
    if type(values) in LISTS:
        for value in values:
            close_unbegun(value)
    elif iscoroutine(values) and getcoroutinestate(values) == CORO_CREATED:
        values.close()


def mapped(call: Callable[[Any], Any], values: Sequence[Any]) -> list[Any] | None:
    """What `call` gives for each value; None when it raises for one, even StopIteration, which would end the map."""
    try:
        mapped = list(map(call, values))
    except Exception:  # noqa: BLE001  (which of them it was has to be looked at)
        return None
    return mapped if len(mapped) == len(values) else None


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  (it takes the place of the value)
        return error


def within(bounds: tuple[int, int] | None, values: Sequence[Any]) -> bool:
    return bounds is None or not values or (bounds[0] <= min(values) and max(values) <= bounds[1])


async def arrived(value: Any) -> Any:
    """The value, awaited where it has to be, and its items; an exception in the place of what failed."""
    try:
        if hasattr(type(value), "__await__"):
            value = await value
        if hasattr(type(value), "__aiter__"):
            value = [each async for each in value]
    except Exception as error:  # noqa: BLE001  (it takes the place of the value)
        return error
    if type(value) in LISTS:
        return await gathered(arrived, value)
    return value


def placed(values: Sequence[Any], places: Sequence[int], present: Sequence[Any]) -> list[Any]:
    """The values, with those of `present` at `places`."""
    placed = list(values)
    for place, value in zip(places, present, strict=True):
        placed[place] = value
    return placed


def cut(items: Sequence[Any], lists: Sequence[Any]) -> list[Any]:
    """The items as lists of the lengths of `lists`, in which exceptions stay what they are."""
    remaining = iter(items)
    return [each if isinstance(each, Exception) else list(islice(remaining, len(each))) for each in lists]
