from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import Form
from django.http import HttpRequest
from django.utils import timezone

from apps.core.admin import ModelAdmin, WatchedAdmin, form_error
from apps.core.client import client_of_request
from apps.core.text import clean_text
from apps.users import audit, email_tokens, roles
from apps.users.admin_forms import SignInForm
from apps.users.emails import normalize_email
from apps.users.models import (
    BIO_MAX,
    DETAIL_MAX,
    NAME_MAX,
    EmailTokenPurpose,
    SecurityEvent,
    SecurityEventKind,
    Session,
    User,
)
from apps.users.services.passwords import password_changed

admin.site.login_form = SignInForm
# What of an account is worth a record when it changes here.
RECORDED = {
    "groups": SecurityEventKind.ROLE_CHANGED,
    "user_permissions": SecurityEventKind.ROLE_CHANGED,
    "is_staff": SecurityEventKind.ROLE_CHANGED,
    "is_superuser": SecurityEventKind.ROLE_CHANGED,
    "is_active": SecurityEventKind.ACCOUNT_LOCKED,
    "email": SecurityEventKind.EMAIL_CHANGED,
}


class ProfileForm(Form):
    """Cleans as the API does, so that the admin stores nothing that the API would refuse."""

    def clean_email(self) -> str:
        with form_error():
            return normalize_email(self.cleaned_data["email"])

    def clean_first_name(self) -> str:
        with form_error():
            return clean_text("first_name", self.cleaned_data["first_name"], NAME_MAX, single_line=True)

    def clean_last_name(self) -> str:
        value = self.cleaned_data["last_name"]
        with form_error():
            return clean_text("last_name", value, NAME_MAX, required=False, single_line=True)


class UserAddForm(ProfileForm, BaseUserCreationForm):  # type: ignore[type-arg]  # generic to type checkers only
    class Meta:
        model = User
        fields: ClassVar[list[str]] = ["email", "first_name", "last_name"]


class UserEditForm(ProfileForm, UserChangeForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields: ClassVar[list[str]] = [
            "email",
            "password",
            "first_name",
            "last_name",
            "bio",
            "notify_of_comments",
            "notify_of_replies",
            "is_active",
            "is_staff",
        ]
        field_classes: ClassVar[dict[str, Any]] = {}

    def clean_bio(self) -> str:
        with form_error():
            return clean_text("bio", self.cleaned_data["bio"], BIO_MAX, required=False)


@admin.register(User)
class UserAdmin(StockUserAdmin):  # type: ignore[type-arg]
    """Accounts are locked here, never deleted: with them would go the replies of others."""

    form = UserEditForm
    add_form = UserAddForm
    list_display = ("email", "first_name", "last_name", "is_active", "is_staff", "date_joined")
    list_filter = ("is_active", "is_staff", "groups")
    # In lower case these use the indexes; the stock `icontains` reads the whole table.
    search_fields = ("email__startswith", "search_name__contains")
    ordering = ("-date_joined", "-id")
    show_full_result_count = False
    readonly_fields = ("email_verified_at", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Profile", {"fields": ("first_name", "last_name", "bio")}),
        ("Mails", {"fields": ("notify_of_comments", "notify_of_replies")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("date_joined", "email_verified_at", "last_login")}),
    )
    add_fieldsets = (
        (
            None,
            {"fields": ("email", "first_name", "last_name", "password1", "password2"), "classes": ("wide",)},
        ),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, search_term.lower())

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whoever is no superuser can give nobody rights, themselves included."""
        if request.user.is_superuser:
            return self.readonly_fields
        return (*self.readonly_fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """A new account is an author's, as in the API. Whoever writes an address here vouches for it; the one that an
        account had before is no way in any more."""
        if "email" in form.changed_data:
            obj.email_verified_at = timezone.now()
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            email_tokens.withdraw(obj, *EmailTokenPurpose)
        if not change:
            roles.join(roles.AUTHOR, [obj.pk])

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        for name in form.changed_data if change else ():
            if name in RECORDED:
                kind = RECORDED[name]
                if name == "is_active" and form.cleaned_data[name]:
                    kind = SecurityEventKind.ACCOUNT_UNLOCKED
                record(request, kind, form.instance, _described(name, form))

    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        response = super().user_change_password(request, id, form_url)
        user = self.get_object(request, id)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND and user is not None:
            client, actor = client_of_request(request), cast("User", request.user)
            password_changed(SecurityEventKind.PASSWORD_CHANGED, client, user=user, actor=actor, detail="admin")
        return response

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nor can they take over the account of who may more, by changing its address or password."""
        if obj is not None and not request.user.is_superuser:
            own = cast("User", request.user).get_all_permissions()
            if obj.is_superuser or not obj.get_all_permissions() <= own:
                return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def record(request: HttpRequest, kind: SecurityEventKind, user: User | None, detail: str) -> None:
    """Keep what was done here, and by whom; of `detail` as much as there is room for."""
    actor = cast("User", request.user)
    audit.record(kind, client_of_request(request), user=user, actor=actor, detail=detail[:DETAIL_MAX])


def _described(name: str, form: Any) -> str:
    """The value that `name` has now: `groups: editor, moderator`. Of an address nothing: events outlive accounts."""
    value = form.cleaned_data[name]
    if name == "email":
        return "admin"
    return f"{name}: {', '.join(map(str, value)) if isinstance(value, QuerySet) else value}"


@admin.register(Session)
class SessionAdmin(WatchedAdmin, ModelAdmin[Session]):
    """Who is signed in where. To look at, and to end."""

    list_display = ("user", "created_at", "last_used_at", "expires_at", "state", "ip", "user_agent")
    list_select_related = ("user",)
    list_filter = ("last_used_at",)
    search_fields = ("user__email__startswith", "ip__startswith")
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("revoke",)

    @admin.display
    def state(self, session: Session) -> str:
        if session.revoked_at is not None:
            return "revoked"
        return "active" if session.expires_at > timezone.now() else "expired"

    @admin.action(description="Revoke the selected sessions", permissions=["revoke"])
    @transaction.atomic
    def revoke(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        living = queryset.filter(revoked_at=None)
        users = list(User.objects.filter(pk__in=living.values("user_id")))
        revoked = Session.objects.filter(pk__in=living.values("pk")).end()
        for user in users:
            record(request, SecurityEventKind.SESSION_REVOKED, user, "admin")
        self.message_user(request, f"{revoked} sessions revoked.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("users.change_session")


@admin.register(SecurityEvent)
class SecurityEventAdmin(WatchedAdmin, ModelAdmin[SecurityEvent]):
    """What has happened to accounts. Only to look at."""

    list_display = ("at", "kind", "user_id", "actor_id", "ip", "user_agent", "detail")
    list_filter = ("kind", "at")
    search_fields = ("user_id__exact", "actor_id__exact", "ip__startswith", "request_id__exact")
    ordering = ("-id",)
    show_full_result_count = False


admin.site.unregister(Group)


@admin.register(Group)
class RecordedGroupAdmin(GroupAdmin):
    """Django's, for superusers alone: what a group may do changes what all in it may."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if form.changed_data:
            changed = ", ".join(form.changed_data)
            record(request, SecurityEventKind.ROLE_CHANGED, None, f"group {form.instance.name}: {changed}")

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        super().delete_model(request, obj)
        record(request, SecurityEventKind.ROLE_CHANGED, None, f"group {obj.name}: deleted")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        for group in queryset:
            self.delete_model(request, group)
