"""Who may do what to accounts."""

from django.conf import settings

from apps.core.errors import DomainError, ErrorCode
from apps.users.models import User


def signed_in(actor: User | None) -> User:
    """`actor`, or DomainError UNAUTHENTICATED for an anonymous one."""
    if actor is None:
        raise DomainError(ErrorCode.UNAUTHENTICATED, "Sign in to do this.")
    return actor


def can_read(viewer: User | None) -> bool:
    """Any row: everybody, unless the site is closed to whoever has not signed in."""
    return viewer is not None or bool(settings.PUBLIC_READS)


def can_see_private_fields(viewer: User | None, user: User) -> bool:
    """E-mail and what else is the user's own."""
    return can_see_all_users(viewer) or (viewer is not None and viewer.pk == user.pk)


def can_see_all_users(viewer: User | None) -> bool:
    """Locked accounts too, and everybody's private fields: admins and the staff."""
    return viewer is not None and (viewer.is_staff or viewer.has_perm("users.view_user"))
