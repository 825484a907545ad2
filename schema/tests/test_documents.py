"""What is kept of documents between requests."""

from typing import Any

import pytest
import strawberry
from graphql import GraphQLError

from schema.build import Schema, build_schema
from schema.documents import MAX_BYTES, MAX_BYTES_OF_ONE, MAX_DOCUMENTS, Refused
from schema.errors import RequestError
from schema.tests.mounted import NoMutation


@strawberry.type
class Query:
    fine: str = "fine"


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


def test_limits_are_part_of_the_verdict(schema: Schema, settings: Any) -> None:
    source = "{ a: fine b: fine }"
    schema.documents.operation(source, None)
    settings.GRAPHQL_MAX_ALIASES = 1
    with pytest.raises(Refused):
        schema.documents.operation(source, None)


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
