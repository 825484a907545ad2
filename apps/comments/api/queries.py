"""Root fields that read comments."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from apps.comments.api.loaders import comments_by_id
from apps.comments.api.types import CommentType
from apps.comments.models import Comment
from schema.context import Info
from schema.engine import batch_field
from schema.relay import key_of


async def comment(
    roots: Sequence[None],
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The comment's id.")],
) -> list[Comment | None]:
    return await comments_by_id.load([key_of("Comment", id)], info)


@strawberry.type
class CommentQuery:
    comment: CommentType | None = batch_field(
        comment, description="A comment by id; null when there is none that you may see."
    )
