"""The blog as this project declares an API: relations are batch fields, and the engine resolves them level by level."""

from collections.abc import Sequence
from datetime import datetime

import strawberry
from strawberry.extensions import ParserCache, ValidationCache

from benchmarks import blog
from schema.engine import BreadthFirstExecutor, batch_field
from schema.scalars import CONFIG

# The context has no `levels`, so that an operation which the engine would hand to graphql-core fails.
Info = strawberry.Info[blog.Blog, None]


async def authors(written: Sequence[blog.Post | blog.Comment], info: Info) -> list[blog.User]:
    return info.context.users(each.author_id for each in written)


async def tags(posts: Sequence[blog.Post], info: Info) -> list[list[blog.Tag]]:
    return info.context.tags_of(post.id for post in posts)


async def comment_counts(posts: Sequence[blog.Post], info: Info) -> list[int]:
    return info.context.comment_counts_of(post.id for post in posts)


async def comments(posts: Sequence[blog.Post], info: Info, first: int = 10) -> list[list[blog.Comment]]:
    return info.context.comments_of((post.id for post in posts), first)


async def newest_posts(roots: Sequence[None], info: Info, first: int = 20) -> list[list[blog.Post]]:
    return [info.context.newest_posts(first) for _ in roots]


def hello() -> str:
    return "world"


@strawberry.type
class User:
    id: strawberry.ID
    first_name: str
    last_name: str


@strawberry.type
class Tag:
    name: str


@strawberry.type
class Comment:
    id: strawberry.ID
    body: str
    created_at: datetime
    author: User = batch_field(authors, description="Who wrote it.")


@strawberry.type
class Post:
    id: strawberry.ID
    title: str
    slug: str
    published_at: datetime | None
    author: User = batch_field(authors, description="Who wrote it.")
    tags: list[Tag] = batch_field(tags, description="What it is about.")
    comment_count: int = batch_field(comment_counts, description="How many comments there are.")
    comments: list[Comment] = batch_field(comments, description="The newest of them.")


@strawberry.type
class Query:
    posts: list[Post] = batch_field(newest_posts, description="The newest posts.")
    hello: str = strawberry.field(resolver=hello, description="A field without rows.")


schema = strawberry.Schema(
    query=Query, config=CONFIG, execution_context_class=BreadthFirstExecutor, extensions=[ParserCache, ValidationCache]
)
