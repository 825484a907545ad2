"""What the admin pages of all slices share, and the page of what the kernel keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.timesince import timesince
from django_dramatiq import admin as tasks

from apps.core import dead_letters
from apps.core.errors import DomainError
from apps.core.models import DeadLetter, JobRun
from apps.core.text import counted

__all__ = ["BaseInlineFormSet", "ModelAdmin", "ModelForm", "TabularInline", "WatchedAdmin", "form_error"]

# Its table stays empty: the messages are with the broker. The import above has registered it.
admin.site.unregister(tasks.Task)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, TabularInline
    from django.forms import BaseInlineFormSet, ModelForm
else:
    # To type checkers Django's classes are generic, at run time they are not; these are both.
    from django import forms

    class _Generic:
        def __class_getitem__(cls, _):
            return cls

    class ModelAdmin(_Generic, admin.ModelAdmin):
        pass

    class TabularInline(_Generic, admin.TabularInline):
        pass

    class BaseInlineFormSet(_Generic, forms.BaseInlineFormSet):
        pass

    class ModelForm(_Generic, forms.ModelForm):
        pass


class WatchedAdmin:
    """Mixed into an admin: rows that are only looked at. They come and go by what the application does."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@contextmanager
def form_error() -> Iterator[None]:
    """Turn the DomainError of a cleaning function into what a form's `clean_` method has to raise."""
    try:
        yield
    except DomainError as error:
        raise ValidationError(error.message, code=error.code.lower()) from error


@admin.register(JobRun)
class JobRunAdmin(WatchedAdmin, ModelAdmin[JobRun]):
    """What the scheduler has run, and how it went."""

    list_display = ("job", "started_at", "ended_at", "outcome")
    list_filter = ("job", "outcome")
    ordering = ("-pk",)
    show_full_result_count = False


@admin.register(DeadLetter)
class DeadLetterAdmin(WatchedAdmin, ModelAdmin[DeadLetter]):
    """To look at, to requeue, and to drop. What a task was given, and what its error says, may be personal data: they
    are for who may requeue it."""

    list_display = ("actor", "kind_of_error", "age", "retries", "message_id")
    list_filter = ("actor", "failed_at")
    search_fields = ("actor__startswith",)
    ordering = ("-failed_at", "-id")
    show_full_result_count = False
    fields = ("message_id", "actor", "failed_at", "retries")
    readonly_fields: ClassVar[list[str]] = ["arguments", "traceback"]
    actions = ("requeue",)

    def get_fields(self, request: HttpRequest, obj: DeadLetter | None = None) -> tuple[str, ...]:
        private = ("arguments", "traceback") if self.has_requeue_permission(request) else ()
        return (*self.fields, *private)

    @admin.display(description="error")
    def kind_of_error(self, letter: DeadLetter) -> str:
        return dead_letters.last_line(letter).partition(":")[0]

    @admin.display(ordering="failed_at")
    def age(self, letter: DeadLetter) -> str:
        return timesince(letter.failed_at)

    @admin.display
    def arguments(self, letter: DeadLetter) -> str:
        return dead_letters.arguments(letter)

    @admin.display
    def traceback(self, letter: DeadLetter) -> str:
        return letter.error

    @admin.action(description="Requeue the selected dead letters", permissions=["requeue"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        self.message_user(request, f"{counted(dead_letters.requeue(queryset), 'dead letter')} requeued.")

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("core.change_deadletter")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("core.delete_deadletter")
