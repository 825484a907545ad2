"""The second pass over a result in which something failed: errors get their places, and nulls spread upwards.

https://spec.graphql.org/October2021/#sec-Handling-Field-Errors
"""

from __future__ import annotations

from typing import Any

from graphql import FieldNode, GraphQLError, located_error

from schema.engine.plan import Field, Leaf, Many, One, Output, Selection


class Failure:
    """Stands in a result where a value could not be had."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Nulled(Exception):
    """A position that cannot be null has failed: the one around it is null, if it can be."""


class Settling:
    """Turns results with failures into data and `errors`. Results are copied: an object may occur in many places."""

    def __init__(self, runtime_types: dict[int, Selection]) -> None:
        self.errors: list[GraphQLError] = []
        self._runtime_types = runtime_types
        # A field's place in the document, which graphql-core looks for from the document's beginning.
        self._places: dict[int, GraphQLError] = {}

    def root(self, selection: Selection, result: dict[str, Any]) -> dict[str, Any] | None:
        """The operation's data; None when the failure of a field reached the top."""
        try:
            return self._object(selection, result, ())
        except _Nulled:
            del self.errors[:-1]
            return None

    def _object(self, selection: Selection, result: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
        return {
            field.key: self._value(field, field.output, result[field.key], (*path, field.key))
            for field in selection.fields
            if field.key in result
        }

    def _value(self, field: Field, output: Output, value: Any, path: tuple[Any, ...]) -> Any:
        known = len(self.errors)
        try:
            return self._inner(field, output, value, path)
        except _Nulled:
            # Whatever else failed in here lies under the position that is nulled now.
            del self.errors[known:-1]
            if output.nullable:
                return None
            raise

    def _inner(self, field: Field, output: Output, value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, Failure):
            self._add(value.error, field.nodes, path)
            raise _Nulled
        if value is None or isinstance(output, Leaf):
            return value
        if isinstance(output, Many):
            return [self._value(field, output.of, item, (*path, index)) for index, item in enumerate(value)]
        selection = output.selection if isinstance(output, One) else self._runtime_types[id(value)]
        return self._object(selection, value, path)

    def _add(self, error: Exception, nodes: list[FieldNode], path: tuple[Any, ...]) -> None:
        located = located_error(error, None, list(path))
        if located is not error and located.locations is None:
            if id(nodes) not in self._places:
                self._places[id(nodes)] = GraphQLError("", nodes)
            place = self._places[id(nodes)]
            located.nodes, located.source = place.nodes, place.source
            located.positions, located.locations = place.positions, place.locations
        self.errors.append(located)
