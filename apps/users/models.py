from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Concat, Length, Lower
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone

from apps.core.client import USER_AGENT_MAX
from apps.users import hashing
from apps.users.emails import EMAIL_MAX
from apps.users.managers import UserManager

NAME_MAX = 100
BIO_MAX = 2_000
DETAIL_MAX = 250


class User(AbstractBaseUser, PermissionsMixin):
    """An account, and the public profile of a person who writes or comments."""

    email = models.EmailField(max_length=EMAIL_MAX, unique=True, help_text="In lower case; the name to sign in with.")
    email_verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    first_name = models.CharField(max_length=NAME_MAX, help_text="Given name.")
    last_name = models.CharField(max_length=NAME_MAX, blank=True, help_text="Family name; may be empty.")
    bio = models.TextField(blank=True, help_text="A few words about the person, in plain text.")
    is_active = models.BooleanField(default=True, help_text="Clear it to lock the account without deleting anything.")
    is_staff = models.BooleanField(default=False, help_text="May use the admin and sees what is not published.")
    notify_of_comments = models.BooleanField(
        default=True, db_default=True, help_text="Whether a mail tells of comments on the user's posts."
    )
    notify_of_replies = models.BooleanField(
        default=True, db_default=True, help_text="Whether a mail tells of replies to the user's comments."
    )
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

    def set_password(self, raw_password: str | None) -> None:
        self.set_hashed_password(raw_password, hashing.hashed(raw_password))

    def set_hashed_password(self, raw_password: str | None, hashed: str) -> None:
        """The same for a password that was hashed before, where no transaction was open."""
        self.password = hashed
        # For Django, which tells the password validators once it is stored.
        self._password = raw_password

    def check_password(self, raw_password: str | None) -> bool:
        """Whether it is the user's. An outdated hash of it is renewed, by a statement; or two, beside another renewal.

        Django's own renewal would bring an old password back when it was changed during the check.
        """
        found = self.password
        is_right, is_outdated = hashing.verified(raw_password, found)
        if not (is_right and is_outdated):
            return is_right
        self.password = hashing.hashed(raw_password)
        if User.objects.filter(pk=self.pk, password=found).update(password=self.password):
            return True
        # Somebody else was faster, with the same password or with another.
        self.refresh_from_db(fields=["password"])
        return hashing.verified(raw_password, self.password)[0]

    @cached_property
    def permission_names(self) -> frozenset[str]:
        """What the groups and the user's own permissions allow, as "posts.change_post".

        Loaded with the user by `selectors.with_permissions`; where it was not, it takes two statements, and a superuser
        has all there are.
        """
        return frozenset(self.get_all_permissions())

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Django's answer, from `permission_names`. Of a single `obj` Django knows nothing: see the policies."""
        if obj is not None:
            return super().has_perm(perm, obj)
        return self.is_active and (self.is_superuser or perm in self.permission_names)

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        return self.first_name


class SessionQuerySet(models.QuerySet["Session"]):
    def end(self) -> int:
        """End these sessions, and their access tokens with them; gives the number of those that had not ended yet."""
        return self.filter(revoked_at=None).update(revoked_at=timezone.now())


class Session(models.Model):
    """One sign-in on one device: the family of refresh tokens that descend from it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions", db_index=False)
    created_at = models.DateTimeField(default=timezone.now, help_text="When this sign-in happened.")
    last_used_at = models.DateTimeField(default=timezone.now, help_text="When its tokens were last renewed.")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    user_agent = models.CharField(max_length=USER_AGENT_MAX, blank=True, help_text="The client's own description.")
    ip = models.GenericIPAddressField(null=True, blank=True, help_text="The address that it signed in from.")

    objects = SessionQuerySet.as_manager()

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


class RivalRegistration(models.Model):
    """A registration of an address that had an account already, where nobody may be told that it had.

    Whoever signs in with its password is told to confirm the address first, as if it had been free. The last counts.
    """

    email = models.EmailField(max_length=EMAIL_MAX, unique=True)
    password = models.CharField(max_length=128)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"Registration {self.pk} of an address that was taken"


class EmailTokenPurpose(models.TextChoices):
    """What a mailed token is good for; for nothing else."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"
    CHANGE_EMAIL = "change_email"


class EmailToken(models.Model):
    """A token that was mailed to `email`, known only by its SHA-256: whoever brings it reads that address's mail."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="email_tokens")
    purpose = models.CharField(max_length=20, choices=EmailTokenPurpose)
    email = models.EmailField(max_length=EMAIL_MAX)
    digest = models.BinaryField(max_length=32, unique=True)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"Token {self.pk} of user {self.user_id} to {self.purpose}"


class SecurityEventKind(models.TextChoices):
    """What is worth knowing afterwards."""

    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    REFRESH_REUSED = "refresh_reused"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    EMAIL_VERIFIED = "email_verified"
    EMAIL_CHANGED = "email_changed"
    SESSION_REVOKED = "session_revoked"
    ROLE_CHANGED = "role_changed"
    ACCOUNT_LOCKED = "account_locked"
    ACCOUNT_UNLOCKED = "account_unlocked"
    ACCOUNT_DELETED = "account_deleted"


class SecurityEvent(models.Model):
    """Something that happened to an account. A trigger keeps rows as they were written (migration 0002).

    Keys without a foreign key: what is recorded of an account outlives it.
    """

    at = models.DateTimeField(default=timezone.now, db_index=True)
    kind = models.CharField(max_length=20, choices=SecurityEventKind)
    user_id = models.BigIntegerField(null=True, help_text="Whose account; empty when an unknown address was tried.")
    actor_id = models.BigIntegerField(null=True, help_text="Who did it, as far as they had proved who they are.")
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=USER_AGENT_MAX, blank=True)
    request_id = models.CharField(max_length=100, blank=True, help_text="As in the server's log.")
    detail = models.CharField(max_length=DETAIL_MAX, blank=True)

    class Meta:
        default_permissions = ("view",)
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user_id", "-id"], name="event_of_user"),
            models.Index(fields=["user_id", "ip"], condition=Q(kind="login"), name="event_login_from"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of user {self.user_id} at {self.at:%Y-%m-%d %H:%M:%S}"
