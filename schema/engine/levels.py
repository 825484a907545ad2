"""Gathers the parents of a level again, for an executor that resolves object by object."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

LevelKey = tuple[object, ...]


class WrongNumberOfValues(RuntimeError):
    """A batch resolver did not give one value for each parent."""

    def __init__(self, resolver: Callable[..., Any], parents: int, values: int) -> None:
        name = getattr(resolver, "__qualname__", repr(resolver))
        super().__init__(f"{name} gave {values} values for {parents} parents")


@dataclass(slots=True)
class _Gathering:
    """The parents of a level that have come so far, and who waits for their values."""

    info: Any
    arguments: dict[str, Any]
    parents: list[Any] = field(default_factory=list)
    futures: list[asyncio.Future[Any]] = field(default_factory=list)


class Levels:
    """Collects calls of one field in one turn of the event loop, and resolves them with one call. One per request.

    Parents belong to one level when their response paths differ in list indices only, through the same types: then
    their field nodes and arguments are the same by construction. Each future stands beside its parent, so that the
    identity of an object is never a key.
    """

    def __init__(self) -> None:
        self._open: dict[LevelKey, _Gathering] = {}
        self._running: set[asyncio.Task[None]] = set()

    def load(
        self,
        resolver: Callable[..., Awaitable[Sequence[Any]]],
        parent: Any,
        info: Any,
        arguments: dict[str, Any],
    ) -> asyncio.Future[Any]:
        """The future value of `resolver` for `parent`."""
        loop = asyncio.get_running_loop()
        key = (resolver, *_steps(info.path))
        level = self._open.get(key)
        if level is None:
            level = self._open[key] = _Gathering(info, arguments)
            loop.call_soon(self._start, key, resolver)
        future: asyncio.Future[Any] = loop.create_future()
        level.parents.append(parent)
        level.futures.append(future)
        return future

    def close(self) -> None:
        """Cancel what still runs: the operation has ended, and nobody waits for it any more."""
        self._open.clear()
        for task in self._running:
            task.cancel()

    def _start(self, key: LevelKey, resolver: Callable[..., Awaitable[Sequence[Any]]]) -> None:
        level = self._open.pop(key, None)
        if level is None:
            return
        task = asyncio.ensure_future(_resolve(resolver, level))
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def _steps(path: Any) -> Iterator[tuple[str, str | None]]:
    while path is not None:
        if isinstance(path.key, str):
            yield path.key, path.typename
        path = path.prev


async def _resolve(resolver: Callable[..., Awaitable[Sequence[Any]]], level: _Gathering) -> None:
    try:
        values = list(await resolver(level.parents, level.info, **level.arguments))
        if len(values) != len(level.parents):
            raise WrongNumberOfValues(resolver, len(level.parents), len(values))
    except asyncio.CancelledError:
        for future in level.futures:
            future.cancel()
        raise
    except Exception as error:  # noqa: BLE001  (it belongs to whoever awaits the values)
        values = [error] * len(level.parents)
    for future, value in zip(level.futures, values, strict=True):
        if future.done():
            continue
        if isinstance(value, StopIteration):  # no future takes one
            future.set_exception(RuntimeError(f"a batch resolver gave {value!r}"))
        elif isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)
