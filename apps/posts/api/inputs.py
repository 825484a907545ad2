"""Inputs and enums of the posts slice."""

from datetime import datetime
from enum import Enum

import strawberry

from apps.posts.models import PostStatus
from schema.enums import api_enum


class PostOrder(Enum):
    """In which order to list posts."""

    NEWEST = "newest"
    OLDEST = "oldest"
    RECENTLY_UPDATED = "recently_updated"
    TITLE = "title"
    RELEVANCE = "relevance"


api_enum(
    PostOrder,
    "In which order to list posts.",
    {
        PostOrder.NEWEST: "Last published first; a draft stands where it was made.",
        PostOrder.OLDEST: "First published first.",
        PostOrder.RECENTLY_UPDATED: "Last changed first.",
        PostOrder.TITLE: "By title, regardless of case.",
        PostOrder.RELEVANCE: "Best match first; needs `filter.search`.",
    },
)
api_enum(
    PostStatus,
    "Where a post is in its life.",
    {
        PostStatus.DRAFT: "Being written; only its author, editors and the staff see it.",
        PostStatus.SCHEDULED: "Will be published at `publishedAt`; only its author, editors and the staff see it.",
        PostStatus.PUBLISHED: "Out, for everybody.",
        PostStatus.ARCHIVED: "Taken back; only its author, editors and the staff see it.",
    },
)

TAGS = "Slugs of existing tags (`tags` lists them), at most 10, in the order in which they are shown."


@strawberry.input(description="Which posts to list. Everything given has to match.")
class PostFilter:
    search: str | None = strawberry.field(
        default=None,
        description='Words in title or body, as in a web search: words, "a phrase", or, -without. '
        "They are compared by their English stems (`write` finds `writing`, `wri` does not). At most 250 characters.",
    )
    tag: str | None = strawberry.field(default=None, description="The slug of a tag.")
    author: strawberry.ID | None = strawberry.field(default=None, description="The id of a user.")
    status: PostStatus | None = strawberry.field(default=None, description="One status only.")
    published_after: datetime | None = strawberry.field(default=None, description="Published later than this.")
    published_before: datetime | None = strawberry.field(default=None, description="Published earlier than this.")


@strawberry.input(description="A new post.")
class CreatePostInput:
    title: str = strawberry.field(description="One line, at most 200 characters.")
    body: str = strawberry.field(
        default="", description="The text, at most 100,000 characters. Markdown by convention."
    )
    tags: list[str] = strawberry.field(default_factory=list, description=TAGS)
    publish: bool = strawberry.field(
        default=False,
        description="Publish it at once instead of keeping a draft. Ignored when `publishAt` is given.",
    )
    publish_at: datetime | None = strawberry.field(
        default=None,
        description="Publish it then: schedules it. Must be in the future.",
    )


@strawberry.input(description="What changes in a post. What is left out or null stays as it is.")
class UpdatePostInput:
    id: strawberry.ID = strawberry.field(description="The post.")
    version: int = strawberry.field(description="The version that was read. Any other is refused with CONFLICT.")
    title: str | None = strawberry.field(default=None, description="One line, at most 200 characters.")
    body: str | None = strawberry.field(default=None, description="The text, at most 100,000 characters.")
    tags: list[str] | None = strawberry.field(default=None, description=f"{TAGS} They replace the post's tags.")


@strawberry.input(description="The post to publish.")
class PublishPostInput:
    id: strawberry.ID = strawberry.field(description="The post.")
    publish_at: datetime | None = strawberry.field(
        default=None,
        description="When; in the future. Left out, it is published at once; an archived post that was out before "
        "comes back with the date that it had.",
    )


@strawberry.input(description="The post to take back.")
class ArchivePostInput:
    id: strawberry.ID = strawberry.field(description="The post.")


@strawberry.input(description="The post to delete.")
class DeletePostInput:
    id: strawberry.ID = strawberry.field(description="The post.")
