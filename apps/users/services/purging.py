"""Removing what has expired."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.sessions.models import Session as AdminSession
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from apps.core.purging import Purge, in_batches
from apps.users.models import EmailToken, RefreshToken, RivalRegistration, SecurityEvent, Session, User

# Accounts a transaction: whoever wants to use one of them waits for its end.
ACCOUNTS_BATCH = 500


def purges() -> dict[str, Purge]:
    """What `manage.py purge` deletes: what can never be used again, events older than SECURITY_EVENT_DAYS, and
    accounts that were never used."""
    return {
        # Sessions would take theirs along, all at once.
        "refresh tokens": in_batches(lambda: RefreshToken.objects.filter(expires_at__lt=timezone.now())),
        "sessions": in_batches(lambda: Session.objects.filter(expires_at__lt=timezone.now(), refresh_tokens=None)),
        "sessions of the admin": in_batches(lambda: AdminSession.objects.filter(expire_date__lt=timezone.now())),
        "rival registrations": in_batches(lambda: RivalRegistration.objects.filter(expires_at__lt=timezone.now())),
        "e-mail tokens": in_batches(lambda: EmailToken.objects.filter(expires_at__lt=timezone.now())),
        "security events": in_batches(lambda: SecurityEvent.objects.filter(at__lt=_days_ago("SECURITY_EVENT_DAYS"))),
        "unconfirmed accounts": unconfirmed_accounts_purge,
    }


def unconfirmed_accounts_purge() -> int:
    """Delete the accounts that nobody has confirmed or used within UNVERIFIED_ACCOUNT_DAYS, and give their number.

    Only with EMAIL_VERIFICATION=required: otherwise an account can be used unconfirmed. No row stays, as nothing hangs
    below; an account on which anything hangs is kept, whatever it is, and so is one that is locked, or of the staff,
    or has a link to confirm it that still works. In batches, each a transaction of its own that locks its accounts;
    those that somebody else has locked are left for the next time.
    """
    if settings.EMAIL_VERIFICATION != "required":
        return 0
    count = 0
    while deleted := _delete_unconfirmed():
        count += deleted
    return count


@transaction.atomic
def _delete_unconfirmed() -> int:
    # Again under the locks: what the first look saw may have changed before they were taken. From then on nothing
    # that hangs on one of them can be committed.
    locked = list(_unconfirmed().select_for_update(of=("self",), skip_locked=True).order_by("pk")[:ACCOUNTS_BATCH])
    _, deleted = _unconfirmed().filter(pk__in=[user.pk for user in locked]).delete()
    return deleted.get(User._meta.label, 0)


def _unconfirmed() -> QuerySet[User]:
    unused = User.objects.filter(
        email_verified_at=None,
        last_login=None,
        # One that has ended is locked, too, and other people's replies hang below it.
        is_active=True,
        is_staff=False,
        is_superuser=False,
        date_joined__lt=_days_ago("UNVERIFIED_ACCOUNT_DAYS"),
    )
    for relation in User._meta.related_objects:
        below = relation.related_model._default_manager.filter(**{relation.field.name: OuterRef("pk")})
        if relation.related_model is EmailToken:
            below = below.filter(used_at=None, expires_at__gt=timezone.now())
        unused = unused.filter(~Exists(below))
    return unused


def _days_ago(setting: str) -> datetime:
    return timezone.now() - timedelta(days=getattr(settings, setting))
