"""Signing in to the admin, and one's own password there: as limited, and as recorded, as in the API."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.urls import reverse_lazy

from apps.core.admin import form_error
from apps.core.client import client_of_request
from apps.core.throttling import hit, refund
from apps.users import audit, throttles
from apps.users.emails import address_of
from apps.users.models import SecurityEventKind, User
from apps.users.services.passwords import password_changed


class SignInForm(AdminAuthenticationForm):
    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for wrong credentials, for who is no staff, and for too many attempts."""
        if not self.cleaned_data.get("password"):
            return self.cleaned_data  # the field has said so
        assert self.request is not None  # noqa: S101  (the admin's view gives it)
        client, address = client_of_request(self.request), address_of(self.cleaned_data.get("username", ""))
        attempt = throttles.sign_in(client, address)
        with form_error():
            hit(attempt)
            try:
                cleaned = super().clean()
            except ValidationError:
                user = User.objects.filter(email=address).first()
                audit.record(SecurityEventKind.LOGIN_FAILED, client, user=user, detail="admin")
                raise
        refund(attempt)
        user = self.get_user()
        audit.record(SecurityEventKind.LOGIN, client, user=user, actor=user, detail="admin")
        return cleaned


class OwnPasswordForm(AdminPasswordChangeForm):
    def clean_old_password(self) -> str:
        attempt = throttles.proof(self.user)
        with form_error():
            hit(attempt)
            old: str = super().clean_old_password()
        refund(attempt)
        return old


class OwnPassword(PasswordChangeView):
    """Django's page for whoever is signed in to the admin."""

    form_class = OwnPasswordForm
    template_name = "registration/password_change_form.html"
    success_url = reverse_lazy("admin:password_change_done")

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(**context, **admin.site.each_context(self.request))

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        client = client_of_request(self.request)
        password_changed(SecurityEventKind.PASSWORD_CHANGED, client, user=form.user, actor=form.user, detail="admin")
        return response
