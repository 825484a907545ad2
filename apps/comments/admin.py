from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.comments.models import Comment
from apps.comments.services import comment_delete
from apps.core.admin import ModelAdmin
from apps.core.errors import DomainError
from apps.core.text import excerpt
from apps.users.models import User


@admin.register(Comment)
class CommentAdmin(ModelAdmin[Comment]):
    """For moderation: to find comments and delete them. The words are their author's; nobody changes them."""

    list_display = ("beginning", "post", "author", "created_at", "deleted_at")
    list_filter = (
        "created_at",
        ("deleted_at", admin.EmptyFieldListFilter),
        ("edited_at", admin.EmptyFieldListFilter),
    )
    search_fields = ("body", "author__email")
    fields = ("post", "author", "parent", "depth", "body", "created_at", "edited_at", "deleted_at")
    ordering = ("-id",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Comment]:
        comments = super().get_queryset(request).select_related("post", "author")
        return comments.defer("post__body", "post__search_vector", "author__bio")

    @admin.display(description="comment")
    def beginning(self, comment: Comment) -> str:
        return excerpt(comment.body, 80) or "(deleted)"

    def get_deleted_objects(
        self, objs: QuerySet[Comment] | Sequence[Comment], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """The comments alone: replies stay, below an empty place."""
        return [self.beginning(comment) for comment in objs], {"comments": len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Comment) -> None:
        self.delete_queryset(request, Comment.objects.filter(pk=obj.pk))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Comment]) -> None:
        """From the bottom up, so that a comment whose replies are all selected leaves no empty place.

        Post by post, because a deletion locks the post: two that overlap wait for each other instead of both.
        """
        live = queryset.filter(deleted_at=None).order_by("post_id", "-depth", "id")
        for pk in list(live.values_list("pk", flat=True)):
            with suppress(DomainError):  # somebody else was faster
                comment_delete(actor=cast("User", request.user), comment_id=pk)

    def has_delete_permission(self, request: HttpRequest, obj: Comment | None = None) -> bool:
        if obj is not None and obj.deleted_at is not None:
            return False
        return super().has_delete_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Comment | None = None) -> bool:
        return False
