"""How the users' fields are loaded."""

from collections.abc import Sequence

from apps.users import selectors
from apps.users.models import Session, User
from apps.users.policies import can_see_private_fields
from schema.context import Info
from schema.engine import reads
from schema.loaders import ByKey, Lists, RootPages

users_by_id = ByKey(selectors.visible_to)
listed_users = RootPages(selectors.listed_to)
sessions_by_id = ByKey(selectors.sessions_visible_to)
sessions_of_user = Lists(selectors.sessions_visible_to, parent="user_id", order=("-last_used_at", "-id"))


@reads("first_name", "last_name")
def full_names(users: Sequence[User], info: Info) -> list[str]:
    return [user.get_full_name() for user in users]


@reads("pk", "email")
def emails(users: Sequence[User], info: Info) -> list[str | None]:
    viewer = info.context.viewer
    return [user.email if can_see_private_fields(viewer, user) else None for user in users]


@reads("pk", "email_verified_at")
def emails_verified(users: Sequence[User], info: Info) -> list[bool | None]:
    viewer = info.context.viewer
    return [user.email_verified_at is not None if can_see_private_fields(viewer, user) else None for user in users]


@reads("pk", "notify_of_comments")
def notified_of_comments(users: Sequence[User], info: Info) -> list[bool | None]:
    return [user.notify_of_comments if _is_own(user, info) else None for user in users]


@reads("pk", "notify_of_replies")
def notified_of_replies(users: Sequence[User], info: Info) -> list[bool | None]:
    return [user.notify_of_replies if _is_own(user, info) else None for user in users]


@reads("pk")
async def own_sessions(users: Sequence[User], info: Info) -> list[list[Session] | None]:
    """Sessions are the viewer's own business: null for everybody else, the staff included."""
    lists = iter(await sessions_of_user.of_parents([user for user in users if _is_own(user, info)], info))
    return [next(lists) if _is_own(user, info) else None for user in users]


@reads("pk")
def are_current(sessions: Sequence[Session], info: Info) -> list[bool]:
    return [session.pk == info.context.session_id for session in sessions]


def _is_own(user: User, info: Info) -> bool:
    viewer = info.context.viewer
    return viewer is not None and viewer.pk == user.pk
