"""Permissions for all objects of a level at once, so that a guarded field stays a batch field."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from schema.engine.levels import WrongNumberOfValues


class Refusal(Exception):
    """The request may not read this field of this parent. The message is for the client."""


class Permission(ABC):
    """Says for which of a field's parents the request may read the field.

    `@reads` on `has_permission_many` names the attributes of the parents that it looks at, `@reads()` none: without it
    whole rows are loaded.
    """

    message = "You may not see this."

    @abstractmethod
    def has_permission_many(self, parents: Sequence[Any], info: Any) -> Sequence[bool] | Awaitable[Sequence[bool]]:
        """One verdict for each parent, in their order. May be a coroutine function."""

    def refusal(self) -> Exception:
        """The error that stands in the place of the value of a parent that was refused."""
        return Refusal(self.message)


def guarded(resolver: Callable[..., Any], permissions: Sequence[Permission]) -> Callable[..., Any]:
    """`resolver` for those parents that every permission allows; a refusal for each other, from the first that does."""

    async def resolve(parents: Sequence[Any], info: Any, **arguments: Any) -> list[Any]:
        values: list[Any] = [None] * len(parents)
        allowed = list(range(len(parents)))
        for permission in permissions:
            verdicts = await _each(permission.has_permission_many, [parents[place] for place in allowed], info)
            kept = []
            for place, verdict in zip(allowed, verdicts, strict=True):
                if verdict:
                    kept.append(place)
                else:
                    values[place] = permission.refusal()
            allowed = kept
        if allowed:
            resolved = await _each(resolver, [parents[place] for place in allowed], info, **arguments)
            for place, value in zip(allowed, resolved, strict=True):
                values[place] = value
        return values

    # The resolver's name, arguments and types are the field's. Which attributes are read is known when all say so.
    resolve.__name__, resolve.__module__ = getattr(resolver, "__name__", "resolve"), resolver.__module__
    resolve.__signature__ = inspect.signature(resolver)  # type: ignore[attr-defined]
    declared = [
        getattr(each, "reads", None) for each in (resolver, *(each.has_permission_many for each in permissions))
    ]
    if None not in declared:
        resolve.reads = tuple(name for names in declared for name in names or ())  # type: ignore[attr-defined]
    return resolve


async def _each(call: Callable[..., Any], parents: Sequence[Any], info: Any, **arguments: Any) -> Sequence[Any]:
    """What `call` gives, awaited where it has to be: one value for each parent, or WrongNumberOfValues."""
    values = call(parents, info, **arguments)
    values = list(await values if inspect.isawaitable(values) else values)
    if len(values) != len(parents):
        raise WrongNumberOfValues(call, len(parents), len(values))
    return values
