"""Reads of users and sessions."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db.models import Func, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Lower, Now

from apps.users.models import Session, User
from apps.users.policies import can_see_all_users


def visible_to(viewer: User | None) -> QuerySet[User]:
    """Everybody's profile is public, a locked account's too: it stands beside what they wrote.

    Where addresses have to be confirmed, an account that nobody has used yet is its own and theirs who see all: a new
    name would tell whoever registers somebody else's address that it was free. Password hashes stay in the database.
    """
    users = _profiles()
    if settings.EMAIL_VERIFICATION == "optional" or can_see_all_users(viewer):
        return users
    known = Q(email_verified_at__isnull=False) | Q(last_login__isnull=False)
    return users.filter(known if viewer is None else known | Q(pk=viewer.pk))


def listed_to(viewer: User | None) -> QuerySet[User]:
    """Who is found in lists: locked accounts only by who may see all."""
    users = visible_to(viewer)
    return users if can_see_all_users(viewer) else users.filter(is_active=True)


def named(users: QuerySet[User], search: str | None) -> QuerySet[User]:
    """`users` with `search` anywhere in their name. PostgreSQL lowers both: Python's rules for capitals differ."""
    return users.filter(search_name__contains=Lower(Value(search))) if search else users


def sessions_visible_to(viewer: User | None) -> QuerySet[Session]:
    """The viewer's own sessions that can still be renewed."""
    if viewer is None:
        return Session.objects.none()
    return Session.objects.filter(user_id=viewer.pk, revoked_at=None, expires_at__gt=Now())


def owners_of_sessions(session_ids: Any) -> QuerySet[User]:
    """The users of these sessions with their permissions, without those that ended and accounts that are locked."""
    return with_permissions(_profiles()).filter(
        is_active=True,
        sessions__id__any_of=session_ids,
        sessions__revoked_at=None,
        sessions__expires_at__gt=Now(),
    )


def _profiles() -> QuerySet[User]:
    return User.objects.defer("password", "search_name")


def with_permissions(users: QuerySet[User]) -> QuerySet[User]:
    """`users` who know what they may do: their `has_perm` takes no further statement."""
    return users.annotate(permission_names=PermissionNames("pk"))  # type: ignore[no-redef]  # it stands for that one


class PermissionNames(Func):
    """The frozenset of the permissions of the user whose key `user` names, by groups and directly."""

    function = "ARRAY_CAT"
    output_field = ArrayField(TextField())

    def __init__(self, user: str) -> None:
        # Concat would ask of each part whether it is null.
        parts = ("content_type__app_label", Value("."), "codename")
        name = Func(*parts, template="(%(expressions)s)", arg_joiner=" || ", output_field=TextField())
        permissions = Permission.objects.order_by().values_list(name)
        # The groups' names are of no interest: `group__user` would join them.
        groups = User.groups.through.objects.filter(user=OuterRef(OuterRef(user))).values("group")
        # Two lists, each found by an index: one with an OR reads all permissions there are.
        by_groups, directly = permissions.filter(group__in=groups), permissions.filter(user=OuterRef(user))
        super().__init__(ArraySubquery(by_groups), ArraySubquery(directly))

    def convert_value(self, value: list[str], *_: object) -> frozenset[str]:
        return frozenset(value)
