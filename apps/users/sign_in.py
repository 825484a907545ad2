"""Signing in to the admin: as limited, and as recorded, as in the API."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from apps.core.admin import form_error
from apps.core.client import client_of_request
from apps.core.throttling import hit, refund
from apps.users import audit, throttles
from apps.users.emails import address_of
from apps.users.models import SecurityEventKind, User


class SignInForm(AdminAuthenticationForm):
    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for wrong credentials, for who is no staff, and for too many attempts."""
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
