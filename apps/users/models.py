from __future__ import annotations

from typing import ClassVar

from django.contrib.auth import hashers
from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Concat, Length, Lower
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone

from apps.users.emails import EMAIL_MAX
from apps.users.managers import UserManager

NAME_MAX = 100
BIO_MAX = 2_000
USER_AGENT_MAX = 255


class User(AbstractBaseUser, PermissionsMixin):
    """An account, and the public profile of a person who writes or comments."""

    email = models.EmailField(max_length=EMAIL_MAX, unique=True, help_text="In lower case; the name to sign in with.")
    email_verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    first_name = models.CharField(max_length=NAME_MAX, help_text="Given name.")
    last_name = models.CharField(max_length=NAME_MAX, blank=True, help_text="Family name; may be empty.")
    bio = models.TextField(blank=True, help_text="A few words about the person, in plain text.")
    is_active = models.BooleanField(default=True, help_text="Clear it to lock the account without deleting anything.")
    is_staff = models.BooleanField(default=False, help_text="May use the admin and sees what is not published.")
    date_joined = models.DateTimeField(default=timezone.now, editable=False, help_text="When the account was made.")
    search_name = models.GeneratedField(
        expression=Lower(Concat("first_name", Value(" "), "last_name")),
        output_field=models.TextField(),
        db_persist=True,
    )

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["first_name"]

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_is_lower_case"),
            models.CheckConstraint(condition=LessThanOrEqual(Length("bio"), BIO_MAX), name="user_bio_length"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(F("date_joined").desc(), F("id").desc(), name="user_newest"),
            GinIndex(OpClass("search_name", name="gin_trgm_ops"), name="user_search_name"),
        ]

    def __str__(self) -> str:
        return self.email

    def check_password(self, raw_password: str | None) -> bool:
        """Whether it is the user's. An outdated hash of it is renewed, by a second statement.

        Django's own renewal would bring an old password back when it was changed during the check.
        """
        found = self.password

        def renew(raw_password: str) -> None:
            self.password = hashers.make_password(raw_password)
            User.objects.filter(pk=self.pk, password=found).update(password=self.password)

        return hashers.check_password(raw_password, found, renew)

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        return self.first_name


class Session(models.Model):
    """One sign-in on one device: the family of refresh tokens that descend from it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions", db_index=False)
    created_at = models.DateTimeField(default=timezone.now, help_text="When this sign-in happened.")
    last_used_at = models.DateTimeField(default=timezone.now, help_text="When its tokens were last renewed.")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    user_agent = models.CharField(max_length=USER_AGENT_MAX, blank=True, help_text="The client's own description.")
    ip = models.GenericIPAddressField(null=True, blank=True, help_text="The address that it signed in from.")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["user", "-last_used_at"], name="session_of_user")]

    def __str__(self) -> str:
        return f"Session {self.pk} of user {self.user_id}"


class RefreshToken(models.Model):
    """A refresh token, known only by its SHA-256. Spent ones stay until they expire: that is the blacklist."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="refresh_tokens")
    digest = models.BinaryField(max_length=32, unique=True)
    expires_at = models.DateTimeField(db_index=True)
    spent_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Refresh token {self.pk} of session {self.session_id}"
