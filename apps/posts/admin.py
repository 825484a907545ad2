from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import connections, transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms import HiddenInput
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin import BaseInlineFormSet, ModelAdmin, ModelForm, TabularInline, form_error
from apps.core.errors import DomainError
from apps.core.text import clean_text, excerpt
from apps.posts.models import (
    BODY_MAX,
    EXCERPT_MAX,
    TAGS_MAX,
    TITLE_MAX,
    Post,
    PostStatus,
    Tag,
    Tagging,
)
from apps.posts.selectors import search_query
from apps.posts.services import announce, insert_with_free_slug, post_delete, tags_held
from apps.users.models import User


class TaggingFormSet(BaseInlineFormSet[Tagging, Post, "ModelForm[Tagging]"]):
    def clean(self) -> None:
        """Refuse a tag that somebody has deleted since the form found it; the others are held."""
        super().clean()
        if any(self.errors):
            return
        slugs = [tag.slug for tag in self._tags()]
        if missing := set(slugs) - set(tags_held(slugs)):
            raise ValidationError(f"The tag {min(missing)} has just been deleted.")

    def save(self, commit: bool = True) -> list[Tagging]:
        """Write the post's tags anew, numbered from 0: swapping two in place would break a constraint."""
        super().save(commit=False)  # sets the lists that the history entry is made from
        Tagging.objects.filter(post=self.instance).delete()
        return Tagging.objects.bulk_create(
            Tagging(post=self.instance, tag=tag, position=position) for position, tag in enumerate(self._tags())
        )

    def _tags(self) -> list[Tag]:
        kept = [form.cleaned_data.get("tag") for form in self.forms if form not in self.deleted_forms]
        return [tag for tag in kept if tag is not None]


NEVER_OUT = (PostStatus.DRAFT, PostStatus.SCHEDULED)


class TaggingInline(TabularInline[Tagging, Post]):
    model = Tagging
    formset = TaggingFormSet
    verbose_name, verbose_name_plural = "tag", "tags, in the order in which they are shown"
    fields = ("tag",)
    autocomplete_fields = ("tag",)
    ordering = ("position",)
    extra = 1
    max_num = TAGS_MAX

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> type[Any]:
        return super().get_formset(request, obj, validate_max=True, **kwargs)


class PostForm(ModelForm[Post]):
    class Meta:
        model = Post
        fields: ClassVar[list[str]] = ["author", "title", "body", "status", "published_at", "version"]
        widgets: ClassVar[dict[str, Any]] = {"version": HiddenInput}

    def clean_title(self) -> str:
        with form_error():
            return clean_text("title", self.cleaned_data["title"], TITLE_MAX, single_line=True)

    def clean_body(self) -> str:
        with form_error():
            return clean_text("body", self.cleaned_data["body"], BODY_MAX, required=False)

    def clean_version(self) -> int:
        version: int = self.cleaned_data["version"]
        if version != self.instance.version:
            self.add_error(None, "Somebody else has changed this post meanwhile. Reload it and start again.")
        return version

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        if "published_at" in cleaned and "published_at" not in self.changed_data:
            # The widget knows no microseconds; an order that depends on the date must not move by saving.
            cleaned["published_at"] = self.instance.published_at
        if "published_at" in cleaned and "status" in cleaned:
            self._agree_on_date(cleaned)
        return cleaned

    def _agree_on_date(self, cleaned: dict[str, Any]) -> None:
        status, date, now = cleaned["status"], cleaned["published_at"], timezone.now()
        ahead = date is not None and date > now
        if status == PostStatus.DRAFT and date is not None:
            self.add_error("published_at", "A draft has no date of publication.")
        elif status == PostStatus.SCHEDULED and not ahead:
            self.add_error("published_at", "Say when to publish it: a time in the future.")
        elif status == PostStatus.PUBLISHED and ahead:
            self.add_error("published_at", "This is in the future; choose the status Scheduled for that.")
        elif status == PostStatus.PUBLISHED:
            cleaned["published_at"] = date or now
        elif status == PostStatus.ARCHIVED and ahead:
            cleaned["published_at"] = None


@admin.register(Post)
class PostAdmin(ModelAdmin[Post]):
    """Writes the columns that the services would: slug (once), excerpt, and a version with each change."""

    form = PostForm
    inlines = (TaggingInline,)
    autocomplete_fields = ("author",)
    list_display = ("title", "author", "status", "dated_at", "updated_at")
    list_select_related = ("author",)
    list_filter = ("status", "published_at")
    search_fields = ("title",)  # shows the box; get_search_results does the work
    search_help_text = "Words of the title or the text"
    ordering = ("-dated_at", "-id")
    show_full_result_count = False
    readonly_fields = ("slug", "excerpt", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("author", "title", "body", "version")}),
        ("Publication", {"fields": ("status", "published_at")}),
        ("Kept by the system", {"fields": ("slug", "excerpt", "created_at", "updated_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Post]:
        return super().get_queryset(request).defer("body", "search_vector", "author__bio")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Post], search_term: str
    ) -> tuple[QuerySet[Post], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(search_vector=search_query(search_term)), False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"author": request.user.pk, **super().get_changeform_initial_data(request)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Every account may write, but only under its own name; here a post may be anybody's."""
        return request.user.has_perm("posts.change_post") and super().has_add_permission(request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Post | None:
        """A form that was sent in finds the post locked, so that its version can be compared."""
        post = super().get_object(request, object_id, from_field)
        if post is None or request.method != "POST" or not connections["default"].in_atomic_block:
            return post
        return Post.objects.select_for_update(no_key=True).filter(pk=post.pk).first()

    def save_model(self, request: HttpRequest, obj: Post, form: Any, change: bool) -> None:
        obj.excerpt = excerpt(obj.body, EXCERPT_MAX)
        if change:
            super().save_model(request, obj, form, change)
        else:
            insert_with_free_slug(obj)
        if obj.status == PostStatus.PUBLISHED and form.initial.get("status") in {None, *NEVER_OUT}:
            announce(obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and any(part.has_changed() for part in (form, *formsets)):
            post: Post = form.instance
            post.version += 1
            post.updated_at = timezone.now()
            post.save(update_fields=["version", "updated_at"])

    def get_deleted_objects(
        self, objs: QuerySet[Post] | Sequence[Post], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """The posts alone, not the thousands of comments that go with them."""
        return [f"{post}, with its comments" for post in objs], {"posts": len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Post) -> None:
        self.delete_queryset(request, Post.objects.filter(pk=obj.pk))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Post]) -> None:
        """In the order of their keys, so that two that overlap wait for each other instead of both."""
        for pk in list(queryset.order_by("pk").values_list("pk", flat=True)):
            with suppress(DomainError):  # somebody else was faster
                post_delete(actor=cast("User", request.user), post_id=pk)


@admin.register(Tag)
class TagAdmin(ModelAdmin[Tag]):
    list_display = ("name", "slug", "used_by")
    search_fields = ("name",)
    prepopulated_fields: ClassVar[dict[str, Sequence[str]]] = {"slug": ("name",)}
    ordering = ("name", "id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tag]:
        used = Tagging.objects.filter(tag=OuterRef("pk")).order_by().values("tag").annotate(number=Count("*"))
        number = Coalesce(Subquery(used.values("number")), 0, output_field=IntegerField())
        return super().get_queryset(request).annotate(number_of_posts=number)

    @admin.display(ordering="number_of_posts")
    def used_by(self, tag: Any) -> SafeString:
        url = reverse("admin:posts_post_changelist", query={"tags__id__exact": tag.pk})
        return format_html('<a href="{}">{} posts</a>', url, tag.number_of_posts)

    def get_deleted_objects(
        self, objs: QuerySet[Tag] | Sequence[Tag], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """The tags alone: the posts stay, without them."""
        return [f"{tag}, taken from its posts" for tag in objs], {"tags": len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Tag) -> None:
        self.delete_queryset(request, Tag.objects.filter(pk=obj.pk))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Tag]) -> None:
        """Locks the tags first: posts that are being written with them are done then, and new ones do not find them."""
        locked = Tag.objects.select_for_update().filter(pk__in=queryset.values("pk")).order_by("pk")
        Tag.objects.filter(pk__in=[tag.pk for tag in locked]).delete()
