"""Who may do what to comments."""

from apps.comments.models import Comment
from apps.users.models import User


def can_edit_comment(actor: User | None, comment: Comment) -> bool:
    """Change its text: its author, nobody else, and not after it was deleted."""
    return actor is not None and actor.pk == comment.author_id and comment.deleted_at is None


def can_delete_comment(actor: User | None, comment: Comment) -> bool:
    """Its author and the staff."""
    return actor is not None and (actor.is_staff or actor.pk == comment.author_id)
