"""What an operation asks for, worked out once: fields collected, resolvers classified, arguments and leaves prepared.

A plan belongs to a document's operation and to the values of its Boolean variables, because only those can steer
@include and @skip. It holds parts of the document and of the schema, and nothing of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from typing import Any, TypeAlias

from graphql import FieldNode, GraphQLField, GraphQLObjectType

Attributes: TypeAlias = dict[str, frozenset[str] | None]


class Kind(Enum):
    """How a field gets its values."""

    TYPENAME = auto()
    ATTRIBUTE = auto()  # an attribute of the parent
    BATCH = auto()  # one call for all parents
    EACH = auto()  # one call for each parent


@dataclass(slots=True, eq=False)
class Leaf:
    """A scalar or an enum. Values of the types in `plain` are already what goes out.

    `bounds` are the least and the largest number that goes out. `is_open` when its values may be long texts.
    """

    nullable: bool
    coerce: Callable[[Any], Any]
    # The same with graphql-core's checks and messages.
    complete: Callable[[Any], Any]
    # By a value's very type: what gives the same as `coerce`, faster.
    swift: Mapping[type, Callable[[Any], Any]]
    plain: frozenset[type]
    bounds: tuple[int, int] | None
    is_open: bool


@dataclass(slots=True, eq=False)
class Many:
    """A list."""

    nullable: bool
    of: Output


@dataclass(slots=True, eq=False)
class One:
    """An object. `accepts` is the type's `is_type_of`, when it has one."""

    nullable: bool
    selection: Selection
    accepts: Callable[[Any, Any], Any] | None


@dataclass(slots=True, eq=False)
class AnyOf:
    """An interface or a union, with what is selected of each of its types."""

    nullable: bool
    type_of: Callable[[Any, Any], GraphQLObjectType]
    types: Mapping[str, One]


Output: TypeAlias = Leaf | Many | One | AnyOf


@dataclass(slots=True, eq=False)
class Field:
    """One response key of a selection: where its values come from, and what becomes of them."""

    key: str
    name: str
    kind: Kind
    nodes: list[FieldNode]
    parent_type: GraphQLObjectType
    definition: GraphQLField
    # Of an ATTRIBUTE: how it is read. Of the others: what is called.
    resolve: Callable[..., Any]
    attribute: str = ""
    strawberry_field: Any = None
    # Coerced in advance when they hold no variable and nothing that a resolver could change; None otherwise.
    arguments: dict[str, Any] | None = None
    # The same as Strawberry hands them to a resolver, once that was asked for.
    keywords: dict[str, Any] | None = None
    output: Output = field(init=False)
    # What is read of the objects that the field gives, down to the next fields that are not attributes.
    attributes: Attributes = field(init=False)

    @property
    def reads(self) -> frozenset[str] | None:
        """The attributes of its parents that it reads; None when nobody knows."""
        if self.kind is Kind.TYPENAME:
            return frozenset()
        if self.kind is Kind.ATTRIBUTE:
            return frozenset((self.attribute,))
        declared = getattr(self.resolve, "reads", None) if self.kind is Kind.BATCH else None
        return None if declared is None else frozenset(declared)


@dataclass(slots=True, eq=False)
class Selection:
    """What is selected of the objects of one type."""

    type: GraphQLObjectType
    fields: list[Field]
    # Makes the results of a level: a list of dictionaries, from a list of values for each field. Unset without fields.
    assemble: Callable[..., list[dict[str, Any]]] = field(init=False)
    # Whether an object that occurs twice need be resolved only once: no resolver is promised a call for each.
    shareable: bool = field(init=False)

    def __post_init__(self) -> None:
        if self.fields:
            self.assemble = _assembler(len(self.fields))(*(field.key for field in self.fields))
        self.shareable = all(field.kind is not Kind.EACH for field in self.fields)


@dataclass(slots=True, eq=False)
class Plan:
    """An operation's root selection, and how many fields all selections have, for the cache's bound."""

    root: Selection
    serial: bool
    field_count: int


@lru_cache(maxsize=100)
def _assembler(fields: int) -> Callable[..., Callable[..., list[dict[str, Any]]]]:
    """Makes of keys a function that makes dictionaries of columns: `{key0: value0, …}` for each of their rows.

    Written as code, a dictionary costs a third of what dict(zip(keys, row)) does. Nothing that a client has sent goes
    into it: only the number of fields.
    """
    places = range(fields)
    keys, columns, values = (", ".join(f"{name}{place}" for place in places) for name in "kcv")
    items = ", ".join(f"k{place}: v{place}" for place in places)
    code = f"lambda {keys}: lambda {columns}: [{{{items}}} for {values}, in zip({columns})]"
    make: Callable[..., Callable[..., list[dict[str, Any]]]] = eval(code, {})  # noqa: S307
    return make


def attributes_below(output: Output) -> Attributes:
    """By type name, the attributes that are read of the objects in `output`; None stands for any."""
    found: Attributes = {}
    for selection in _selections(output):
        _add(found, selection.type.name, frozenset())
        for selected in selection.fields:
            _add(found, selection.type.name, selected.reads)
            if selected.kind is Kind.ATTRIBUTE:
                for name, attributes in selected.attributes.items():
                    _add(found, name, attributes)
    return found


def _add(found: Attributes, name: str, attributes: frozenset[str] | None) -> None:
    known = found.get(name, frozenset())
    found[name] = None if known is None or attributes is None else known | attributes


def _selections(output: Output) -> Iterator[Selection]:
    while isinstance(output, Many):
        output = output.of
    if isinstance(output, One):
        yield output.selection
    elif isinstance(output, AnyOf):
        for one in output.types.values():
            yield one.selection
