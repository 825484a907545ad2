"""Roles: groups of Django's that migrations make and the admin keeps. Each slice grants them what they may do there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import connection
from django.db.migrations import RunPython

# Everybody's, until an operator takes it away.
AUTHOR = "author"


def join(role: str, user_ids: Iterable[int]) -> None:
    """Make these users members of the group `role`; of none where it was deleted. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO users_user_groups (user_id, group_id)
            SELECT member, auth_group.id FROM auth_group, unnest(%s::bigint[]) AS member WHERE name = %s
            ON CONFLICT DO NOTHING
            """,
            [list(user_ids), role],
        )


class Grant(RunPython):
    """A migration's operation: groups get permissions of an app, as `{"author": ["add_post"]}`.

    Makes the groups and the permissions that are missing. Backwards it takes the permissions from the groups again.
    """

    def __init__(self, app_label: str, rights: Mapping[str, Sequence[str]]) -> None:
        def grant(apps: Any, editor: Any) -> None:
            # Django makes them after the last migration, when it is too late for those that grant them.
            create_permissions(installed.get_app_config(app_label), verbosity=0, apps=apps)
            for role, codenames in rights.items():
                group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=role)
                group.permissions.add(*_permissions(apps, app_label, codenames))

        def take_back(apps: Any, editor: Any) -> None:
            for role, codenames in rights.items():
                for group in apps.get_model("auth", "Group").objects.filter(name=role):
                    group.permissions.remove(*_permissions(apps, app_label, codenames))

        super().__init__(grant, take_back)


def _permissions(apps: Any, app_label: str, codenames: Sequence[str]) -> Any:
    permissions = apps.get_model("auth", "Permission").objects
    return permissions.filter(content_type__app_label=app_label, codename__in=codenames)
