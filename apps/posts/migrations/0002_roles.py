"""What authors, editors and admins may do to posts and tags."""

from django.db import migrations

from apps.users.roles import Grant

POST = ["add_post", "change_post", "delete_post", "view_post"]
# Whoever edits a post in the admin changes its tags there.
TAGGING = ["add_tagging", "change_tagging", "delete_tagging", "view_tagging"]
TAG = ["add_tag", "change_tag", "view_tag"]


class Migration(migrations.Migration):
    dependencies = [("posts", "0001_initial"), ("users", "0003_roles")]
    operations = [
        Grant(
            "posts",
            {
                "author": ["add_post"],
                "editor": [*POST, *TAGGING, *TAG],
                "moderator": ["add_post"],
                "admin": [*POST, *TAGGING, *TAG, "delete_tag"],
            },
        )
    ]
