"""Attempts counted in the table of `Throttle` (apps/core/models.py), on Django's connection of the calling thread."""

from collections.abc import Mapping, Sequence

from django.db import connection

from apps.core.throttling.rates import Rate

# How many rows `purge` deletes in one statement: what it holds locked, and for how long, does not grow with the table.
BATCH = 5_000


def take(rates: Mapping[str, Rate], now: float, amount: int, growth: int) -> int:
    """See `Store`. One statement; it locks the keys' rows, in the order of the keys."""
    counts = [rate.count for rate in rates.values()]
    sizes = [rate.seconds * 1000 for rate in rates.values()]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT throttle_take(%s::text[], %s::bigint[], %s::bigint[], %s, %s, %s)",
            [list(rates), counts, sizes, amount, growth, round(now * 1000)],
        )
        return int(cursor.fetchone()[0])


def give_back(keys: Sequence[str]) -> None:
    """See `Store`. One statement; it locks the keys' rows, in the order of the keys."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH locked AS (SELECT key FROM core_throttle WHERE key = ANY (%s) ORDER BY key FOR UPDATE) "
            "UPDATE core_throttle SET count = count - 1 FROM locked WHERE core_throttle.key = locked.key AND count > 0",
            [list(keys)],
        )


def purge(now: float) -> int:
    """Delete the rows that no longer matter at `now`, in seconds; return how many there were.

    One statement for each BATCH of them, and one more. Rows that somebody has locked are left for the next time.
    """
    purged = 0
    while deleted := _purge_batch(now):
        purged += deleted
    return purged


def _purge_batch(now: float) -> int:
    with connection.cursor() as cursor:
        # ARRAY, because PostgreSQL may run what stands in IN more than once.
        cursor.execute(
            "DELETE FROM core_throttle WHERE key = ANY (ARRAY("
            "SELECT key FROM core_throttle WHERE expires <= %s ORDER BY expires LIMIT %s FOR UPDATE SKIP LOCKED))",
            [round(now * 1000), BATCH],
        )
        return int(cursor.rowcount)
