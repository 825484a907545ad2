"""What is kept of documents between requests."""

from typing import Any

import pytest
import strawberry
from graphql import GraphQLError

from schema.build import Schema, build_schema
from schema.documents import MAX_BYTES, MAX_BYTES_OF_ONE, MAX_DOCUMENTS, MAX_LINES, Refused
from schema.errors import RequestError
from schema.tests.mounted import NoMutation


@strawberry.type
class Query:
    fine: str = "fine"

    @strawberry.field
    def same(self, value: bool | None) -> bool | None:
        return value

    @strawberry.field
    def echo(self, text: str | None) -> str | None:
        return text


@pytest.fixture
def schema() -> Schema:
    return build_schema(Query, NoMutation, [])


def test_a_document_is_parsed_and_checked_once(schema: Schema) -> None:
    first = schema.documents.operation("{ fine }", None)
    assert schema.documents.operation("{ fine }", None) is first
    assert schema.documents.operation("{ a: fine }", None) is not first


def test_operations_of_one_document_are_told_apart_by_name(schema: Schema) -> None:
    source = "query A { fine } query B { fine }"
    one, two = (schema.documents.operation(source, name) for name in "AB")
    assert (one.name, two.name) == ("A", "B")
    assert one.document is two.document
    with pytest.raises(RequestError, match="no operation of this name"):
        schema.documents.operation(source, "C")
    with pytest.raises(Refused):
        schema.documents.operation(source, None)


def test_what_is_refused_is_refused_each_time_and_not_kept(schema: Schema) -> None:
    for source in ("{ fine", "{ nothing }", "query A { fine } query A { fine }"):
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                schema.documents.operation(source, None)
            assert all(isinstance(error, GraphQLError) for error in refused.value.errors)
    assert len(schema.documents) == 0


@pytest.mark.parametrize("limit", ["TOKENS", "DEPTH", "ALIASES"])
def test_limits_are_part_of_the_verdict(schema: Schema, settings: Any, limit: str) -> None:
    source = "{ a: fine b: fine }"
    schema.documents.operation(source, None)
    setattr(settings, f"GRAPHQL_MAX_{limit}", 0)
    with pytest.raises(Refused):
        schema.documents.operation(source, None)


def test_the_largest_page_is_part_of_the_cost(schema: Schema, settings: Any) -> None:
    first = schema.documents.operation("{ fine }", None)
    settings.GRAPHQL_MAX_PAGE_SIZE += 1
    assert schema.documents.operation("{ fine }", None) is not first


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_ends_once(schema: Schema, end: str) -> None:
    schema.documents.operation("{ fine }" + MAX_LINES * end, None)
    with pytest.raises(Refused) as refused:
        schema.documents.operation("{ fine }" + (MAX_LINES + 1) * end, None)
    assert f"{MAX_LINES + 1:,} line breaks" in str(refused.value.errors)


@pytest.mark.parametrize(
    ("source", "steers"),
    [
        ("query B($x: Boolean = true) { fine @include(if: $x) }", True),
        ("query B($x: Boolean = true) { fine @skip(if:,$x) }", True),
        ("query B($x: Boolean = true) { ...F } fragment F on Query { ... @include(if: #\n $x) { fine } }", True),
        ("query B($x: Boolean) { same(value: $x) } # @include(if: $x)", False),
        ("query A($x: Boolean = true) { fine @skip(if: $x) } query B($x: String) { echo(text: $x) }", False),
    ],
)
def test_what_steers_the_selection_is_never_null(schema: Schema, source: str, steers: bool) -> None:
    operation = schema.documents.operation(source, "B")
    assert operation.checked_cost({}) == operation.checked_cost({"x": True}) > 0
    if steers:
        with pytest.raises(RequestError, match=r"\$x"):
            operation.checked_cost({"x": None})
    else:
        assert operation.checked_cost({"x": None}) > 0


@pytest.mark.no_cover  # the measuring would take twice as long again
def test_ten_thousand_documents_do_not_fill_the_memory(schema: Schema) -> None:
    for number in range(10_000):
        schema.documents.operation(f"{{ a{number}: fine }}", None)
    assert len(schema.documents) == MAX_DOCUMENTS


def test_neither_do_long_ones(schema: Schema) -> None:
    padding = "x" * (MAX_BYTES_OF_ONE // 4 - 50)
    for number in range(200):
        schema.documents.operation(f"{{ a{number}: fine }} # {padding}", None)
    assert 0 < len(schema.documents) <= MAX_BYTES / (4 * len(padding))
    too_long = f"{{ fine }} # {'x' * MAX_BYTES_OF_ONE}"
    assert schema.documents.operation(too_long, None) is not schema.documents.operation(too_long, None)


def test_the_least_recently_used_is_forgotten_first(schema: Schema) -> None:
    kept, forgotten = (schema.documents.operation(source, None) for source in ("{ kept: fine }", "{ gone: fine }"))
    for number in range(MAX_DOCUMENTS - 1):
        schema.documents.operation("{ kept: fine }", None)
        schema.documents.operation(f"{{ a{number}: fine }}", None)
    assert schema.documents.operation("{ kept: fine }", None) is kept
    assert schema.documents.operation("{ gone: fine }", None) is not forgotten
