"""The blog as Strawberry's documentation declares an API: relations are resolved by DataLoaders, object by object."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache

from benchmarks import blog
from schema.scalars import CONFIG


class Loaders:
    """The DataLoaders of one request: one for each relation, and for each size of a page of comments."""

    def __init__(self, rows: blog.Blog) -> None:
        self.rows = rows
        self.users = DataLoader(self._users)
        self.tags = DataLoader(self._tags)
        self.comment_counts = DataLoader(self._comment_counts)
        self._comments: dict[int, DataLoader[int, list[blog.Comment]]] = {}

    def comments(self, first: int) -> DataLoader[int, list[blog.Comment]]:
        if first not in self._comments:

            async def load(posts: list[int]) -> list[list[blog.Comment]]:
                return self.rows.comments_of(posts, first)

            self._comments[first] = DataLoader(load)
        return self._comments[first]

    async def _users(self, keys: list[int]) -> list[blog.User]:
        return self.rows.users(keys)

    async def _tags(self, posts: list[int]) -> list[list[blog.Tag]]:
        return self.rows.tags_of(posts)

    async def _comment_counts(self, posts: list[int]) -> list[int]:
        return self.rows.comment_counts_of(posts)


Info = strawberry.Info[Loaders, None]


# What the resolvers give are rows, which Strawberry takes for objects of the fields' types: hence Any.
async def author(written: strawberry.Parent[blog.Post | blog.Comment], info: Info) -> Any:
    return await info.context.users.load(written.author_id)


async def tags(post: strawberry.Parent[blog.Post], info: Info) -> Any:
    return await info.context.tags.load(post.id)


async def comment_count(post: strawberry.Parent[blog.Post], info: Info) -> int:
    return await info.context.comment_counts.load(post.id)


async def comments(post: strawberry.Parent[blog.Post], info: Info, first: int = 10) -> Any:
    return await info.context.comments(first).load(post.id)


async def newest_posts(info: Info, first: int = 20) -> Any:
    return info.context.rows.newest_posts(first)


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
    author: User = strawberry.field(resolver=author, description="Who wrote it.")


@strawberry.type
class Post:
    id: strawberry.ID
    title: str
    slug: str
    published_at: datetime | None
    author: User = strawberry.field(resolver=author, description="Who wrote it.")
    tags: list[Tag] = strawberry.field(resolver=tags, description="What it is about.")
    comment_count: int = strawberry.field(resolver=comment_count, description="How many comments there are.")
    comments: list[Comment] = strawberry.field(resolver=comments, description="The newest of them.")


@strawberry.type
class Query:
    posts: list[Post] = strawberry.field(resolver=newest_posts, description="The newest posts.")
    hello: str = strawberry.field(resolver=hello, description="A field without rows.")


schema = strawberry.Schema(query=Query, config=CONFIG, extensions=[ParserCache, ValidationCache])
