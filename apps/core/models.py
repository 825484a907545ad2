"""What `core` keeps in the database beside the tasks of its broker."""

from typing import ClassVar

from django.db import models
from django.utils import timezone


class OutboxMessage(models.Model):
    """A message that the broker has not got yet, as Dramatiq encodes it."""

    message = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"Message {self.pk} of {self.created_at:%Y-%m-%d %H:%M:%S}"


class Throttle(models.Model):
    """The attempts under one key, as `apps.core.throttling` counts them in PostgreSQL. Times are milliseconds.

    Only the function `throttle_take`, which the migration makes, knows what they mean together. The table is unlogged:
    a count costs no write-ahead log and no wait for a disk, and a crash of PostgreSQL forgets all counts.
    """

    key = models.TextField(primary_key=True)
    started = models.BigIntegerField(help_text="When the window began that the last attempt fell into.")
    count = models.BigIntegerField(help_text="The attempts in that window.")
    earlier = models.BigIntegerField(help_text="The attempts in the window before.")
    blocked_until = models.BigIntegerField(help_text="The end of the last block; 0 before the first.")
    block = models.BigIntegerField(help_text="How long the last block lasts; 0 before the first.")
    expires = models.BigIntegerField(help_text="From when on none of this matters.")

    class Meta:
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["expires"], name="throttle_expires")]

    def __str__(self) -> str:
        return self.key
