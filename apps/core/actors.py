"""Background work, as the slices' `tasks.py` declare it. Dramatiq runs it; only the outbox sends it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, cast

import dramatiq

from apps.core import inbox
from apps.core.db import connection_scope

P = ParamSpec("P")

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
# Of every actor that says nothing else; milliseconds. With twenty retries a message is given up after some eight hours;
# sooner, when it was due three days ago and nobody has been there to do it.
OPTIONS: dict[str, Any] = {
    "max_retries": 20,
    "min_backoff": 1_000,
    "max_backoff": 60 * MINUTE,
    "time_limit": MINUTE,
    "max_age": 3 * DAY,
}


class Actor(Generic[P]):
    """What `actor` makes. It has no `send`: `outbox.send(actor, …)` is the only way to the worker."""

    def __init__(self, declared: dramatiq.Actor[P, Any]) -> None:
        self._declared = declared

    @property
    def name(self) -> str:
        return self._declared.actor_name

    def message(self, *args: P.args, **kwargs: P.kwargs) -> dramatiq.Message[Any]:
        """The message that asks for a call with these arguments."""
        return self._declared.message(*args, **kwargs)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Do it here and now."""
        return self._declared.fn(*args, **kwargs)


def actor(*, once: bool = False, **options: Any) -> Callable[[Callable[P, Awaitable[None] | None]], Actor[P]]:
    """Have the worker run the decorated function, sync or async, when the outbox sends its arguments: at least once.

    `options` are Dramatiq's, beside OPTIONS. What it raises is logged, and it is tried again after a while, which
    doubles each time and varies; then it becomes a dead letter. At its time limit TimeLimitExceeded is raised in it, as
    soon as its thread runs Python again: what waits for a network needs a timeout of its own.

    Every broker may deliver a message again. Where that would do harm, `once` runs the function in a transaction that
    also notes the message: what it writes to the database it then writes once, and what else it does, it does again
    only when the process ends between that and the commit. Raises TypeError for an async function: no transaction is
    open across an `await`.
    """

    def declare(function: Callable[P, Awaitable[None] | None]) -> Actor[P]:
        run: Callable[P, Any] = function
        if inspect.iscoroutinefunction(function):
            if once:
                raise TypeError("An async actor cannot be done once: it has no transaction.")
            run = _in_a_scope(function)
        elif once:
            run = inbox.once(cast("Callable[P, None]", function))
        return Actor(dramatiq.actor(run, **OPTIONS | options))

    return declare


def _in_a_scope(function: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """`function` with a thread and a connection of its own for its ORM work: one that was dropped is replaced."""

    @functools.wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async with connection_scope():
            await function(*args, **kwargs)

    return run
