"""Tokens that are mailed: each works once, for one purpose, and for a while."""

from datetime import timedelta

from django.utils import timezone

from apps.core.errors import DomainError, ErrorCode
from apps.core.inbox import current_message_id
from apps.users import tokens
from apps.users.models import EmailToken, EmailTokenPurpose, User

LIFETIMES = {
    EmailTokenPurpose.VERIFY_EMAIL: timedelta(days=3),
    EmailTokenPurpose.RESET_PASSWORD: timedelta(hours=1),
    EmailTokenPurpose.CHANGE_EMAIL: timedelta(days=1),
}


def issue(user: User, purpose: EmailTokenPurpose, email: str) -> str:
    """A token for `user` to be mailed to `email`, and nowhere else to be found. One statement.

    A task that is done again, since nobody can tell whether its mail has gone out, gets the one that it had: the link
    in either mail is good.
    """
    message_id = current_message_id()
    if message_id is None:
        secret, digest = tokens.new_secret()
    else:
        secret, digest = tokens.derived_secret(message_id, purpose, email)
    expires_at = timezone.now() + LIFETIMES[purpose]
    EmailToken.objects.create(user=user, purpose=purpose, email=email, digest=digest, expires_at=expires_at)
    return secret


def found(secret: str, purpose: EmailTokenPurpose) -> EmailToken:
    """The token with its user, unchanged. One statement.

    Raises DomainError INVALID_TOKEN unless it is unused, unexpired, for `purpose`, and of an account in use.
    """
    usable = EmailToken.objects.filter(used_at=None, expires_at__gt=timezone.now(), user__is_active=True)
    token = usable.filter(digest=tokens.digest(secret), purpose=purpose).select_related("user").first()
    if token is None:
        raise _no_longer_valid()
    return token


def redeem(secret: str, purpose: EmailTokenPurpose) -> EmailToken:
    """The token, used up, with its user, locked: of parallel uses exactly one gets it.

    Three statements, inside the caller's transaction. Raises as `found` does, and, unless it is to change the address,
    when the account has another one by now. The user is locked first, as by whoever changes a password, and withdraws
    tokens with it.
    """
    token = found(secret, purpose)
    user = User.objects.select_for_update(no_key=True).filter(pk=token.user_id, is_active=True).first()
    if user is None or (purpose != EmailTokenPurpose.CHANGE_EMAIL and user.email != token.email):
        raise _no_longer_valid()
    if not EmailToken.objects.filter(pk=token.pk, used_at=None).update(used_at=timezone.now()):
        raise _no_longer_valid()
    token.user = user
    return token


def withdraw(user: User, *purposes: EmailTokenPurpose) -> None:
    """Let none of the user's tokens for `purposes` be used any more. One statement."""
    EmailToken.objects.filter(user=user, purpose__in=purposes, used_at=None).update(used_at=timezone.now())


def _no_longer_valid() -> DomainError:
    return DomainError(ErrorCode.INVALID_TOKEN, "This token is no longer valid. Ask for another one.", "token")
