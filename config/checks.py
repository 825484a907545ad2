"""System checks for the settings that bite silently."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.database)
def check_connections(**_: Any) -> list[CheckMessage]:
    """Persistent connections and per-request transactions leak or block under ASGI. A pool needs somebody who looks
    at its connections, but not psycopg, which pauses between those that are dead."""
    errors: list[CheckMessage] = []
    for alias, database in settings.DATABASES.items():
        if database.get("CONN_MAX_AGE", 0) != 0:
            errors.append(Error(f"DATABASES[{alias!r}] sets CONN_MAX_AGE: under ASGI it leaks.", id="broadside.E001"))
        if database.get("ATOMIC_REQUESTS"):
            errors.append(Error(f"DATABASES[{alias!r}] sets ATOMIC_REQUESTS: services are.", id="broadside.E002"))
        if not database.get("OPTIONS", {}).get("pool") or database.get("ENGINE") != "apps.core.postgresql":
            errors.append(
                Error(f"DATABASES[{alias!r}] needs a pool and the ENGINE apps.core.postgresql.", id="broadside.E003")
            )
        if database.get("CONN_HEALTH_CHECKS"):
            errors.append(
                Error(f"DATABASES[{alias!r}] sets CONN_HEALTH_CHECKS: it blocks after a restart.", id="broadside.E004")
            )
    return errors
