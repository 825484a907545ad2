"""`batch_field`: a field that is resolved once for all objects of a level.

A batch resolver takes a list of parents and gives a list of values, one for each parent and in their order. A value
may be an exception, which then fails that parent's field alone. What reads rows is a coroutine function:

    async def authors(posts: Sequence[Post], info: Info) -> list[User | None]: ...

    class PostType:
        author: UserType = batch_field(authors, description="Who wrote it.")

Under graphql-core, which resolves object by object, `Levels` gathers the parents of a level again for coroutine
functions. A plain function, for what needs no I/O, gets one parent at a time there: that is cheaper than gathering.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import strawberry
from strawberry.types.field import StrawberryField

from schema.engine.levels import Levels, WrongNumberOfValues
from schema.engine.permissions import Permission, guarded

BatchResolver = Callable[..., Any]


class BatchField(StrawberryField):
    """A Strawberry field that knows its batch resolver. Made by `batch_field`."""

    @property
    def batch_resolver(self) -> BatchResolver:
        # Strawberry copies the fields of generic types: what it copies is the resolver.
        resolver: BatchResolver = self.base_resolver.wrapped_func.batch_resolver  # type: ignore[union-attr]
        return resolver


def batch_field(
    resolver: BatchResolver,
    *,
    description: str,
    deprecation_reason: str | None = None,
    permissions: Sequence[Permission] = (),
) -> Any:
    """A field for a type's class body, typed by its annotation there and resolved by `resolver`.

    `resolver(parents, info, **arguments)` is a coroutine function, which gets all parents of a level, or a plain one,
    which must not wait for anything. The parameters after `info` become the field's arguments. Parents that one of
    `permissions` refuses never reach it.
    """
    if permissions:
        resolver = guarded(resolver, permissions)
    field = BatchField(
        python_name=None,
        description=description,
        deprecation_reason=deprecation_reason,
        base_resolver=None,
    )
    return field(_one_by_one(resolver))


def _one_by_one(resolver: BatchResolver) -> Callable[..., Any]:
    """The resolver for one parent that an executor without levels calls."""
    parameters = list(inspect.signature(resolver).parameters.values())
    arguments = parameters[2:]

    if inspect.iscoroutinefunction(resolver):

        def resolve(root: Any, info: strawberry.Info[Any, Any], **kwargs: Any) -> Any:
            levels: Levels | None = getattr(info.context, "levels", None)
            if levels is None:
                raise RuntimeError("On graphql-core, batch fields need a Levels() as info.context.levels.")
            return levels.load(resolver, root, info, kwargs)

    else:

        def resolve(root: Any, info: strawberry.Info[Any, Any], **kwargs: Any) -> Any:
            values = list(resolver([root], info, **kwargs))
            if len(values) != 1:
                raise WrongNumberOfValues(resolver, 1, len(values))
            if isinstance(values[0], Exception):
                raise values[0]
            return values[0]

    resolve.batch_resolver = resolver  # type: ignore[attr-defined]
    # Strawberry reads names, arguments and types off the signature, and looks annotations up in the module.
    resolve.__name__ = getattr(resolver, "__name__", "resolve")
    resolve.__module__ = resolver.__module__
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = [
        inspect.Parameter("root", keyword, annotation=Any),
        inspect.Parameter("info", keyword, annotation=strawberry.Info),
        *arguments,
    ]
    resolve.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    resolve.__annotations__ = {parameter.name: parameter.annotation for parameter in signature}
    return resolve


def live_field(opener: Callable[..., Any], *, description: str) -> Any:
    """A field of the Subscription type. `await opener(info, **arguments)` gives whatever it wants to be told of.

    That is done once, at the start. The parameters of `opener` after `info` become the field's arguments; what it
    raises keeps the subscription from beginning. For each event the operation is executed with the event's row as
    root, and that is the field's value.
    """

    def event(roots: Sequence[Any], info: Any, **arguments: Any) -> list[Any]:
        return list(roots)

    async def opening(roots: Sequence[Any], info: Any, **arguments: Any) -> Any:
        return await opener(info, **arguments)

    event.opening = opening  # type: ignore[attr-defined]
    event.__name__, event.__module__ = getattr(opener, "__name__", "event"), opener.__module__
    given = list(inspect.signature(opener).parameters.values())[1:]
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parents = [inspect.Parameter(name, keyword) for name in ("roots", "info")]
    event.__signature__ = inspect.Signature([*parents, *given])  # type: ignore[attr-defined]
    return batch_field(event, description=description)


R = TypeVar("R", bound=BatchResolver)


def reads(*attributes: str) -> Callable[[R], R]:
    """Says which attributes of its parents a batch resolver reads, so that no others have to be loaded.

    A resolver without it may read any.
    """

    def declare(resolver: R) -> R:
        resolver.reads = attributes  # type: ignore[attr-defined]
        return resolver

    return declare
