from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import BaseUserManager
from django.utils import timezone

from apps.core.errors import DomainError
from apps.users import roles
from apps.users.emails import normalize_email

if TYPE_CHECKING:
    from apps.users.models import User


class UserManager(BaseUserManager["User"]):
    """Makes users whose address is stored in its one normal form, and finds them by any spelling of it."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """A stored author; without a password nobody can sign in as them. Raises DomainError for a bad address."""
        user = self.model(email=normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        roles.join(roles.AUTHOR, [user.pk])
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """The same for whoever keeps the site, and needs no mail to vouch for the address."""
        vouched = {"is_staff": True, "is_superuser": True, "email_verified_at": timezone.now()}
        return self.create_user(email, password, **{**vouched, **fields})

    def get_by_natural_key(self, username: str | None) -> User:
        """The user with this address, however it is spelled. Raises User.DoesNotExist."""
        try:
            return self.get(email=normalize_email(username or ""))
        except DomainError as error:
            raise self.model.DoesNotExist from error
