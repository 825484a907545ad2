"""Who may do what to posts."""

from apps.posts.models import Post
from apps.users.models import User


def can_edit_post(actor: User | None, post: Post) -> bool:
    """Change, publish, archive or delete it: its author and the staff."""
    return actor is not None and (actor.is_staff or actor.pk == post.author_id)
