"""What authors, editors, moderators and admins may do to comments."""

from django.db import migrations

from apps.users.roles import Grant


class Migration(migrations.Migration):
    dependencies = [("comments", "0002_reply_belongs_to_its_parents_post"), ("users", "0003_roles")]
    operations = [
        Grant(
            "comments",
            {
                "author": ["add_comment"],
                "editor": ["add_comment"],
                "moderator": ["add_comment", "delete_comment", "view_comment"],
                "admin": ["add_comment", "change_comment", "delete_comment", "view_comment"],
            },
        )
    ]
