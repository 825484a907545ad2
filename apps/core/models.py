"""What `core` keeps in the database beside the tasks of its broker."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class OutboxMessage(models.Model):
    """A message that the broker has not got yet, as Dramatiq encodes it: see `apps.core.outbox`."""

    key = models.CharField(max_length=100, blank=True, help_text="Messages of one key are handed over in their order.")
    message = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), help_text="Not handed over before; by the database's clock.")

    class Meta:
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], name="outbox_due"),
            models.Index(fields=["key", "id"], condition=~Q(key=""), name="outbox_key"),
        ]

    def __str__(self) -> str:
        return f"Message {self.pk} of {self.created_at:%Y-%m-%d %H:%M:%S}"


class InboxMessage(models.Model):
    """A message that has been done, where doing it again would do harm: see `apps.core.inbox`."""

    message_id = models.UUIDField(primary_key=True)
    done_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.message_id)


class DeadLetter(models.Model):
    """A message that was given up, as Dramatiq encodes it: see `apps.core.dead_letters`."""

    message_id = models.UUIDField(unique=True)
    actor = models.CharField(max_length=200)
    message = models.BinaryField()
    error = models.TextField(blank=True, help_text="The last traceback, or why it was given up without one.")
    retries = models.PositiveIntegerField(default=0)
    failed_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view", "change", "delete")
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["-failed_at", "-id"], name="dead_letter_newest")]

    def __str__(self) -> str:
        return f"{self.actor} {self.message_id}"


class JobOutcome(models.TextChoices):
    """How a run has ended."""

    DONE = "done"
    FAILED = "failed"


class JobRun(models.Model):
    """One run of a job of the schedule; without an end while it runs, or when its process was killed."""

    job = models.CharField(max_length=50)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=JobOutcome, blank=True)
    detail = models.TextField(blank=True, help_text="What the job said, or the traceback of its failure.")

    class Meta:
        default_permissions = ("view",)
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["job", "-started_at"], name="job_run_newest")]

    def __str__(self) -> str:
        return f"{self.job} at {self.started_at:%Y-%m-%d %H:%M:%S}"


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
