"""Accounts: from their registration to their end."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.core import outbox
from apps.core.client import Client
from apps.core.errors import DomainError, ErrorCode
from apps.core.text import Form
from apps.core.throttling import hit
from apps.users import audit, deletion, hashing, roles, tasks, throttles
from apps.users.emails import normalize_email
from apps.users.models import BIO_MAX, NAME_MAX, RivalRegistration, SecurityEventKind, User
from apps.users.policies import signed_in
from apps.users.services.passwords import check_new_password, held, prove

# As long as somebody would wait for the mail that never comes.
RIVALS_LAST = timedelta(days=3)


def user_register(*, email: str, password: str, first_name: str, last_name: str, client: Client) -> User | None:
    """A new account, which is an author's, and a mail to its owner with a link that confirms the address.

    With EMAIL_VERIFICATION=required nobody is told whether the address had an account already, but its owner by mail:
    the answer is None in either case, and the work is the same.
    Raises DomainError REQUIRED, INVALID, PASSWORD_TOO_WEAK, RATE_LIMITED, or UNIQUE when the address has an account.
    """
    form = Form()
    user = User(
        email=form.run(lambda: normalize_email(email), default=""),
        first_name=form.text("first_name", first_name, maximum=NAME_MAX, single_line=True),
        last_name=form.text("last_name", last_name, maximum=NAME_MAX, single_line=True, required=False),
    )
    form.run(lambda: check_new_password(password, user, "password"), default=None)
    form.check()
    hit(throttles.register(client, user.email))
    user.password = hashing.hashed(password)
    return _store(user)


@transaction.atomic
def _store(user: User) -> User | None:
    """The constraint decides, and in silence: PostgreSQL's log of errors would hold addresses and hashes."""
    stored = None
    while stored is None:  # what was in the way may have been purged before it was read
        User.objects.bulk_create([user], ignore_conflicts=True)
        stored = User.objects.filter(email=user.email).first()
    is_new = stored.password == user.password
    # For nobody it takes as long.
    roles.join(roles.AUTHOR, [stored.pk] if is_new else [])
    if is_new:
        outbox.send(tasks.mail_confirmation, user.email)
        RivalRegistration.objects.filter(email=user.email).delete()
    elif settings.EMAIL_VERIFICATION == "required":
        rival = {"password": user.password, "expires_at": timezone.now() + RIVALS_LAST}
        RivalRegistration.objects.bulk_create(
            [RivalRegistration(email=user.email, **rival)],
            update_conflicts=True,
            unique_fields=["email"],
            update_fields=[*rival],
        )
        outbox.send(tasks.mail_notice, "already_registered", user.email)
    else:
        raise DomainError(ErrorCode.UNIQUE, "This address has an account already.", "email")
    return None if settings.EMAIL_VERIFICATION == "required" else stored


@transaction.atomic
def profile_update(
    *,
    actor: User | None,
    first_name: str | None = None,
    last_name: str | None = None,
    bio: str | None = None,
    notify_of_comments: bool | None = None,
    notify_of_replies: bool | None = None,
) -> User:
    """Change what is given; None leaves a field as it is.

    Locks the user. Raises DomainError UNAUTHENTICATED, REQUIRED or INVALID.
    """
    living = User.objects.select_for_update(no_key=True).filter(pk=signed_in(actor).pk, is_active=True)
    # An account that has ended meanwhile must not get its name back.
    user = signed_in(living.first())
    form = Form()
    if first_name is not None:
        user.first_name = form.text("first_name", first_name, maximum=NAME_MAX, single_line=True)
    if last_name is not None:
        user.last_name = form.text("last_name", last_name, maximum=NAME_MAX, single_line=True, required=False)
    if bio is not None:
        user.bio = form.text("bio", bio, maximum=BIO_MAX, required=False)
    if notify_of_comments is not None:
        user.notify_of_comments = notify_of_comments
    if notify_of_replies is not None:
        user.notify_of_replies = notify_of_replies
    form.check()
    user.save(update_fields=["first_name", "last_name", "bio", "notify_of_comments", "notify_of_replies"])
    return user


def account_delete(*, actor: User | None, password: str, client: Client) -> int:
    """End the actor's account for good, and give its key; ACCOUNT_DELETION says what becomes of what they wrote.

    "keep": it stays, under an account without name, address or password. "erase": it goes, and of comments with
    replies the place stays, empty. Locks the user.
    Raises DomainError UNAUTHENTICATED, RATE_LIMITED, or INVALID_CREDENTIALS for a wrong password.
    """
    with held(prove(actor, password, client, "password"), "password") as user:
        address = user.email
        deletion.delete(user)
        audit.record(SecurityEventKind.ACCOUNT_DELETED, client, user=user, actor=user)
        outbox.send(tasks.mail_notice, "account_deleted", address, client.ip)
        return user.pk
