"""Mutations of comments."""

import strawberry

from apps.comments import services
from apps.comments.api.inputs import AddCommentInput, DeleteCommentInput, UpdateCommentInput
from apps.comments.api.types import CommentType
from schema.context import Info
from schema.payloads import Payload, input_key, mutation, write


@strawberry.type
class CommentPayload(Payload):
    comment: CommentType | None = strawberry.field(default=None, description="The comment as stored now.")


@strawberry.type(description="The answer to `addComment`.")
class AddCommentPayload(CommentPayload):
    pass


@strawberry.type(description="The answer to `updateComment`.")
class UpdateCommentPayload(CommentPayload):
    pass


@strawberry.type(description="The answer to `deleteComment`.")
class DeleteCommentPayload(Payload):
    deleted_comment_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that the comment had, for a client's cache."
    )


@strawberry.type
class CommentMutation:
    @mutation(description="Comment on a published post, or reply to a comment there.")
    async def add_comment(self, info: Info, input: AddCommentInput) -> AddCommentPayload:
        comment = await write(
            info,
            services.comment_add,
            actor=info.context.viewer,
            post_id=input_key("Post", input.post_id, "post_id"),
            parent_id=input_key("Comment", input.parent_id, "parent_id") if input.parent_id is not None else None,
            body=input.body,
        )
        return AddCommentPayload.of(comment=comment)

    @mutation(description="Change the text of your comment.")
    async def update_comment(self, info: Info, input: UpdateCommentInput) -> UpdateCommentPayload:
        comment_id = input_key("Comment", input.id)
        comment = await write(
            info, services.comment_update, actor=info.context.viewer, comment_id=comment_id, body=input.body
        )
        return UpdateCommentPayload.of(comment=comment)

    @mutation(description="Delete a comment. Its place stays, empty, while there are replies to it.")
    async def delete_comment(self, info: Info, input: DeleteCommentInput) -> DeleteCommentPayload:
        comment_id = input_key("Comment", input.id)
        await write(info, services.comment_delete, actor=info.context.viewer, comment_id=comment_id)
        return DeleteCommentPayload.of(deleted_comment_id=input.id)
