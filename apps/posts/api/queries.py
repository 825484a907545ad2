"""Root fields that read posts and tags."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from django.db.models.functions import Lower

from apps.posts import selectors
from apps.posts.api.listing import listing
from apps.posts.api.loaders import Filter, OrderBy, all_posts, all_tags, posts_by_id, posts_by_slug
from apps.posts.api.types import PostConnection, PostType, TagConnection
from apps.posts.models import Post, Tag
from schema.context import Info
from schema.engine import batch_field
from schema.errors import bad_input, searchable
from schema.relay import Order, Page, PageArgs, connection_field, key_of

TAGS_BY_NAME = Order("tag:name", Lower("name"), str, descending=False)


async def post(
    roots: Sequence[None],
    info: Info,
    id: Annotated[strawberry.ID | None, strawberry.argument(description="The post's id.")] = None,
    slug: Annotated[str | None, strawberry.argument(description="The post's slug.")] = None,
) -> list[Post | None]:
    if (id is None) == (slug is None):
        raise bad_input("Give exactly one of `id` and `slug`.")
    if id is not None:
        return await posts_by_id.load([key_of("Post", id)], info)
    return await posts_by_slug.load([searchable("slug", slug)], info)


async def posts(
    roots: Sequence[None], info: Info, page: PageArgs, filter: Filter = None, order_by: OrderBy = None
) -> list[Page[Post]]:
    chosen = listing(filter, order_by)
    return [await all_posts.page(info, page, chosen.order, chosen.narrow, chosen.key)]


async def tags(
    roots: Sequence[None],
    info: Info,
    page: PageArgs,
    search: Annotated[
        str | None,
        strawberry.argument(description="A part of the name, regardless of case; at most 250 characters."),
    ] = None,
) -> list[Page[Tag]]:
    wanted = searchable("search", search)
    narrow = (lambda tags: selectors.tags_named(tags, wanted)) if wanted else None
    return [await all_tags.page(info, page, TAGS_BY_NAME, narrow, wanted)]


@strawberry.type
class PostQuery:
    post: PostType | None = batch_field(
        post,
        description="A post by id or by slug, exactly one of them; null when there is none that you may see.",
    )
    posts: PostConnection = connection_field(
        posts,
        description="All posts that you may see. Your own drafts are among them: filter by status for a public feed.",
    )
    tags: TagConnection = connection_field(tags, description="All tags by name.")
