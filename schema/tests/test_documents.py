"""What is kept of documents between requests."""

from collections.abc import Iterator

import strawberry
from strawberry.extensions import SchemaExtension

from schema.documents import MAX_CACHED_CHARACTERS, DocumentCache


@strawberry.type
class Query:
    fine: str = "fine"


schema = strawberry.Schema(Query, extensions=[DocumentCache])


async def document_of(query: str) -> object:
    seen: list[object] = []

    class Look(SchemaExtension):
        def on_execute(self) -> Iterator[None]:
            seen.append(self.execution_context.graphql_document)
            yield

    looking = strawberry.Schema(Query, extensions=[DocumentCache, Look])
    result = await looking.execute(query, root_value=Query())
    assert result.errors is None
    return seen[0]


async def test_a_document_is_parsed_once() -> None:
    assert await document_of("{ fine }") is await document_of("{ fine }")
    assert await document_of("{ fine }") is not await document_of("{ a: fine }")


async def test_a_long_document_is_not_kept() -> None:
    long = f"{{ fine }} # {'x' * MAX_CACHED_CHARACTERS}"
    assert await document_of(long) is not await document_of(long)


async def test_what_cannot_be_parsed_is_refused_each_time() -> None:
    for _ in range(2):
        result = await schema.execute("{ fine")
        assert result.errors is not None
        assert "Syntax Error" in result.errors[0].message
