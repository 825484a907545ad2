"""Who may do what to comments."""

from apps.comments.models import Comment
from apps.posts.models import Post
from apps.posts.policies import can_see_post
from apps.users.models import User


def can_write_comments(actor: User | None) -> bool:
    """Comment and reply: every account, until an operator takes that right away."""
    return actor is not None and actor.has_perm("comments.add_comment")


def can_see_comments_on(viewer: User | None, post: Post) -> bool:
    """Read them: who may see the post, as `selectors.visible_to` has it."""
    return can_see_post(viewer, post)


def can_edit_comment(actor: User | None, comment: Comment) -> bool:
    """Change its text: its author, nobody else, and not after it was deleted."""
    return actor is not None and actor.pk == comment.author_id and comment.deleted_at is None


def can_delete_comment(actor: User | None, comment: Comment) -> bool:
    """Its author, moderators, admins and the staff."""
    return actor is not None and (
        actor.pk == comment.author_id or actor.is_staff or actor.has_perm("comments.delete_comment")
    )
