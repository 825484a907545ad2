"""The fields of types that are made of models."""

import pytest
from graphql import GraphQLObjectType

from apps.core.rows import row_type
from apps.posts.models import Post
from schema.root import schema


@pytest.mark.parametrize(("field", "value"), [("title", "A title"), ("publishedAt", None)])
async def test_graphql_core_reads_a_column_at_once(field: str, value: object) -> None:
    """Not in a thread, as strawberry-django would read what is no instance of a model."""
    row = row_type(Post, ("id", "title", "published_at"))((1, "A title", None))
    post = schema._schema.type_map["Post"]
    assert isinstance(post, GraphQLObjectType)
    resolve = post.fields[field].resolve
    assert resolve is not None
    assert resolve(row, None) == value
