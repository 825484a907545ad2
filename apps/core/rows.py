"""How rows are read from async code: querysets in, instances out. Nothing else in a read touches the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import EmptyResultSet
from django.db.models import BigIntegerField, Expression, Field, ForeignKey, Lookup, Model, QuerySet
from django.db.models.sql.compiler import SQLCompiler

M = TypeVar("M", bound=Model)
T = TypeVar("T")


async def fetch(queryset: QuerySet[Any, T]) -> list[T]:
    """The rows of `queryset`, for one statement."""
    return await sync_to_async(lambda: list(queryset))()


async def fetch_pages(queryset: QuerySet[M, M], parents: Sequence[int], limit: int) -> dict[int, list[M]]:
    """The first `limit` rows of `queryset` for each of `parents`, for one statement.

    `queryset` is ordered and names its parent through `ParentKey()`, as in `filter(post_id=ParentKey())`. It runs as
    a LATERAL join, whose cost grows with the page and not, like a window function's, with all rows of a parent. Its
    LIMIT makes PostgreSQL run the subquery once for each parent, so that every page comes in the queryset's order.
    Parents without rows are left out.
    """
    pages: dict[int, list[M]] = {}
    try:
        sql, params = queryset[:limit].query.sql_with_params()
    except EmptyResultSet:
        return pages
    # Only text that Django has compiled goes in; every value stays a parameter.
    statement = (
        "SELECT page.*, parent.key AS parent_key FROM unnest(%s::bigint[]) AS parent (key) "  # noqa: S608
        f"CROSS JOIN LATERAL ({sql}) AS page"
    )
    rows = queryset.model._default_manager.raw(statement, [list(parents), *params])
    for row in await sync_to_async(lambda: list(rows))():
        pages.setdefault(row.parent_key, []).append(row)  # type: ignore[attr-defined]  # named by the statement
    return pages


class ParentKey(Expression):
    """In a queryset for `fetch_pages`: the key of the parent whose page is being read."""

    output_field: Field[Any, Any] = BigIntegerField()

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[()]]:
        return '"parent"."key"', ()


@ForeignKey.register_lookup
@Field.register_lookup
class AnyOf(Lookup):
    """`filter(id__any_of=keys)`: `= ANY(array)`, whose text, unlike that of IN, is the same for any number of keys."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        lhs, params = self.process_lhs(compiler, connection)
        column_type = self.lhs.output_field.rel_db_type(connection)
        return f"{lhs} = ANY(%s::{column_type}[])", [*params, list(self.rhs)]
