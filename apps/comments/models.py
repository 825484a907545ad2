from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Length, Now
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone

from apps.posts.models import Post

BODY_MAX = 10_000
DEPTH_MAX = 8


class Comment(models.Model):
    """A comment on a post, or a reply to one. A deleted comment stays, empty, while it has replies."""

    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="comments", db_index=False)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="comments", db_index=False
    )
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="replies", db_index=False
    )
    depth = models.PositiveSmallIntegerField(
        default=0, help_text="0 for a comment on the post itself, 1 for a reply to it, and so on up to 8."
    )
    body = models.TextField(blank=True, help_text="Plain text; empty once the comment is deleted.")
    created_at = models.DateTimeField(default=timezone.now, help_text="When it was written.")
    edited_at = models.DateTimeField(null=True, blank=True, help_text="When its text last changed; null if never.")
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The target of the composite foreign key of migration 0002: a reply belongs to its parent's post.
            models.UniqueConstraint(fields=["id", "post"], name="comment_id_and_post"),
            models.CheckConstraint(
                condition=Q(parent__isnull=True, depth=0) | Q(parent__isnull=False, depth__range=(1, DEPTH_MAX)),
                name="comment_depth_agrees_with_parent",
            ),
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) & ~Q(body="") | Q(deleted_at__isnull=False, body=""),
                name="comment_is_empty_exactly_when_deleted",
            ),
            models.CheckConstraint(condition=LessThanOrEqual(Length("body"), BODY_MAX), name="comment_body_length"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index("post", F("created_at").desc(), F("id").desc(), name="comment_of_post"),
            models.Index(
                "post",
                F("created_at").desc(),
                F("id").desc(),
                condition=Q(parent__isnull=True),
                name="comment_of_post_top_level",
            ),
            models.Index("parent", "created_at", "id", name="comment_replies"),
            models.Index("author", F("created_at").desc(), F("id").desc(), name="comment_of_author"),
            models.Index("post", condition=Q(deleted_at__isnull=True), name="comment_count"),
        ]

    def __str__(self) -> str:
        return f"Comment {self.pk} on post {self.post_id}"


class NoticeKind(models.TextChoices):
    """What a comment is to whom it is told."""

    COMMENT = "comment"
    REPLY = "reply"


class Notice(models.Model):
    """That a comment is to be told to somebody by mail, and was not yet: see `apps.comments.notices`.

    The comment without a foreign key: whoever deletes one need not know of notices, nor wait for them.
    """

    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    comment = models.ForeignKey(
        Comment, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=10, choices=NoticeKind)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["recipient", "comment"], name="notice_is_unique"),
        ]

    def __str__(self) -> str:
        return f"Notice of comment {self.comment_id} to user {self.recipient_id}"
