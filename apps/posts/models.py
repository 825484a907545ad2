from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Length, Lower
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone

TITLE_MAX = 200
SLUG_MAX = 220
EXCERPT_MAX = 200
BODY_MAX = 100_000
TAGS_MAX = 10
SEARCH_CONFIG = "english"


class PostStatus(models.TextChoices):
    """Where a post is in its life."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class Tag(models.Model):
    """A subject that posts can be filed under. Editors and the staff keep the list, in the admin."""

    name = models.CharField(max_length=50, help_text="As it is shown.")
    slug = models.SlugField(max_length=60, db_index=False, help_text="As it is filtered by, and as it stands in URLs.")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["slug"], name="tag_slug_is_unique", violation_error_message="Slug taken."),
            models.UniqueConstraint(Lower("name"), name="tag_name_is_unique", violation_error_message="Name taken."),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["name", "id"], name="tag_by_name"),
            GinIndex(OpClass(Lower("name"), name="gin_trgm_ops"), name="tag_search_name"),
        ]

    def __str__(self) -> str:
        return self.name


class PostManager(models.Manager["Post"]):
    """Leaves the search vector in the database: it is for filtering and ranking, and larger than the post."""

    def get_queryset(self) -> models.QuerySet[Post]:
        return super().get_queryset().defer("search_vector")


class Post(models.Model):
    """Something that was written to be read by others."""

    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="posts", db_index=False)
    title = models.CharField(max_length=TITLE_MAX, help_text="One line of plain text.")
    slug = models.SlugField(
        max_length=SLUG_MAX,
        allow_unicode=True,
        db_index=False,
        help_text="Made from the first title, unique, and never changed, so that links keep working.",
    )
    excerpt = models.CharField(
        max_length=EXCERPT_MAX,
        blank=True,
        help_text="The beginning of the body, for lists; at most 200 characters.",
    )
    body = models.TextField(blank=True, help_text="The text itself, as the author wrote it (Markdown by convention).")
    status = models.CharField(max_length=10, choices=PostStatus, default=PostStatus.DRAFT, help_text="Who can see it.")
    published_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it was published, or will be when it is scheduled; null for a draft.",
    )
    created_at = models.DateTimeField(default=timezone.now, help_text="When the first draft was stored.")
    updated_at = models.DateTimeField(default=timezone.now, help_text="When title, body, tags or status last changed.")
    version = models.PositiveIntegerField(
        default=1, help_text="Grows with each change; `updatePost` refuses any but the current one."
    )
    tags = models.ManyToManyField(Tag, through="Tagging", related_name="posts")
    # The date that lists are ordered by: never null, so that a keyset can use it.
    dated_at = models.GeneratedField(
        expression=Coalesce("published_at", "created_at"),
        output_field=models.DateTimeField(),
        db_persist=True,
    )
    search_vector = models.GeneratedField(
        expression=SearchVector("title", weight="A", config=SEARCH_CONFIG)
        + SearchVector("body", weight="B", config=SEARCH_CONFIG),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects: ClassVar[PostManager] = PostManager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["slug"], name="post_slug_is_unique"),
            models.CheckConstraint(condition=Q(status__in=PostStatus.values), name="post_status_is_known"),
            models.CheckConstraint(
                condition=Q(status=PostStatus.ARCHIVED)
                | Q(status=PostStatus.DRAFT, published_at__isnull=True)
                | Q(status__in=[PostStatus.SCHEDULED, PostStatus.PUBLISHED], published_at__isnull=False),
                name="post_status_agrees_with_published_at",
            ),
            models.CheckConstraint(condition=~Q(title=""), name="post_title_is_not_blank"),
            models.CheckConstraint(condition=LessThanOrEqual(Length("body"), BODY_MAX), name="post_body_length"),
        ]
        # Each order comes with and without its most selective filter. Rows that a viewer may not see are so few
        # that the orders for everybody need no copy by status.
        indexes: ClassVar[list[models.Index]] = [
            models.Index(F("dated_at").desc(), F("id").desc(), name="post_newest"),
            models.Index(F("updated_at").desc(), F("id").desc(), name="post_recently_updated"),
            models.Index(Lower("title"), "id", name="post_by_title"),
            models.Index("status", F("dated_at").desc(), F("id").desc(), name="post_by_status"),
            models.Index("author", F("dated_at").desc(), F("id").desc(), name="post_by_author"),
            models.Index("published_at", condition=Q(status=PostStatus.SCHEDULED), name="post_scheduled"),
            GinIndex(fields=["search_vector"], name="post_search"),
        ]

    def __str__(self) -> str:
        return self.title


class Tagging(models.Model):
    """A tag on a post, in the order that the author gave. Ten positions make ten tags at most."""

    post = models.ForeignKey(Post, on_delete=models.CASCADE, db_index=False, related_name="taggings")
    tag = models.ForeignKey(Tag, on_delete=models.CASCADE, db_index=False, related_name="taggings")
    position = models.PositiveSmallIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["post", "position"], name="tagging_position_is_unique"),
            models.UniqueConstraint(fields=["tag", "post"], name="tagging_is_unique"),
            models.CheckConstraint(condition=Q(position__lt=TAGS_MAX), name="tagging_has_at_most_ten_positions"),
        ]

    def __str__(self) -> str:
        return f"Tag {self.tag_id} on post {self.post_id}"
