"""Reads of comments."""

from django.db.models import QuerySet

from apps.comments.models import Comment
from apps.posts import selectors as posts
from apps.users.models import User


def visible_to(viewer: User | None) -> QuerySet[Comment]:
    """The comments on posts that the viewer may see, and the empty places of deleted ones that have replies."""
    return Comment.objects.filter(post__in=posts.visible_to(viewer))


def living_visible_to(viewer: User | None) -> QuerySet[Comment]:
    """The same without those empty places: what is counted."""
    return visible_to(viewer).filter(deleted_at=None)
