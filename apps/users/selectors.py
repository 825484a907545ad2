"""Reads of users and sessions."""

from django.db.models import QuerySet, Value
from django.db.models.functions import Lower
from django.utils import timezone

from apps.users.models import Session, User


def visible_to(viewer: User | None) -> QuerySet[User]:
    """Everybody's profile is public, a locked account's too: it stands beside what they wrote.

    Password hashes stay in the database.
    """
    return User.objects.defer("password", "search_name")


def listed_to(viewer: User | None, search: str | None = None) -> QuerySet[User]:
    """Who is found in lists: locked accounts only by the staff. `search` looks for a part of the name.

    PostgreSQL lowers both sides: Python's rules for capitals differ from its own.
    """
    users = visible_to(viewer)
    if viewer is None or not viewer.is_staff:
        users = users.filter(is_active=True)
    if search:
        users = users.filter(search_name__contains=Lower(Value(search)))
    return users


def sessions_visible_to(viewer: User | None) -> QuerySet[Session]:
    """The viewer's own sessions that can still be renewed."""
    if viewer is None:
        return Session.objects.none()
    return Session.objects.filter(user=viewer, revoked_at=None, expires_at__gt=timezone.now())


def owner_of_session(user_id: int, session_id: int) -> User | None:
    """The user, unless the account is locked or the session ended. One statement."""
    return (
        visible_to(None)
        .filter(
            pk=user_id,
            is_active=True,
            sessions__pk=session_id,
            sessions__revoked_at=None,
            sessions__expires_at__gt=timezone.now(),
        )
        .first()
    )
