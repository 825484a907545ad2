"""What stands in a queryset for values that are known only when its statement runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import BigIntegerField, Expression, Field, ForeignKey, IntegerField, Lookup
from django.db.models.fields.related_lookups import RelatedIn, get_normalized_value
from django.db.models.lookups import In
from django.db.models.sql.compiler import SQLCompiler

from apps.core.connection import KEYS, VIEWER


class ViewersKey(Expression):
    """The key of the viewer that the statement is run for, wherever Django takes an expression."""

    # What Django makes of a number that stands in an expression.
    output_field: Field[Any, Any] = IntegerField()

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[Any, ...]]:
        # Where no column stands beside it, PostgreSQL would take it for text.
        return "%s::bigint", (VIEWER,)

    def get_group_by_cols(self) -> list[Any]:
        return []  # as a value


class OwnKey:
    """What `AnyViewer.pk` is: a parameter in a query. Asked by Python, it would answer for the first viewer."""

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        return ViewersKey().resolve_expression(*args, **kwargs)

    def __iter__(self) -> Iterator[ViewersKey]:
        """For Django, which compares conditions by their hashes, and looks into what has none."""
        yield ViewersKey()

    def _refuse(self, *_: object) -> Any:
        raise TypeError("A queryset is compiled once for many viewers: compare their key in a filter, not in Python.")

    __eq__ = __hash__ = __contains__ = __str__ = __bool__ = __int__ = _refuse


class ParentKey(Expression):
    """In a queryset for `compiled_for_each`: the key of the parent that it is run for."""

    output_field: Field[Any, Any] = BigIntegerField()

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[()]]:
        return '"parent"."key"', ()


@ForeignKey.register_lookup
class InWithExpressions(RelatedIn):
    """`filter(author__in=[viewer.pk, 5])`. Django's own takes expressions in a list for columns, not for relations."""

    lookup_name = "in"

    def get_prep_lookup(self) -> Any:
        if not self.rhs_is_direct_value() or not any(hasattr(value, "resolve_expression") for value in self.rhs):
            return super().get_prep_lookup()
        self.rhs = [get_normalized_value(value, self.lhs)[0] for value in self.rhs]
        return In.get_prep_lookup(self)


@ForeignKey.register_lookup
@Field.register_lookup
class AnyOf(Lookup):
    """`filter(id__any_of=keys)`: `= ANY(array)`, whose text, unlike that of IN, is the same for any number of keys."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        lhs, params = self.process_lhs(compiler, connection)
        column_type = self.lhs.output_field.rel_db_type(connection)
        return f"{lhs} = ANY(%s::{column_type}[])", [*params, KEYS if self.rhs is KEYS else list(self.rhs)]
