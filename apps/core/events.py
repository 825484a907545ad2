"""Telling all servers what has happened. They tell those of their subscribers who may know."""

from django.db import connection

# Where the servers listen.
CHANNEL = "broadside_events"


def publish(topic: str, key: int) -> None:
    """Say that `topic` has news: the row with this key. One statement, or one call of Redis where PUBSUB_URL names one.

    Nobody is told twice by this, and nobody hears what was said before they listened. In PostgreSQL it is said when the
    surrounding transaction commits.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{topic} {key}"])
