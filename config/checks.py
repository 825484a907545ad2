"""System checks for the settings that bite silently."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

JWT_KEY_MIN_BYTES = 32


@register(Tags.database)
def check_connections(**_: Any) -> list[CheckMessage]:
    """Persistent connections and per-request transactions leak or block under ASGI; the pool needs its health check."""
    errors: list[CheckMessage] = []
    for alias, database in settings.DATABASES.items():
        if database.get("CONN_MAX_AGE", 0) != 0:
            errors.append(Error(f"DATABASES[{alias!r}] sets CONN_MAX_AGE: under ASGI it leaks.", id="broadside.E001"))
        if database.get("ATOMIC_REQUESTS"):
            errors.append(Error(f"DATABASES[{alias!r}] sets ATOMIC_REQUESTS: services are.", id="broadside.E002"))
        if not database.get("OPTIONS", {}).get("pool") or not database.get("CONN_HEALTH_CHECKS"):
            errors.append(Error(f"DATABASES[{alias!r}] needs a pool and CONN_HEALTH_CHECKS.", id="broadside.E003"))
    return errors


@register(Tags.security)
def check_jwt_key(**_: Any) -> list[CheckMessage]:
    """PyJWT only warns about a key that can be guessed."""
    if len(settings.JWT_SIGNING_KEY.encode()) < JWT_KEY_MIN_BYTES:
        return [Error(f"JWT_SIGNING_KEY needs at least {JWT_KEY_MIN_BYTES} bytes.", id="broadside.E004")]
    return []


@register(Tags.security)
def check_secrets_differ(**_: Any) -> Sequence[CheckMessage]:
    """One leaked key should not open two doors."""
    if settings.JWT_SIGNING_KEY == settings.SECRET_KEY:
        return [Error("JWT_SIGNING_KEY and SECRET_KEY must differ.", id="broadside.E005")]
    return []
