"""Types of the comments slice, and what comments add to posts and users."""

from typing import Optional

from strawberry import auto

from apps.comments import models
from apps.comments.api import loaders
from apps.posts.api.loaders import posts_by_id
from apps.posts.api.types import PostType
from apps.users.api.loaders import users_by_id
from apps.users.api.types import UserType
from schema.engine import batch_field
from schema.relay import Connection, connection_field
from schema.types import Node, extend, long_text, model_type


@model_type(models.Comment, description="A comment on a post, or a reply to one.")
class CommentType(Node):
    body: auto = long_text(models.BODY_MAX)
    created_at: auto
    edited_at: auto
    deleted: bool = batch_field(
        loaders.are_deleted,
        description="Whether only the empty place is left, because there are replies to it.",
    )
    depth: auto
    author: UserType = batch_field(users_by_id.required_through("author_id"), description="Who wrote it.")
    post: PostType = batch_field(posts_by_id.required_through("post_id"), description="The post that it is on.")
    parent: Optional["CommentType"] = batch_field(
        loaders.comments_by_id.through("parent_id"),
        description="What it replies to; null for a comment on the post.",
    )
    reply_count: int = batch_field(
        loaders.reply_counts.of_parents,
        description="How many direct replies there are, deleted ones not counted.",
    )
    replies: "CommentConnection" = connection_field(
        loaders.comment_replies, description="The direct replies, oldest first."
    )
    viewer_can_edit: bool = batch_field(loaders.viewer_can_edit, description="Whether you may change its text.")


CommentConnection = Connection[CommentType]


@extend(PostType)
class PostComments:
    comment_count: int = batch_field(
        loaders.comment_counts.of_parents,
        description="How many comments and replies there are, deleted ones not counted.",
    )
    comments: CommentConnection = connection_field(loaders.post_comments, description="Comments and replies alike.")


@extend(UserType)
class UserComments:
    comments: CommentConnection = connection_field(
        loaders.user_comments, description="What the user has commented, newest first."
    )
