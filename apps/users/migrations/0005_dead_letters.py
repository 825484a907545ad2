"""Admins see the tasks that have failed for good, have them done after all, and drop them."""

from django.db import migrations

from apps.users.roles import Grant


class Migration(migrations.Migration):
    dependencies = [("users", "0004_rival_registrations"), ("core", "0004_background")]
    operations = [Grant("core", {"admin": ["view_deadletter", "change_deadletter", "delete_deadletter"]})]
