"""How the posts' fields are loaded, and the posts of users and tags."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from apps.posts import selectors
from apps.posts.api.inputs import PostFilter, PostOrder
from apps.posts.api.listing import listing
from apps.posts.models import Post, Tag
from apps.posts.policies import can_edit_post
from apps.users.models import User
from schema.context import Info
from schema.engine import reads
from schema.loaders import ByKey, Lists, Pages, RootPages
from schema.relay import Page, PageArgs

Filter = Annotated[PostFilter | None, strawberry.argument(description="Which posts to list.")]
OrderBy = Annotated[
    PostOrder | None,
    strawberry.argument(
        description="In which order; NEWEST when not given, with a search too: RELEVANCE has to be asked for."
    ),
]

posts_by_id = ByKey(selectors.visible_to)
posts_by_slug = ByKey(selectors.visible_to, column="slug")
posts_of_author = Pages(selectors.visible_to, parent="author_id")
posts_of_tag = Pages(selectors.visible_to, parent="taggings__tag_id")
tags_by_id = ByKey(selectors.tags_visible_to)
all_posts = RootPages(selectors.visible_to)
all_tags = RootPages(selectors.tags_visible_to)
tags_of_post = Lists(selectors.tags_visible_to, parent="taggings__post_id", order=("taggings__position",))


@reads("pk")
async def user_posts(
    users: Sequence[User], info: Info, page: PageArgs, filter: Filter = None, order_by: OrderBy = None
) -> list[Page[Post]]:
    chosen = listing(filter, order_by)
    return await posts_of_author.of_parents(users, info, page, chosen.order, chosen.narrow, chosen.key)


@reads("pk")
async def tag_posts(tags: Sequence[Tag], info: Info, page: PageArgs) -> list[Page[Post]]:
    return await posts_of_tag.of_parents(tags, info, page, listing(None, None).order)


@reads("author_id")
def viewer_can_edit(posts: Sequence[Post], info: Info) -> list[bool]:
    return [can_edit_post(info.context.viewer, post) for post in posts]
