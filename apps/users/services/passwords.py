"""Passwords: proving, changing and resetting them. No connection is held while one is hashed."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from apps.core import outbox
from apps.core.client import Client
from apps.core.errors import DomainError, ErrorCode
from apps.core.text import is_storable
from apps.core.throttling import hit, refund
from apps.users import audit, email_tokens, hashing, tasks, throttles
from apps.users.emails import normalize_email
from apps.users.models import EmailTokenPurpose, SecurityEventKind, User
from apps.users.policies import signed_in
from apps.users.selectors import with_permissions
from apps.users.services.sessions import Tokens, new_session


def password_change(*, actor: User | None, current_password: str, new_password: str, client: Client) -> Tokens:
    """Set a new password. All sessions end, and a new one starts for the caller. The owner is told by mail.

    Locks the user. Raises DomainError UNAUTHENTICATED, RATE_LIMITED, INVALID_CREDENTIALS, INVALID or PASSWORD_TOO_WEAK.
    """
    check_new_password(new_password, signed_in(actor), "new_password")
    proved = prove(actor, current_password, client, "current_password")
    encoded = hashing.hashed(new_password)
    with held(proved, "current_password") as user:
        _set(user, new_password, encoded)
        password_changed(SecurityEventKind.PASSWORD_CHANGED, client, user=user, actor=user)
        return new_session(user, client)


def password_reset_request(*, email: str, client: Client) -> None:
    """Have a link mailed that sets a new password, if the address has an account. Nobody is told whether it has:
    who looks is the worker.

    Raises DomainError REQUIRED or INVALID for what is no address, and RATE_LIMITED.
    """
    address = normalize_email(email)
    hit(throttles.mail(client, address, "reset"))
    outbox.send(tasks.mail_password_reset, address)


def password_reset(*, token: str, new_password: str, client: Client) -> int:
    """Set a new password for whoever got the link, and give the user's key. All sessions end. It proves the address.

    Locks the user. Raises DomainError INVALID_TOKEN, also when the account has another address by now, INVALID,
    PASSWORD_TOO_WEAK or RATE_LIMITED.
    """
    hit(throttles.password_reset(client))
    holder = email_tokens.found(token, EmailTokenPurpose.RESET_PASSWORD).user
    check_new_password(new_password, holder, "new_password")
    encoded = hashing.hashed(new_password)
    with transaction.atomic():
        user = email_tokens.redeem(token, EmailTokenPurpose.RESET_PASSWORD).user
        _set(user, new_password, encoded)
        if user.email_verified_at is None:
            user.email_verified_at = timezone.now()
            user.save(update_fields=["email_verified_at"])
        password_changed(SecurityEventKind.PASSWORD_RESET, client, user=user)
        return user.pk


def password_changed(
    kind: SecurityEventKind, client: Client, *, user: User, actor: User | None = None, detail: str = ""
) -> None:
    """Record how it was changed, and have the account's owner told. In the caller's transaction."""
    audit.record(kind, client, user=user, actor=actor, detail=detail)
    outbox.send(tasks.mail_notice, "password_changed", user.email, client.ip)


def prove(actor: User | None, password: str, client: Client, field: str) -> User:
    """The actor, who has just proved to know the account's password.

    Raises DomainError UNAUTHENTICATED, RATE_LIMITED, or INVALID_CREDENTIALS about `field`.
    """
    user = User.objects.get(pk=signed_in(actor).pk)
    attempt = throttles.proof(user)
    hit(attempt)
    if not user.check_password(password):
        audit.record(SecurityEventKind.LOGIN_FAILED, client, user=user, actor=user, detail=f"as {field}")
        raise _not_yours(field)
    refund(attempt)
    return user


@contextmanager
def held(proved: User, field: str) -> Iterator[User]:
    """A transaction that holds the user whose password was proved.

    Raises DomainError INVALID_CREDENTIALS about `field` when that has changed while it was being hashed.
    """
    with transaction.atomic():
        users = with_permissions(User.objects.select_for_update(no_key=True))
        user = users.filter(pk=proved.pk, password=proved.password).first()
        if user is None:
            raise _not_yours(field)
        yield user


def check_new_password(password: str, user: User, field: str) -> None:
    """Raises DomainError INVALID or PASSWORD_TOO_WEAK about `field`."""
    if len(password) > hashing.PASSWORD_MAX or not is_storable(password):
        raise DomainError(ErrorCode.INVALID, f"Must be text of at most {hashing.PASSWORD_MAX:,} characters.", field)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise DomainError(ErrorCode.PASSWORD_TOO_WEAK, " ".join(error.messages), field) from None


def _set(user: User, password: str, encoded: str) -> None:
    """Store the password, hashed before; which ends all sessions: see apps.users.validators."""
    user.set_hashed_password(password, encoded)
    user.save(update_fields=["password"])


def _not_yours(field: str) -> DomainError:
    return DomainError(ErrorCode.INVALID_CREDENTIALS, "This is not your password.", field)
