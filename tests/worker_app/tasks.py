"""Tasks that leave traces in the database."""

import os
import time

from django.db import connection

from apps.core.actors import actor
from apps.core.models import Throttle

# Tests have a queue of their own, wherever they share a broker.
QUEUE = os.environ.get("BROADSIDE_TEST_QUEUE", "default")


def effect(key: str = "effect") -> None:
    """Something to be counted, that a transaction which is rolled back takes back."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_throttle (key, started, count, earlier, blocked_until, block, expires) "
            "VALUES (%s, 0, 1, 0, 0, 0, 0) ON CONFLICT (key) DO UPDATE SET count = core_throttle.count + 1",
            [key],
        )


def effects(key: str = "effect") -> int:
    """How often there has been that effect."""
    return Throttle.objects.filter(key=key).values_list("count", flat=True).first() or 0


@actor(queue_name=QUEUE)
def note(key: str) -> None:
    effect(key)


@actor(queue_name=QUEUE)
def fail(key: str) -> None:
    raise ValueError("on purpose")


@actor(queue_name=QUEUE)
def show(setting: str) -> None:
    """Have the effect "setting value"."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [setting])
        effect(f"{setting} {cursor.fetchone()[0]}")


@actor(queue_name=QUEUE)
def wait(key: str) -> None:
    """Begin, and end only when there is the effect "go"; whatever anybody says."""
    effect(f"{key} has begun")
    while not effects("go"):
        time.sleep(0.02)
    effect(f"{key} has ended")


@actor(queue_name=QUEUE, once=True)
def wait_once(key: str) -> None:
    """The same, with effects that are taken back when it does not come to its end."""
    wait(key)
