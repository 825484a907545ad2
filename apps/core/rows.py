"""How rows are read from async code: querysets in, light rows out. Nothing else in a read touches the database.

A queryset is compiled by Django into a `Statement`, which can run any number of times with other keys. It runs on the
pool of `apps.core.pool` where that is open, and otherwise on Django's own connection: in tests that roll back, in
commands, and where a transaction is open (`on_djangos_connection`).
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache, partial
from inspect import getattr_static
from operator import itemgetter
from types import FunctionType
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, cast

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet
from django.db.models.query import FlatValuesListIterable, ModelIterable, ValuesListIterable
from django.db.models.sql.compiler import SQLCompiler

from apps.core import pool
from apps.core.connection import KEYS as _KEYS
from apps.core.connection import VIEWER, Query
from apps.core.db import in_thread
from apps.core.expressions import OwnKey

M = TypeVar("M", bound=Model)
T = TypeVar("T")
V = TypeVar("V", bound="SomeViewer")

# In a queryset: the keys that its statement is run with, as in `filter(id__any_of=KEYS)`.
KEYS: Final = _KEYS

_on_djangos_connection: ContextVar[bool] = ContextVar("on_djangos_connection", default=False)


@contextmanager
def on_djangos_connection() -> Iterator[None]:
    """Read what an open transaction of Django's connection sees."""
    token = _on_djangos_connection.set(True)
    try:
        yield
    finally:
        _on_djangos_connection.reset(token)


class Row(tuple[Any, ...]):
    """One row: a tuple with its columns' names. Stands for an instance of its model where only that is asked of it.

    A model's methods and properties work on it; a column that was not loaded is an AttributeError, never a statement.
    """

    __slots__ = ()
    model: ClassVar[type[Model]]
    names: ClassVar[tuple[str, ...]]
    _meta: ClassVar[Any]

    def __eq__(self, other: object) -> bool:
        """As Django has it: the same row of the same table, whatever was loaded of it."""
        meta = getattr(other, "_meta", None)
        return meta is not None and meta.concrete_model is self.model and self.pk == getattr(other, "pk", None)

    def __ne__(self, other: object) -> bool:
        return not self == other  # a tuple has its own

    def __hash__(self) -> int:
        return hash(self.pk)

    def __getattr__(self, name: str) -> Any:
        member = _member(self.model, name)
        if isinstance(member, FunctionType):
            return partial(member, self)
        if isinstance(member, property) and member.fget is not None and name != "pk":
            return member.fget(self)
        if isinstance(member, staticmethod | classmethod):
            return getattr(self.model, name)
        raise AttributeError(
            f"{self.model.__name__}.{name} is not among the columns that were loaded: a column is named in `@reads`, "
            "a relation is reached through a loader",
            name=name,
        )


@lru_cache(maxsize=1_000)
def _member(model: type[Model], name: str) -> Any:
    """What stands in the class: asked for it, a class gives a static method's function like any other."""
    return getattr_static(model, name, None)


@lru_cache(maxsize=1_000)
def row_type(model: type[Model], names: tuple[str, ...]) -> type[Row]:
    """The type of rows of `model` with the columns `names`, in that order."""
    # A named tuple's way to its fields is in C: three times as fast as a property.
    columns = namedtuple("columns", names)  # type: ignore[misc]  # known only now
    members: dict[str, Any] = {name: vars(columns)[name] for name in names}
    if model._meta.pk.attname in members:
        members["pk"] = members[model._meta.pk.attname]
    known = {"__slots__": (), "model": model, "names": names, "_meta": model._meta}
    return type(f"{model.__name__}Row", (Row,), known | members)


def instance(row: M) -> M:
    """The model's instance with the columns and annotations of `row`, for those who need more than a row can give."""
    kind = cast("type[Row]", type(row))
    names = _columns_of(kind)
    made = kind.model.from_db(DEFAULT_DB_ALIAS, names, cast("Row", row)[: len(names)])
    for name in kind.names[len(names) :]:
        setattr(made, name, getattr(row, name))
    return cast("M", made)


@cache
def _columns_of(kind: type[Row]) -> list[str]:
    """The names of the model's own columns, which come before annotations."""
    attnames = {field.attname for field in kind._meta.concrete_fields}
    return [name for name in kind.names if name in attnames]


class Statement(Generic[T]):
    """A compiled queryset, with what makes rows of its answer. Holds the values that the queryset was made with."""

    __slots__ = ("_make", "_params", "_query", "_sql")

    def __init__(
        self,
        sql: str | None,
        params: Sequence[Any],
        make: Callable[[tuple[Any, ...]], T],
        *,
        planned_once: bool = True,
    ) -> None:
        self._sql = sql
        self._query = Query(sql or "", params, planned_once=planned_once)
        self._params = params
        self._make = make

    @property
    def is_timeless(self) -> bool:
        """Whether it says the same whenever it runs: it holds no moment, which would be that of its making."""
        values = [each for param in self._params for each in (param if isinstance(param, list | tuple) else [param])]
        return not any(isinstance(value, datetime | date) for value in values)

    async def fetch(self, keys: Sequence[Any] = (), viewer: int | None = None) -> list[T]:
        """The rows, for one statement, with `keys` in the place of KEYS and the key `viewer` in that of VIEWER.

        Raises django.db.OperationalError when the database or the pool does not answer in time.
        """
        if self._sql is None:
            return []
        if pool.is_open() and not _on_djangos_connection.get():
            rows = await pool.fetch(self._query, keys, viewer)
            return list(map(self._make, rows))
        return await in_thread(self.fetch_in_transaction, keys, viewer)

    def fetch_in_transaction(self, keys: Sequence[Any] = (), viewer: int | None = None) -> list[T]:
        """The same on Django's connection of this thread, for what sees, or locks, what its transaction does."""
        if self._sql is None:
            return []
        with connection.cursor() as cursor:
            cursor.execute(self._sql, [self._value(param, keys, viewer) for param in self._params])
            return list(map(self._make, cursor.fetchall()))

    @staticmethod
    def _value(param: Any, keys: Sequence[Any], viewer: int | None) -> Any:
        if param is KEYS:
            return list(keys)
        return viewer if param is VIEWER else param


class Statements(Generic[T]):
    """Compiled statements of one kind, least recently used ones forgotten. Compiling one takes longer than running it.

    They are shared by all viewers of a kind. A statement that depends on the time of the request is not kept.
    """

    def __init__(self, size: int = 500) -> None:
        self._size = size
        self._statements: OrderedDict[Hashable, Statement[T]] = OrderedDict()

    def of(self, viewer: V | None, shape: Hashable, compile: Callable[[V | None], Statement[T]]) -> Statement[T]:
        """The statement for `shape` and viewers like `viewer`, which `compile` makes when there is none.

        `compile` gets somebody who stands for all of them: see `AnyViewer`.
        """
        anyone = None if viewer is None else AnyViewer.like(viewer)
        known = anyone, shape
        try:
            statement = self._statements.get(known)
        except TypeError:  # something in the shape is not hashable
            return compile(cast("V | None", anyone))
        if statement is not None:
            self._statements.move_to_end(known)
            return statement
        statement = compile(cast("V | None", anyone))
        if statement.is_timeless:
            self._statements[known] = statement
            if len(self._statements) > self._size:
                self._statements.popitem(last=False)
        return statement


@dataclass(frozen=True, slots=True)
class AnyViewer:
    """Stands for all viewers with these rights, in a queryset that is compiled once for them all.

    What tells them apart is their key, a parameter that each statement gets when it runs: `author_id=viewer.pk`. They
    have no other attributes: a rule that wants to know more would be compiled for the first of them, and fails.
    """

    is_staff: bool
    is_superuser: bool
    permission_names: frozenset[str]

    @classmethod
    def like(cls, viewer: SomeViewer) -> AnyViewer:
        """Superusers are of one kind: what else they were given makes no difference."""
        names: frozenset[str] = frozenset() if viewer.is_superuser else viewer.permission_names
        return cls(viewer.is_staff, viewer.is_superuser, names)

    @property
    def pk(self) -> Any:
        return OwnKey()

    def has_perm(self, perm: str) -> bool:
        return self.is_superuser or perm in self.permission_names

    def __getattr__(self, name: str) -> Any:
        known = "pk, is_staff, is_superuser and has_perm"
        raise AttributeError(f"A queryset is compiled once for many viewers: it knows of them {known}, not {name}.")


class SomeViewer(Protocol):
    """What `Statements` have to know of a viewer."""

    is_staff: bool
    is_superuser: bool

    @property
    def permission_names(self) -> frozenset[str]: ...


async def fetch(queryset: QuerySet[Any, T], columns: Collection[str] | None = None) -> list[T]:
    """The rows of `queryset`, for one statement: only its `columns` and the primary key, or all that it loads."""
    return await compiled(queryset, columns, planned_once=False).fetch()


def compiled(
    queryset: QuerySet[Any, T], columns: Collection[str] | None = None, *, planned_once: bool = True
) -> Statement[T]:
    """The statement of `queryset`. It loads the primary key, those of `columns` that are columns, and annotations.

    `planned_once` is for what finds its rows by keys, or holds no value of a client's: see `Query`.
    """
    queryset = _narrowed(queryset, columns)
    try:
        compiler = queryset.query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
    except EmptyResultSet:
        return Statement(None, (), _unreachable)
    return Statement(sql, params, _maker(queryset, compiler), planned_once=planned_once)


def compiled_for_each(
    queryset: QuerySet[Any, T], columns: Collection[str] | None = None, *, planned_once: bool = True
) -> Statement[T]:
    """The statement that runs `queryset` once for each of its KEYS.

    `queryset` names its parent through `ParentKey()`, as in `filter(post_id=ParentKey()).order_by("-id")[:10]`. It
    runs as a LATERAL join: what it costs depends on the parents that were asked for, not, as with a window function
    or a join, on all rows of a parent or all parents there are. One parent's rows come after the other's, each in the
    queryset's order, which its LIMIT keeps. Rows have their parent's key as `parent_key`, tuples as their last value;
    parents without rows are left out.
    """
    queryset = _narrowed(queryset, columns)
    try:
        compiler = queryset.query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
    except EmptyResultSet:
        return Statement(None, (), _unreachable)
    # Only text that Django has compiled goes in; every value stays a parameter.
    statement = (
        "SELECT page.*, parent.key AS parent_key FROM unnest(%s::bigint[]) AS parent (key) "  # noqa: S608
        f"CROSS JOIN LATERAL ({sql}) AS page"
    )
    make = _maker(queryset, compiler, "parent_key")
    return Statement(statement, [KEYS, *params], make, planned_once=planned_once)


def _narrowed(queryset: QuerySet[Any, T], columns: Collection[str] | None) -> QuerySet[Any, T]:
    """`queryset` with no more columns than it loads by itself and than `columns` and the primary key are."""
    if columns is None or _iterable(queryset) is not ModelIterable:
        return queryset
    meta = queryset.model._meta
    names, deferred = queryset.query.deferred_loading
    own = {field.attname: field.name for field in meta.concrete_fields}
    loaded = {name for attname, name in own.items() if ({name, attname}.isdisjoint(names)) == deferred}
    wanted = {own[column] for column in columns if column in own} | {meta.pk.name}
    return queryset.only(*sorted(wanted & loaded | {meta.pk.name}))


def _maker(queryset: QuerySet[Any, T], compiler: SQLCompiler, *more: str) -> Callable[[tuple[Any, ...]], T]:
    """What makes of a tuple of the database's what Django would: a row, a value, or a tuple."""
    converters = compiler.get_converters([expression for expression, *_ in compiler.select])
    make: Callable[[Any], Any]
    convert: Callable[..., Iterator[Any]] = compiler.apply_converters
    iterable = _iterable(queryset)
    if iterable is ModelIterable:
        names = [*_column_names(compiler), *more]
        make = partial(tuple.__new__, row_type(cast("type[Model]", queryset.model), tuple(names)))
    elif iterable is FlatValuesListIterable:
        make = itemgetter(0)
    elif iterable is ValuesListIterable:
        make = tuple
    else:
        raise TypeError(f"{iterable.__name__} is not read here: use rows or values_list()")
    if not converters:
        return cast("Callable[[tuple[Any, ...]], T]", make)
    return lambda row: cast("T", make(next(convert([row], converters))))


def _iterable(queryset: QuerySet[Any, Any]) -> type[Any]:
    """What Django would make of the rows."""
    iterable: type[Any] = queryset._iterable_class  # noqa: SLF001  (it has no other name)
    return iterable


def _column_names(compiler: SQLCompiler) -> Iterator[str]:
    by_place = {place: name for name, place in compiler.annotation_col_map.items()}
    for place, (expression, *_) in enumerate(compiler.select):
        yield by_place[place] if place in by_place else expression.target.attname  # noqa: SIM401  (it has no target then)


def _unreachable(row: object) -> Any:
    raise AssertionError("an empty result has no rows")
