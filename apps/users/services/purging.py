"""Removing what has expired."""

from collections.abc import Iterator
from datetime import timedelta
from time import time
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from apps.core import throttling
from apps.users.models import EmailToken, RefreshToken, RivalRegistration, SecurityEvent, Session

# Rows a statement: few enough that nobody waits for their locks.
BATCH = 5_000


def expired_purge() -> dict[str, int]:
    """Delete what can never be used again, counts of attempts, and security events older than SECURITY_EVENT_DAYS.

    Gives the numbers.

    In batches, each a transaction of its own: it may be interrupted, and run beside itself.
    """
    now = timezone.now()
    expired: dict[str, QuerySet[Any]] = {
        # Sessions would take theirs along, all at once.
        "refresh tokens": RefreshToken.objects.filter(expires_at__lt=now),
        "sessions": Session.objects.filter(expires_at__lt=now, refresh_tokens=None),
        "rival registrations": RivalRegistration.objects.filter(expires_at__lt=now),
        "e-mail tokens": EmailToken.objects.filter(expires_at__lt=now),
        "security events": SecurityEvent.objects.filter(at__lt=now - timedelta(days=settings.SECURITY_EVENT_DAYS)),
    }
    counts = {name: sum(_batches(rows)) for name, rows in expired.items()}
    return {**counts, "counts of attempts": throttling.purge(time())}


def _batches(rows: QuerySet[Any]) -> Iterator[int]:
    """Delete the rows batch by batch, and give how many each had."""
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        _, deleted = rows.model._default_manager.filter(pk__in=keys).delete()
        # Less than were found, when it runs beside itself.
        yield deleted.get(rows.model._meta.label, 0)
