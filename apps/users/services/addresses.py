"""Addresses: confirming the one that an account has, and changing it for one that was confirmed."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core import outbox
from apps.core.client import Client
from apps.core.db import violated_constraint
from apps.core.errors import DomainError, ErrorCode
from apps.core.throttling import hit
from apps.users import audit, email_tokens, tasks, throttles
from apps.users.emails import normalize_email
from apps.users.models import EmailTokenPurpose, SecurityEventKind, User
from apps.users.policies import signed_in
from apps.users.services.passwords import prove


def email_verification_request(*, actor: User | None, email: str | None, client: Client) -> None:
    """Have another link mailed that confirms the actor's address; or `email`, for whoever cannot sign in before that.

    No mail goes to an address that is confirmed, or has no account; nobody is told of that: who looks is the worker.
    Raises DomainError UNAUTHENTICATED without both, REQUIRED, INVALID or RATE_LIMITED.
    """
    address = normalize_email(email) if email is not None else signed_in(actor).email
    hit(throttles.mail(client, address, "verify"))
    outbox.send(tasks.mail_confirmation, address)


@transaction.atomic
def email_verify(*, token: str, client: Client) -> User:
    """Confirm the address that the token was mailed to. Locks the user.

    Raises DomainError INVALID_TOKEN, also when the account has another address by now.
    """
    user = email_tokens.redeem(token, EmailTokenPurpose.VERIFY_EMAIL).user
    if user.email_verified_at is None:
        user.email_verified_at = timezone.now()
        user.save(update_fields=["email_verified_at"])
        audit.record(SecurityEventKind.EMAIL_VERIFIED, client, user=user)
    return user


def email_change_request(*, actor: User | None, password: str, new_email: str, client: Client) -> None:
    """Have a link mailed to `new_email` that makes it the account's address.

    When another account has it, its owner is told instead; the actor is not.
    Raises DomainError UNAUTHENTICATED, RATE_LIMITED, REQUIRED, INVALID, or INVALID_CREDENTIALS for a wrong password.
    """
    address = normalize_email(new_email, "new_email")
    user = prove(actor, password, client, "password")
    hit(throttles.mail(client, address, "change"))
    outbox.send(tasks.mail_email_change, user.pk, address, user.get_session_auth_hash())


@transaction.atomic
def email_change(*, token: str, client: Client) -> User:
    """Give the account the address that the token was mailed to, which confirms it. The old one gets a notice.

    What was mailed to the old address opens nothing any more; sessions stay. Locks the user.
    Raises DomainError INVALID_TOKEN, or UNIQUE when another account has the address by now.
    """
    redeemed = email_tokens.redeem(token, EmailTokenPurpose.CHANGE_EMAIL)
    user, old = redeemed.user, redeemed.user.email
    taken = DomainError(ErrorCode.UNIQUE, "This address has an account already.", "token")
    # The constraint is what decides; looking first keeps addresses out of PostgreSQL's log of errors.
    if User.objects.filter(email=redeemed.email).exclude(pk=user.pk).exists():
        raise taken
    user.email, user.email_verified_at = redeemed.email, timezone.now()
    try:
        with transaction.atomic():
            user.save(update_fields=["email", "email_verified_at"])
    except IntegrityError as error:
        if violated_constraint(error) != "users_user_email_key":
            raise
        raise taken from None
    email_tokens.withdraw(user, *EmailTokenPurpose)
    audit.record(SecurityEventKind.EMAIL_CHANGED, client, user=user)
    outbox.send(tasks.mail_notice, "email_changed", old, client.ip)
    return user
