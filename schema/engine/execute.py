"""Runs a plan, level by level: each field once, for all objects that it is selected of.

A result is built from the top: the dictionaries of a level are made with the values that are there at once, and
what has to be awaited is filled in later, by coroutines that run side by side. Failures are kept in the place of
their values; only when there are some, a second pass (`nulls.py`) looks at the whole result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain
from typing import Any, cast

from graphql import ExecutionResult, GraphQLError, Undefined
from graphql.pyutils import Path, is_iterable

from schema.engine import internals
from schema.engine.levels import WrongNumberOfValues
from schema.engine.nulls import Failure, Settling
from schema.engine.plan import AnyOf, Field, Kind, Leaf, Many, One, Output, Plan, Selection

Pending = list[Coroutine[Any, Any, None]]
LISTS = frozenset((list, tuple))
NULLS = frozenset((type(None), type(Undefined)))


class Execution:
    """One operation of one request."""

    def __init__(self, executor: internals.Executor) -> None:
        self._executor = executor
        self._failed = False
        # Which type the objects of interfaces and unions are of, by the identity of results that are held.
        self._runtime_types: dict[int, Selection] = {}

    async def run(self, plan: Plan) -> ExecutionResult:
        """The operation's data and errors."""
        if plan.serial:
            return await self._in_series(plan.root)
        pending: Pending = []
        [data] = self._select(plan.root, [self._executor.root_value], None, pending)
        await _together(pending)
        return self._settled(plan.root, data)

    async def _in_series(self, root: Selection) -> ExecutionResult:
        """One root field after the other, up to one whose failure leaves no data."""
        data: dict[str, Any] = {}
        for field in root.fields:
            pending: Pending = []
            [result] = self._select(Selection(root.type, [field]), [self._executor.root_value], None, pending)
            await _together(pending)
            data |= result
            if self._failed and (settled := self._settled(root, data)).data is None:
                return settled
        return self._settled(root, data)

    def _settled(self, root: Selection, data: dict[str, Any]) -> ExecutionResult:
        if not self._failed:
            return ExecutionResult(data, None)
        settling = Settling(self._runtime_types)
        settled = settling.root(root, data)
        return ExecutionResult(settled, settling.errors or None)

    def _select(
        self, selection: Selection, objects: list[Any], path: Path | None, pending: Pending
    ) -> list[dict[str, Any]]:
        """One result for each object. Those of the fields in `pending` are complete once that was awaited."""
        columns: list[Sequence[Any]] = []
        waiting: Pending = []
        results: list[dict[str, Any]] = []
        for field in selection.fields:
            level = _Level(field, Path(path, field.key, selection.type.name), results)
            values = self._resolve(level, objects)
            if type(values) not in LISTS or _has_to_wait(field.output, values):
                columns.append([None] * len(objects))
                waiting.append(self._later(level, values))
            else:
                columns.append(self._complete(level, field.output, values, pending))
        keys = selection.keys
        results.extend(dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True))
        if not keys:  # every field was skipped
            results.extend({} for _ in objects)
        pending.extend(waiting)
        return results

    async def _later(self, level: _Level, values: Any) -> None:
        """Put the field's values, once they are there, into the results of its level."""
        field = level.field
        try:
            if type(values) not in LISTS:
                values = _counted(field, await values, len(level.results))
            if _has_to_wait(field.output, values):
                values = await _gathered([_arrived(value) for value in values])
        except Exception as error:  # noqa: BLE001  (it belongs to the field)
            values = [error] * len(level.results)
        pending: Pending = []
        for result, value in zip(level.results, self._complete(level, field.output, values, pending), strict=True):
            result[field.key] = value
        await _together(pending)

    def _resolve(self, level: _Level, objects: list[Any]) -> Any:
        """One value for each object, an exception where there is none; or something to await that gives them."""
        field = level.field
        if field.kind is Kind.ATTRIBUTE:
            try:
                return list(map(field.resolve, objects))
            except Exception:  # noqa: BLE001  (one failed: which one?)
                return [_attempt(field.resolve, each) for each in objects]
        if field.kind is Kind.TYPENAME:
            return [field.parent_type.name] * len(objects)
        info = level.info(self._executor)
        try:
            if field.kind is Kind.BATCH:
                values = internals.call_batch(self._executor, field, objects, info)
                return values if hasattr(values, "__await__") else _counted(field, values, len(objects))
            arguments = internals.arguments(self._executor, field)
        except Exception as error:  # noqa: BLE001  (it belongs to the field)
            return [error] * len(objects)
        return [_attempt(field.resolve, each, info, **arguments) for each in objects]

    def _complete(self, level: _Level, output: Output, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """The values as they stand in a result; a Failure where there is none and none can be left out."""
        kinds = set(map(type, values))
        if isinstance(output, Leaf) and kinds <= output.plain:
            return values
        if not any(issubclass(kind, Exception) for kind in kinds) and not kinds & NULLS:
            return self._complete_present(level, output, values, pending)
        completed: list[Any] = [None] * len(values)
        places, present = [], []
        for place, value in enumerate(values):
            if isinstance(value, Exception):
                completed[place] = self._failure(value)
            elif value is not None and value is not Undefined:
                places.append(place)
                present.append(value)
            elif not output.nullable:
                completed[place] = self._failure(_null_error(level.field))
        for place, value in zip(places, self._complete_present(level, output, present, pending), strict=True):
            completed[place] = value
        return completed

    def _complete_present(
        self, level: _Level, output: Output, values: Sequence[Any], pending: Pending
    ) -> Sequence[Any]:
        """The same for values of which none is null or failed."""
        if isinstance(output, Leaf):
            return [self._leaf(output, value) for value in values]
        if isinstance(output, Many):
            return self._lists(level, output, values, pending)
        if isinstance(output, One):
            return self._objects(level, output, values, pending)
        return self._objects_of_any(level, output, values, pending)

    def _leaf(self, output: Leaf, value: Any) -> Any:
        try:
            return output.coerce(value)
        except Exception as error:  # noqa: BLE001  (it belongs to this value)
            return self._failure(error)

    def _lists(self, level: _Level, output: Many, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """All items of all lists are one level."""
        lists = [value if type(value) in LISTS else _listed(level.field, value) for value in values]
        items = list(chain.from_iterable(each for each in lists if not isinstance(each, Exception)))
        completed = self._complete(level, output.of, items, pending)
        result: list[Any] = []
        start = 0
        for each in lists:
            if isinstance(each, Exception):
                result.append(self._failure(each))
            else:
                result.append(list(completed[start : start + len(each)]))
                start += len(each)
        return result

    def _objects(self, level: _Level, output: One, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """Objects that occur more than once are resolved once, and their result occurs as often as they do."""
        if output.accepts is not None:
            checked = self._accepted(level, output, values)
            if any(value is not original for value, original in zip(checked, values, strict=True)):
                return self._complete(level, output, checked, pending)  # once more, without those refused
        selection = output.selection
        if not selection.shareable:
            return self._select(selection, list(values), level.path, pending)
        unique = dict(zip(map(id, values), values, strict=True))
        results = self._select(selection, list(unique.values()), level.path, pending)
        if len(unique) == len(values):
            return results
        by_identity = dict(zip(unique, results, strict=True))
        return [by_identity[id(value)] for value in values]

    def _accepted(self, level: _Level, output: One, values: Sequence[Any]) -> list[Any]:
        """The values, and an error in the place of each that is not of the type that it should be of."""
        accepts, info = cast("Callable[..., Any]", output.accepts), level.info(self._executor)
        one_of_each = {type(value): value for value in values}
        if getattr(accepts, "by_class", False) and all(accepts(value, info) is True for value in one_of_each.values()):
            return list(values)
        checked = []
        for value in values:
            accepted = _attempt(accepts, value, info)
            if not accepted:
                accepted = internals.not_of_type(output.selection.type, value, level.field.nodes)
            checked.append(accepted if isinstance(accepted, Exception) else value)
        return checked

    def _objects_of_any(self, level: _Level, output: AnyOf, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """Objects grouped by their runtime type: each group is one level."""
        info = level.info(self._executor)
        completed: list[Any] = [None] * len(values)
        groups: dict[str, list[int]] = {}
        for place, value in enumerate(values):
            try:
                groups.setdefault(output.type_of(value, info).name, []).append(place)
            except Exception as error:  # noqa: BLE001  (it belongs to this value)
                completed[place] = self._failure(error)
        for name, places in groups.items():
            one = output.types[name]
            results = self._complete(level, one, [values[place] for place in places], pending)
            for place, result in zip(places, results, strict=True):
                completed[place] = result
                if type(result) is dict:
                    self._runtime_types[id(result)] = one.selection
        return completed

    def _failure(self, error: Exception) -> Failure:
        self._failed = True
        return Failure(error)


class _Level:
    """One field of a selection, for all of its objects."""

    __slots__ = ("_info", "field", "path", "results")

    def __init__(self, field: Field, path: Path, results: list[dict[str, Any]]) -> None:
        self.field = field
        self.path = path
        self.results = results
        self._info: Any = None

    def info(self, executor: internals.Executor) -> Any:
        if self._info is None:
            self._info = internals.level_info(executor, self.field, self.path)
        return self._info


async def _together(pending: Pending) -> None:
    """Await all, side by side."""
    if len(pending) == 1:
        await pending[0]
    elif pending:
        await _gathered(pending)


async def _gathered(coroutines: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """What they give. None of them is left running, whatever becomes of the others or of the request."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  (it takes the place of the value)
        return error


def _counted(field: Field, values: Any, parents: int) -> Sequence[Any]:
    """The values of a batch resolver, of which there has to be one for each parent."""
    counted: Sequence[Any] = values if type(values) in LISTS else list(values)
    if len(counted) != parents:
        raise WrongNumberOfValues(field.resolve, parents, len(counted))
    return counted


def _has_to_wait(output: Output, values: Sequence[Any]) -> bool:
    """Whether there is anything among the values, or in lists of them, that has to be awaited."""
    while True:
        kinds = set(map(type, values))
        if any(hasattr(kind, "__await__") or hasattr(kind, "__aiter__") for kind in kinds):
            return True
        if not isinstance(output, Many):
            return False
        output, values = output.of, list(chain.from_iterable(value for value in values if type(value) in LISTS))


async def _arrived(value: Any) -> Any:
    """The value, awaited where it has to be, and its items; an exception in the place of what failed."""
    try:
        if hasattr(type(value), "__await__"):
            value = await value
        if hasattr(type(value), "__aiter__"):
            value = [each async for each in value]
    except Exception as error:  # noqa: BLE001  (it takes the place of the value)
        return error
    if type(value) in LISTS:
        return await _gathered([_arrived(each) for each in value])
    return value


def _listed(field: Field, value: Any) -> Any:
    if not is_iterable(value):
        place = f"{field.parent_type}.{field.name}"
        return GraphQLError(f"Expected Iterable, but did not find one for field '{place}'.")
    return _attempt(list, value)


def _null_error(field: Field) -> TypeError:
    return TypeError(f"Cannot return null for non-nullable field {field.parent_type}.{field.name}.")
