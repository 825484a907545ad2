"""Mutations of posts."""

import strawberry

from apps.posts import services
from apps.posts.api.inputs import (
    ArchivePostInput,
    CreatePostInput,
    DeletePostInput,
    PublishPostInput,
    UpdatePostInput,
)
from apps.posts.api.types import PostType
from schema.context import Info
from schema.payloads import Payload, input_key, mutation, write
from schema.types import given


@strawberry.type
class PostPayload(Payload):
    post: PostType | None = strawberry.field(default=None, description="The post as stored now.")


@strawberry.type(description="The answer to `createPost`.")
class CreatePostPayload(PostPayload):
    pass


@strawberry.type(description="The answer to `updatePost`.")
class UpdatePostPayload(PostPayload):
    pass


@strawberry.type(description="The answer to `publishPost`.")
class PublishPostPayload(PostPayload):
    pass


@strawberry.type(description="The answer to `archivePost`.")
class ArchivePostPayload(PostPayload):
    pass


@strawberry.type(description="The answer to `deletePost`.")
class DeletePostPayload(Payload):
    deleted_post_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that the post had, for a client's cache."
    )


@strawberry.type
class PostMutation:
    @mutation(description="Write a post: a draft unless `publish` or `publishAt` is given.")
    async def create_post(self, info: Info, input: CreatePostInput) -> CreatePostPayload:
        post = await write(info, services.post_create, actor=info.context.viewer, **given(input))
        return CreatePostPayload.of(post=post)

    @mutation(description="Change a post. Refused with CONFLICT when somebody else has changed it meanwhile.")
    async def update_post(self, info: Info, input: UpdatePostInput) -> UpdatePostPayload:
        post_id = input_key("Post", input.id)
        post = await write(
            info,
            services.post_update,
            actor=info.context.viewer,
            post_id=post_id,
            **given(input, without=["id"]),
        )
        return UpdatePostPayload.of(post=post)

    @mutation(description="Publish a post now, or schedule it.")
    async def publish_post(self, info: Info, input: PublishPostInput) -> PublishPostPayload:
        post_id = input_key("Post", input.id)
        post = await write(
            info,
            services.post_publish,
            actor=info.context.viewer,
            post_id=post_id,
            publish_at=input.publish_at,
        )
        return PublishPostPayload.of(post=post)

    @mutation(description="Take a post back, so that only its author, editors and the staff see it.")
    async def archive_post(self, info: Info, input: ArchivePostInput) -> ArchivePostPayload:
        post_id = input_key("Post", input.id)
        post = await write(info, services.post_archive, actor=info.context.viewer, post_id=post_id)
        return ArchivePostPayload.of(post=post)

    @mutation(description="Delete a post with its comments, for good.")
    async def delete_post(self, info: Info, input: DeletePostInput) -> DeletePostPayload:
        post_id = input_key("Post", input.id)
        await write(info, services.post_delete, actor=info.context.viewer, post_id=post_id)
        return DeletePostPayload.of(deleted_post_id=input.id)
