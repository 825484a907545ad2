"""The Relay side of the schema: global ids, nodes, and keyset connections.

A keyset page starts behind a row's place in the order (its order key and its id), not behind a number of rows:
it costs the same on page 1,000 as on page 1, and rows that come or go meanwhile are neither skipped nor repeated.
"""

from __future__ import annotations

import asyncio
import inspect
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import orjson
import strawberry
from django.conf import settings
from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import Combinable

from apps.core.ids import global_id
from apps.core.text import is_storable
from schema.engine import batch_field, reads
from schema.errors import bad_input
from schema.scalars import moment

if TYPE_CHECKING:
    from schema.context import Info

M = TypeVar("M", bound=Model)
T = TypeVar("T")

MAX_KEY = 2**63 - 1
# Characters of a global id or cursor: far more than any has, so that a long one costs nothing to refuse.
MAX_OPAQUE = 5_000
DEFAULT_PAGE_SIZE = 20


def parse_global_id(value: str) -> tuple[str, int]:
    """The type and the key that `global_id` was given. Raises BAD_USER_INPUT for anything that it never made."""
    if len(value) > MAX_OPAQUE:
        raise bad_input("This is not an id of this API.")
    try:
        type_name, _, digits = b64decode(value, validate=True).decode().partition(":")
        key = int(digits)
    except ValueError:
        raise bad_input("This is not an id of this API.") from None
    if not 0 < key <= MAX_KEY or global_id(type_name, key) != value:
        raise bad_input("This is not an id of this API.")
    return type_name, key


def key_of(type_name: str, value: str) -> int:
    """The key in the global id `value`. Raises BAD_USER_INPUT unless it is the id of a `type_name`."""
    found, key = parse_global_id(value)
    if found != type_name:
        raise bad_input(f"This is the id of a {found}, not of a {type_name}.")
    return key


@dataclass(frozen=True, slots=True)
class Order:
    """An order of rows that a keyset can continue: by `expression`, then by id, both the same way.

    `expression` is never null, and an index on it and the id serves it. `kind` is the type of its values in Python.
    """

    name: str
    expression: str | Combinable
    kind: type
    descending: bool = True

    def read(self, cursor: str) -> tuple[Any, int]:
        """The order key and the id in `cursor`. Raises BAD_USER_INPUT unless this order made it."""
        if len(cursor) > MAX_OPAQUE:
            raise bad_input("This cursor is damaged.")
        try:
            name, value, key = orjson.loads(urlsafe_b64decode(cursor.encode("ascii")))
            if name == self.name and type(key) is int and 0 < key <= MAX_KEY:
                return self._value(value), key
        except (ValueError, TypeError):
            raise bad_input("This cursor is damaged.") from None
        raise bad_input("This cursor belongs to another list or another order.")

    def _value(self, value: Any) -> Any:
        """The order key that JSON carries as `value`. Raises ValueError or TypeError for what no row can have."""
        if self.kind is datetime:
            return moment(value)
        if self.kind is float and type(value) is int:
            return float(value)
        if type(value) is not self.kind or (isinstance(value, str) and not is_storable(value)):
            raise TypeError
        return value

    def cursor(self, row: Any) -> str:
        """The place of `row`, which `PageArgs.apply` has annotated with its `order_key`."""
        return urlsafe_b64encode(orjson.dumps([self.name, row.order_key, row.pk])).decode()


@dataclass(frozen=True, slots=True)
class PageArgs:
    """The checked arguments `first`, `after`, `last` and `before` of a connection."""

    size: int
    backward: bool
    after: str | None
    before: str | None

    @classmethod
    def parse(cls, first: int | None, after: str | None, last: int | None, before: str | None) -> PageArgs:
        """Raises BAD_USER_INPUT for both `first` and `last`, and for a size outside 1 to GRAPHQL_MAX_PAGE_SIZE."""
        if first is not None and last is not None:
            raise bad_input("Give `first` or `last`, not both.")
        name, size = ("last", last) if last is not None else ("first", first)
        if size is None:
            size = min(DEFAULT_PAGE_SIZE, settings.GRAPHQL_MAX_PAGE_SIZE)
        if not 1 <= size <= settings.GRAPHQL_MAX_PAGE_SIZE:
            raise bad_input(f"`{name}` must be between 1 and {settings.GRAPHQL_MAX_PAGE_SIZE}.")
        return cls(size, last is not None, after, before)

    @property
    def starts_the_list(self) -> bool:
        """Whether it is the first page, or the last: no cursor is given."""
        return self.after is None and self.before is None

    def apply(self, rows: QuerySet[M], order: Order, *, for_cursors: bool = True) -> QuerySet[M]:
        """`rows` within the cursors, in the order in which the page is read; `for_cursors` with their `order_key`."""
        expression = F(order.expression) if isinstance(order.expression, str) else order.expression
        within = Q()
        if self.after is not None:
            within &= _beyond(order, self.after, forward=True)
        if self.before is not None:
            within &= _beyond(order, self.before, forward=False)
        sign = "-" if order.descending != self.backward else ""
        place = rows.annotate if for_cursors else rows.alias
        placed = place(order_key=expression)
        return placed.filter(within).order_by(f"{sign}order_key", f"{sign}id")

    def cut(self, rows: list[M], order: Order, total: Callable[[], Awaitable[int]]) -> Page[M]:
        """The page in `rows`, of which one more than `size` was asked for, to see whether there is more.

        Beyond a cursor there is always more: at least the row that it was made for.
        """
        more, rows = len(rows) > self.size, rows[: self.size]
        after, before = self.after is not None, self.before is not None
        if self.backward:
            return Page(rows[::-1], order, before, more or after, total)
        return Page(rows, order, more or before, after, total)


def _beyond(order: Order, cursor: str, *, forward: bool) -> Q:
    """Rows behind `cursor` (or before it). The first condition alone is what an index can start from."""
    value, key = order.read(cursor)
    way = "lt" if order.descending == forward else "gt"
    tie = Q(order_key=value, **{f"id__{way}": key})
    return Q(**{f"order_key__{way}e": value}) & (Q(**{f"order_key__{way}": value}) | tie)


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more behind this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first edge; null on an empty page.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last edge; null on an empty page.")


@dataclass(slots=True)
class Page(Generic[M]):
    """A page of rows, and how to count the list that it is from. Resolves the fields of `Connection`."""

    nodes: list[M]
    order: Order
    has_next_page: bool
    has_previous_page: bool
    total: Callable[[], Awaitable[int]]

    @property
    def edges(self) -> list[PageEdge[M]]:
        return [PageEdge(node, self.order) for node in self.nodes]

    @property
    def page_info(self) -> PageInfo:
        return PageInfo(
            has_next_page=self.has_next_page,
            has_previous_page=self.has_previous_page,
            start_cursor=self.order.cursor(self.nodes[0]) if self.nodes else None,
            end_cursor=self.order.cursor(self.nodes[-1]) if self.nodes else None,
        )


@dataclass(slots=True)
class PageEdge(Generic[M]):
    node: M
    order: Order

    @property
    def cursor(self) -> str:
        return self.order.cursor(self.node)


@reads("total")
async def total_counts(pages: Sequence[Page[Any]], info: Info) -> list[int]:
    """One statement for all pages of a level."""
    return list(await asyncio.gather(*(page.total() for page in pages)))


NodeT = TypeVar("NodeT")


@strawberry.type(description="One row of a list, and its place in it.")
class Edge(Generic[NodeT]):
    cursor: str = strawberry.field(description="Pass it as `after` or `before` to read on from here.")
    node: NodeT = strawberry.field(description="The row itself.")


@strawberry.type(description="One page of a list.")
class Connection(Generic[NodeT]):
    edges: list[Edge[NodeT]] = strawberry.field(description="The rows of this page with their cursors.")
    nodes: list[NodeT] = strawberry.field(description="The rows of this page, for clients that need no cursors.")
    page_info: PageInfo = strawberry.field(description="Where this page stands in the list.")
    total_count: int = batch_field(
        total_counts,
        description="How many rows the whole list has, as far as you may see them. Counted only when selected.",
    )


def connection_field(resolver: Callable[..., Awaitable[Sequence[Page[Any]]]], *, description: str) -> Any:
    """A `batch_field` that takes the four arguments of a connection and hands them to `resolver` as `page`."""
    arguments = inspect.signature(resolver).parameters

    async def resolve(
        parents: Sequence[Any],
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        **others: Any,
    ) -> Sequence[Page[Any]]:
        page = PageArgs.parse(first, after, last, before)
        return await resolver(parents, info, page=page, **others)

    if (read := getattr(resolver, "reads", None)) is not None:
        reads(*read)(resolve)
    resolve.__module__ = resolver.__module__
    resolve.__qualname__ = resolve.__name__ = resolver.__name__
    own = [parameter for parameter in arguments.values() if parameter.name != "page"]
    resolve.__signature__ = inspect.Signature([*own[:2], *_PAGE_PARAMETERS, *own[2:]])  # type: ignore[attr-defined]
    return batch_field(resolve, description=description)


def _argument(name: str, kind: Any, description: str) -> inspect.Parameter:
    annotation = Annotated[kind, strawberry.argument(description=description)]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)


_PAGE_PARAMETERS = [
    _argument(
        "first",
        int | None,
        "How many rows from the start, or behind `after`: 1 to 100 unless configured otherwise. "
        "20 when neither size is given.",
    ),
    _argument("after", str | None, "The cursor behind which the page starts."),
    _argument(
        "last",
        int | None,
        "How many rows from the end, or before `before`, within the same limits; they keep the list's order.",
    ),
    _argument("before", str | None, "The cursor before which the page ends."),
]
