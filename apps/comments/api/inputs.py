"""Inputs and enums of the comments slice."""

from enum import Enum

import strawberry

from schema.enums import api_enum


class CommentOrder(Enum):
    """In which order to list comments."""

    NEWEST = "newest"
    OLDEST = "oldest"


api_enum(
    CommentOrder,
    "In which order to list comments.",
    {CommentOrder.NEWEST: "Last written first.", CommentOrder.OLDEST: "First written first."},
)


@strawberry.input(description="A new comment, or a reply to one.")
class AddCommentInput:
    post_id: strawberry.ID = strawberry.field(description="The post to comment on; it has to be published.")
    parent_id: strawberry.ID | None = strawberry.field(
        default=None, description="The comment on the same post to reply to. Replies go 8 deep."
    )
    body: str = strawberry.field(description="Plain text, at most 10,000 characters.")


@strawberry.input(description="A new text for a comment.")
class UpdateCommentInput:
    id: strawberry.ID = strawberry.field(description="The comment.")
    body: str = strawberry.field(description="Plain text, at most 10,000 characters.")


@strawberry.input(description="The comment to delete.")
class DeleteCommentInput:
    id: strawberry.ID = strawberry.field(description="The comment.")
