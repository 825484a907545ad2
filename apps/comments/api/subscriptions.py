"""What can be heard of comments as it happens."""

from typing import Annotated, Any

import strawberry
from django.db.models import F, QuerySet

from apps.comments.api.types import CommentType
from apps.comments.models import Comment
from apps.comments.policies import can_see_comments_on
from apps.comments.tasks import comments_on
from apps.posts.api.loaders import posts_by_id
from apps.posts.models import Post
from apps.users.models import User
from schema.context import Info
from schema.engine import live_field
from schema.errors import RequestError, RequestErrorCode
from schema.relay import key_of
from schema.subscriptions import MaySee, News, On


def _comments() -> QuerySet[Comment]:
    """Not the empty places of deleted ones, with what there is to know of their posts."""
    living = Comment.objects.filter(deleted_at=None)
    return living.annotate(post_status=F("post__status"), post_author_id=F("post__author_id"))


def _seen_by(comment: Any) -> MaySee:
    post = Post(pk=comment.post_id, status=comment.post_status, author_id=comment.post_author_id)

    def may_see(viewer: User | None) -> bool:
        return can_see_comments_on(viewer, post)

    return may_see


comments_added = News(_comments, _seen_by)


async def comment_added(
    info: Info,
    post_id: Annotated[
        strawberry.ID, strawberry.argument(description="The post; NOT_FOUND when there is none that you may see.")
    ],
) -> On[Comment]:
    key = key_of("Post", post_id)
    [post] = await posts_by_id.load([key], info)
    if post is None:
        raise RequestError(RequestErrorCode.NOT_FOUND, "There is no such post.")
    return On(comments_on(key), comments_added)


@strawberry.type
class CommentSubscription:
    comment_added: CommentType = live_field(
        comment_added, description="Each comment and reply that is written on a post from now on."
    )
