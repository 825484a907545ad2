"""Who may do what to posts."""

from apps.posts.models import Post, PostStatus
from apps.users.models import User


def can_write_posts(actor: User | None) -> bool:
    """Make posts of one's own: every account, until an operator takes that right away."""
    return actor is not None and actor.has_perm("posts.add_post")


def can_see_all_posts(viewer: User | None) -> bool:
    """Drafts, scheduled and archived posts of others: editors, admins and the staff."""
    return viewer is not None and (viewer.is_staff or viewer.has_perm("posts.view_post"))


def can_see_post(viewer: User | None, post: Post) -> bool:
    """Read it: as `selectors.visible_to` has it, for a row that was loaded for many viewers."""
    if post.status == PostStatus.PUBLISHED or can_see_all_posts(viewer):
        return True
    return viewer is not None and viewer.pk == post.author_id


def can_edit_post(actor: User | None, post: Post) -> bool:
    """Change, publish or archive it: its author, editors, admins and the staff."""
    return actor is not None and (actor.pk == post.author_id or actor.is_staff or actor.has_perm("posts.change_post"))


def can_delete_post(actor: User | None, post: Post) -> bool:
    """Its author, editors, admins and the staff."""
    return actor is not None and (actor.pk == post.author_id or actor.is_staff or actor.has_perm("posts.delete_post"))
