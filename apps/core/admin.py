"""What the admin pages of all slices share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from django_dramatiq import admin as tasks

from apps.core.errors import DomainError
from apps.core.models import JobRun

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
