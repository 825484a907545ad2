"""Removing what is of no use any more. The slices say what that is, because this package does not know them."""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from time import time
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.core import throttling
from apps.core.models import InboxMessage
from apps.core.schedule import runs

logger = logging.getLogger("broadside.purge")

# Rows a statement: few enough that nobody waits for their locks.
BATCH = 5_000
# Longer than any broker may keep a message and deliver it again.
INBOX_KEPT = timedelta(days=14)

# Deletes, in batches, each a transaction of its own, and gives the number: it may be interrupted, and run beside
# itself.
Purge = Callable[[], int]
_purges: dict[str, Purge] = {}


def register(purges: Mapping[str, Purge]) -> None:
    """Have these done by `purge`, in their order, under the names of what they delete. For `ready` of an AppConfig."""
    _purges.update(purges)


def purge() -> tuple[dict[str, int], list[str]]:
    """Do all that was registered: how much of each was deleted, and the names of what has failed, which is logged."""
    counts: dict[str, int] = {}
    failed: list[str] = []
    for name, delete in _purges.items():
        try:
            counts[name] = delete()
        except Exception:
            # Else one that always fails would keep those behind it from ever being done.
            logger.exception("Could not delete %s", name)
            failed.append(name)
    return counts, failed


def in_batches(rows: Callable[[], QuerySet[Any]]) -> Purge:
    """The purge that deletes what `rows` gives at its time."""
    return partial(_delete, rows)


def _delete(rows: Callable[[], QuerySet[Any]]) -> int:
    found = rows()
    count = 0
    while keys := list(found.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        _, deleted = found.model._default_manager.filter(pk__in=keys).delete()
        # Less than were found, when it runs beside itself.
        count += deleted.get(found.model._meta.label, 0)
    return count


def of_core() -> dict[str, Purge]:
    """What this package itself has to delete."""
    return {
        "notes of messages done": in_batches(lambda: InboxMessage.objects.filter(done_at__lt=Now() - INBOX_KEPT)),
        "runs of jobs": runs.prune,
        "counts of attempts": lambda: throttling.purge(time()),
    }
