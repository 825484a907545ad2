"""Reads of users and sessions."""

from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Lower, Now

from apps.users.models import Session, User


def visible_to(viewer: User | None) -> QuerySet[User]:
    """Everybody's profile is public, a locked account's too: it stands beside what they wrote.

    Password hashes stay in the database.
    """
    return User.objects.defer("password", "search_name")


def listed_to(viewer: User | None) -> QuerySet[User]:
    """Who is found in lists: locked accounts only by the staff."""
    users = visible_to(viewer)
    if viewer is None or not viewer.is_staff:
        users = users.filter(is_active=True)
    return users


def named(users: QuerySet[User], search: str | None) -> QuerySet[User]:
    """`users` with `search` anywhere in their name. PostgreSQL lowers both: Python's rules for capitals differ."""
    return users.filter(search_name__contains=Lower(Value(search))) if search else users


def sessions_visible_to(viewer: User | None) -> QuerySet[Session]:
    """The viewer's own sessions that can still be renewed."""
    if viewer is None:
        return Session.objects.none()
    return Session.objects.filter(user_id=viewer.pk, revoked_at=None, expires_at__gt=Now())


def owners_of_sessions(session_ids: Any) -> QuerySet[User]:
    """The users of these sessions, without those that ended and accounts that are locked."""
    return visible_to(None).filter(
        is_active=True,
        sessions__id__any_of=session_ids,
        sessions__revoked_at=None,
        sessions__expires_at__gt=Now(),
    )
