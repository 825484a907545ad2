"""The groups that roles are, and all accounts that there are as authors."""

from typing import Any

from django.db import migrations

from apps.users.roles import Grant

USER = ["add_user", "change_user", "delete_user", "view_user"]
SESSION = ["add_session", "change_session", "delete_session", "view_session"]
RIGHTS: dict[str, list[str]] = {
    "author": [],
    "editor": [],
    "moderator": [],
    "admin": [*USER, *SESSION, "view_securityevent"],
}


def delete_groups(apps: Any, editor: Any) -> None:
    apps.get_model("auth", "Group").objects.filter(name__in=RIGHTS).delete()


class Migration(migrations.Migration):
    dependencies = [("users", "0002_identity")]
    operations = [
        migrations.RunPython(migrations.RunPython.noop, delete_groups),
        Grant("users", RIGHTS),
        migrations.RunSQL(
            """
            INSERT INTO users_user_groups (user_id, group_id)
            SELECT users_user.id, auth_group.id FROM users_user, auth_group WHERE name = 'author'
            ON CONFLICT DO NOTHING
            """,
            migrations.RunSQL.noop,
        ),
    ]
