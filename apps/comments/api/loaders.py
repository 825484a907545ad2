"""How the comments' fields are loaded, and the comments of posts and users."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry

from apps.comments import selectors
from apps.comments.api.inputs import CommentOrder
from apps.comments.models import Comment
from apps.comments.policies import can_edit_comment
from apps.posts.models import Post
from apps.users.models import User
from schema.context import Info
from schema.engine import reads
from schema.loaders import ByKey, Counts, Pages
from schema.relay import Order, Page, PageArgs

ORDERS = {
    CommentOrder.NEWEST: Order("comment:newest", "created_at", datetime),
    CommentOrder.OLDEST: Order("comment:oldest", "created_at", datetime, descending=False),
}

comments_by_id = ByKey(selectors.visible_to)
comments_of_post = Pages(selectors.visible_to, parent="post_id")
comments_of_author = Pages(selectors.visible_to, parent="author_id")
replies_of_comment = Pages(selectors.visible_to, parent="parent_id")
comment_counts = Counts(selectors.living_visible_to, parent="post_id")
reply_counts = Counts(selectors.living_visible_to, parent="parent_id")

TopLevel = Annotated[bool | None, strawberry.argument(description="Only comments on the post itself, no replies.")]
OrderBy = Annotated[CommentOrder | None, strawberry.argument(description="In which order.")]


@reads("pk")
async def post_comments(
    posts: Sequence[Post],
    info: Info,
    page: PageArgs,
    top_level: TopLevel = False,
    order_by: OrderBy = CommentOrder.NEWEST,
) -> list[Page[Comment]]:
    narrow = (lambda comments: comments.filter(parent=None)) if top_level else None
    order = ORDERS[order_by or CommentOrder.NEWEST]
    return await comments_of_post.of_parents(posts, info, page, order, narrow, bool(top_level))


@reads("pk")
async def user_comments(users: Sequence[User], info: Info, page: PageArgs) -> list[Page[Comment]]:
    return await comments_of_author.of_parents(users, info, page, ORDERS[CommentOrder.NEWEST])


@reads("pk")
async def comment_replies(comments: Sequence[Comment], info: Info, page: PageArgs) -> list[Page[Comment]]:
    return await replies_of_comment.of_parents(comments, info, page, ORDERS[CommentOrder.OLDEST])


@reads("deleted_at")
def are_deleted(comments: Sequence[Comment], info: Info) -> list[bool]:
    return [comment.deleted_at is not None for comment in comments]


@reads("author_id", "deleted_at")
def viewer_can_edit(comments: Sequence[Comment], info: Info) -> list[bool]:
    return [can_edit_comment(info.context.viewer, comment) for comment in comments]
