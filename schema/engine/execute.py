"""Runs a plan, level by level: each field once, for all objects that it is selected of.

A result is built from the top: the dictionaries of a level are made with the values that are there at once, and
what has to be awaited is filled in later, by coroutines that run side by side. Failures are kept in the place of
their values; only when there are some, a second pass (`nulls.py`) looks at the whole result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, cast

import orjson
from graphql import ExecutionResult, GraphQLError
from graphql.pyutils import Path, is_iterable

from schema.engine import internals
from schema.engine.levels import WrongNumberOfValues
from schema.engine.nulls import Failure, Settling
from schema.engine.plan import AnyOf, Field, Kind, Leaf, Many, One, Output, Plan, Selection
from schema.engine.values import (
    LISTS,
    NULLS,
    HasToWait,
    Trait,
    arrived,
    attempt,
    close_unbegun,
    cut,
    gathered,
    mapped,
    placed,
    trait,
    within,
)

# That JSON takes for one character: a control character is a backslash, a u, and four digits.
MOST_BYTES = 6
# What may be as long as it likes.
LONG = frozenset((str, dict, list, tuple))

# Fields, and the values that have to be awaited for each.
Pending = list[tuple["_Run", Any]]
Result = dict[str, Any]


class Execution:
    """One operation of one request."""

    def __init__(self, executor: internals.Executor) -> None:
        self._executor = executor
        self._failed = False
        # Which type the objects of interfaces and unions are of, by the identity of results that are held.
        self._runtime_types: dict[int, Selection] = {}
        # Bytes of the longest text in the result, at most.
        self._longest_text = 0

    async def run(self, plan: Plan) -> ExecutionResult:
        """The operation's data and errors."""
        try:
            return await (self._in_series(plan.root) if plan.serial else self._at_once(plan.root))
        finally:
            internals.let_go(self._executor)

    async def _at_once(self, root: Selection) -> ExecutionResult:
        return self._settled(root, await self._selected(root))

    async def _in_series(self, root: Selection) -> ExecutionResult:
        """One root field after the other, up to one whose failure leaves no data."""
        data: Result = {}
        for field in root.fields:
            data |= await self._selected(Selection(root.type, [field]))
            if self._failed and (settled := self._settled(root, data)).data is None:
                return settled
        return self._settled(root, data)

    async def _selected(self, root: Selection) -> Result:
        pending: Pending = []
        try:
            [data] = self._select(root, [self._executor.root_value], None, pending)
        except BaseException:
            close_unbegun(pending)
            raise
        await self._together(pending)
        return data

    def _settled(self, root: Selection, data: Result) -> ExecutionResult:
        if not self._failed:
            return Outcome(data, None, self._longest_text)
        settling = Settling(self._runtime_types)
        settled = settling.root(root, data)
        return Outcome(settled, settling.errors or None, self._longest_text)

    def _select(self, selection: Selection, objects: list[Any], path: Path | None, pending: Pending) -> list[Result]:
        """One result for each object. Those of the fields in `pending` are complete once that was awaited."""
        if not objects:
            return []
        columns: list[Sequence[Any]] = []
        # What is pending holds this list: it is filled below, and stays the same one.
        results: list[Result] = []
        for field in selection.fields:
            run = _Run(field, Path(path, field.key, selection.type.name), results)
            try:
                columns.append(self._complete(run, field.output, self._resolve(run, objects), pending))
            except HasToWait as has_to_wait:
                columns.append([None] * len(objects))
                pending.append((run, has_to_wait.values))
        results += selection.assemble(*columns) if columns else [{} for _ in objects]
        return results

    async def _together(self, pending: Pending) -> None:
        """Await all, side by side."""
        if pending:
            await gathered(self._later, pending)

    async def _later(self, waiting: tuple[_Run, Any]) -> None:
        """Put the field's values, once they are there, into the results of its level."""
        run, values = waiting
        field, results, pending = run.field, run.results, Pending()
        try:
            if type(values) not in LISTS:
                values = _counted(field, await values, len(results))
            column = await self._complete_arrived(run, values, pending)
        except Exception as error:  # noqa: BLE001  (it belongs to the field)
            column = [self._failure(error)] * len(results)
        key = field.key
        for result, value in zip(results, column, strict=True):
            result[key] = value
        await self._together(pending)

    async def _complete_arrived(self, run: _Run, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """The completed values, awaited as often as there is something to await in what has arrived."""
        while True:
            try:
                return self._complete(run, run.field.output, values, pending)
            except HasToWait as has_to_wait:
                values = has_to_wait.values
            values = await gathered(arrived, values)

    def _resolve(self, run: _Run, objects: list[Any]) -> Any:
        """One value for each object, an exception where there is none; or something to await that gives them."""
        field = run.field
        if field.kind is Kind.ATTRIBUTE:
            return mapped(field.resolve, objects) or [attempt(field.resolve, each) for each in objects]
        if field.kind is Kind.TYPENAME:
            return [field.parent_type.name] * len(objects)
        info = run.info(self._executor)
        if field.kind is Kind.EACH:
            return [attempt(internals.call_each, self._executor, field, each, info) for each in objects]
        try:
            values = internals.call_batch(self._executor, field, objects, info)
            return values if trait(type(values)) is Trait.WAITS else _counted(field, values, len(objects))
        except Exception as error:  # noqa: BLE001  (it belongs to the field)
            return [error] * len(objects)

    def _complete(self, run: _Run, output: Output, values: Any, pending: Pending) -> Sequence[Any]:
        """The values as they stand in a result; a Failure where there is none and it may not be null.

        Raises HasToWait when they are not all there yet: then nothing has happened, no resolver below was called and
        nothing is pending, and the same is done again with the values that have been awaited.
        """
        if type(values) not in LISTS:
            raise HasToWait(values)
        types = set(map(type, values))
        if isinstance(output, Leaf) and types <= output.plain and within(output.bounds, values):
            if output.is_open and not types.isdisjoint(LONG):
                self._measure(values)
            return cast("Sequence[Any]", values)
        traits = set(map(trait, types))
        if Trait.WAITS in traits:
            raise HasToWait(values)
        if traits <= {Trait.USUAL}:
            return self._complete_present(run, output, values, pending)
        places = [place for place, value in enumerate(values) if trait(type(value)) is Trait.USUAL]
        try:
            present = self._complete_present(run, output, [values[place] for place in places], pending)
        except HasToWait as has_to_wait:
            raise HasToWait(placed(values, places, has_to_wait.values)) from None
        completed = placed(values, places, present)
        for place, value in enumerate(values):
            if trait(type(value)) is Trait.ERROR:
                completed[place] = self._failure(value)
            elif trait(type(value)) is Trait.NULL:
                completed[place] = None if output.nullable else self._failure(_null_error(run.field))
        return completed

    def _complete_present(self, run: _Run, output: Output, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """The same for values of which none is null, failed or awaited."""
        if isinstance(output, Leaf):
            column = self._leaves(output, values)
            if output.is_open:
                self._measure(column)
            return column
        if isinstance(output, Many):
            return self._lists(run, output, values, pending)
        if isinstance(output, One):
            return self._objects(run, output, values, pending)
        return self._objects_of_any(run, output, values, pending)

    def _leaves(self, output: Leaf, values: Sequence[Any]) -> list[Any]:
        """All at once; one by one, with what is to be said of each, when something is wrong with any."""
        swift = output.swift.get(type(values[0])) if values else None
        if swift is not None and len(set(map(type, values))) == 1 and (column := mapped(swift, values)) is not None:
            return column
        column = mapped(output.coerce, values)
        if column is not None and NULLS.isdisjoint(map(type, column)):
            return column
        return [self._leaf(output, value) for value in values]

    def _leaf(self, output: Leaf, value: Any) -> Any:
        try:
            return output.complete(value)
        except Exception as error:  # noqa: BLE001  (it belongs to this value)
            return self._failure(error)

    def _measure(self, column: Sequence[Any]) -> None:
        """Keep in mind how many bytes the longest text of the column may have in JSON. Of a structure nobody knows.

        Whoever writes the answer knows by it, without looking at each value, that it cannot become too large.
        """
        try:
            text = "".join(column)
        except TypeError:
            if any(isinstance(value, dict | list | tuple) for value in column):
                self._longest_text = sys.maxsize
            return self._measure([value for value in column if issubclass(type(value), str)])
        longest = max(map(len, column), default=0)
        if MOST_BYTES * longest <= self._longest_text:
            return None
        # What all texts of the column take beyond their characters might be the longest one's.
        self._longest_text = max(self._longest_text, min(longest + _escapes(text), longest * MOST_BYTES))
        return None

    def _lists(self, run: _Run, output: Many, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """All items of all lists are one level."""
        lists = [value if type(value) in LISTS else attempt(_listed, run.field, value) for value in values]
        items = list(chain.from_iterable(each for each in lists if not isinstance(each, Exception)))
        try:
            completed = self._complete(run, output.of, items, pending)
        except HasToWait as has_to_wait:
            raise HasToWait(cut(has_to_wait.values, lists)) from None
        return [self._failure(each) if isinstance(each, Exception) else each for each in cut(completed, lists)]

    def _objects(self, run: _Run, output: One, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """Objects that occur more than once are resolved once, and their result occurs as often as they do."""
        if output.accepts is not None:
            checked = self._accepted(run, output, values)
            if checked is not values:
                return self._complete(run, output, checked, pending)  # once more, without those refused
        selection = output.selection
        if not selection.shareable:
            return self._select(selection, list(values), run.path, pending)
        unique = dict(zip(map(id, values), values, strict=True))
        results = self._select(selection, list(unique.values()), run.path, pending)
        if len(unique) == len(values):
            return results
        by_identity = dict(zip(unique, results, strict=True))
        return [by_identity[id(value)] for value in values]

    def _accepted(self, run: _Run, output: One, values: Sequence[Any]) -> Sequence[Any]:
        """`values` itself, or with an error in the place of each that is not of the type that it should be of."""
        accepts, info = cast("Callable[..., Any]", output.accepts), run.info(self._executor)
        one_of_each = dict(zip(map(type, values), values, strict=True))
        if getattr(accepts, "by_class", False) and all(
            attempt(accepts, value, info) is True for value in one_of_each.values()
        ):
            return values
        checked: list[Any] = []
        for value in values:
            accepted = attempt(accepts, value, info)
            if not accepted:
                accepted = internals.not_of_type(output.selection.type, value, run.field.nodes)
            checked.append(accepted if isinstance(accepted, Exception) else value)
        return checked if any(isinstance(value, Exception) for value in checked) else values

    def _objects_of_any(self, run: _Run, output: AnyOf, values: Sequence[Any], pending: Pending) -> Sequence[Any]:
        """Objects grouped by their runtime type: each group is one level."""
        info = run.info(self._executor)
        completed: list[Any] = [None] * len(values)
        groups: dict[str, list[int]] = {}
        for place, value in enumerate(values):
            try:
                groups.setdefault(output.type_of(value, info).name, []).append(place)
            except Exception as error:  # noqa: BLE001  (it belongs to this value)
                completed[place] = self._failure(error)
        for name, places in groups.items():
            one = output.types[name]
            results = self._complete(run, one, [values[place] for place in places], pending)
            for place, result in zip(places, results, strict=True):
                completed[place] = result
                if type(result) is dict:
                    self._runtime_types[id(result)] = one.selection
        return completed

    def _failure(self, error: Exception) -> Failure:
        self._failed = True
        return Failure(error)


class Outcome(ExecutionResult):
    """A result that knows how many bytes the longest text in it has in JSON, at most."""

    __slots__ = ("longest_text",)

    def __init__(self, data: Result | None, errors: list[GraphQLError] | None, longest_text: int) -> None:
        super().__init__(data, errors)
        self.longest_text = longest_text


class _Run:
    """One field of a selection, resolved once for all of its objects."""

    __slots__ = ("_info", "field", "path", "results")

    def __init__(self, field: Field, path: Path, results: list[Result]) -> None:
        self.field = field
        self.path = path
        self.results = results
        self._info: Any = None

    def info(self, executor: internals.Executor) -> Any:
        if self._info is None:
            self._info = internals.level_info(executor, self.field, self.path)
        return self._info


def _counted(field: Field, values: Any, parents: int) -> Sequence[Any]:
    """The values of a batch resolver, of which there has to be one for each parent."""
    counted: Sequence[Any] = values if type(values) in LISTS else list(values)
    if len(counted) != parents:
        close_unbegun(counted)
        raise WrongNumberOfValues(field.resolve, parents, len(counted))
    return counted


def _escapes(text: str) -> int:
    """How many more bytes than characters the text has in JSON. orjson counts them sixty times as fast as Python."""
    try:
        return len(orjson.dumps(text)) - len('""') - len(text)
    except orjson.JSONEncodeError:  # half a surrogate pair
        return sys.maxsize


def _listed(field: Field, value: Any) -> Any:
    if not is_iterable(value):
        place = f"{field.parent_type}.{field.name}"
        return GraphQLError(f"Expected Iterable, but did not find one for field '{place}'.")
    return list(value)


def _null_error(field: Field) -> TypeError:
    return TypeError(f"Cannot return null for non-nullable field {field.parent_type}.{field.name}.")
