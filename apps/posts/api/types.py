"""Types of the posts slice, and what posts add to users."""

import strawberry_django
from strawberry import auto

from apps.posts import models
from apps.posts.api import loaders
from apps.posts.models import PostStatus
from apps.users.api.loaders import users_by_id
from apps.users.api.types import UserType
from schema.engine import batch_field
from schema.relay import Connection, connection_field
from schema.types import Column, Node, extend, long_text, model_type


@model_type(
    models.Tag, description="A subject that posts are filed under. Editors and the staff keep the list, in the admin."
)
class TagType(Node):
    name: auto
    slug: auto
    posts: "PostConnection" = connection_field(loaders.tag_posts, description="The posts with this tag, newest first.")


@model_type(models.Post, description="Something that was written to be read by others.")
class PostType(Node):
    title: auto
    slug: auto
    excerpt: auto
    body: auto = long_text(models.BODY_MAX)
    status: PostStatus
    published_at: auto = strawberry_django.field(
        field_cls=Column,
        description="When it was published, or will be when it is scheduled; null for a draft, and for an "
        "archived post that was never out.",
    )
    created_at: auto
    updated_at: auto
    version: auto
    author: UserType = batch_field(users_by_id.required_through("author_id"), description="Who wrote it.")
    tags: list[TagType] = batch_field(
        loaders.tags_of_post.of_parents, description="At most 10, in the order that the author gave."
    )
    viewer_can_edit: bool = batch_field(
        loaders.viewer_can_edit, description="Whether you may change, publish and archive it."
    )


PostConnection = Connection[PostType]
TagConnection = Connection[TagType]


@extend(UserType)
class UserPosts:
    posts: PostConnection = connection_field(loaders.user_posts, description="What the user has written.")
