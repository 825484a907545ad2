"""System checks for the settings that bite silently."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.management import get_commands
from django.http.request import validate_host

from apps.core.schedule.table import jobs


@register(Tags.security)
def check_public_url(**_: Any) -> list[CheckMessage]:
    """Mail programs press the button of a link in a mail themselves, and follow no redirect."""
    parts = urlsplit(settings.PUBLIC_URL)
    errors: list[CheckMessage] = []
    # The hosts there have the brackets of an IPv6 address.
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if host and not validate_host(host, settings.ALLOWED_HOSTS):
        errors.append(Error("PUBLIC_URL has a host that is not one of ALLOWED_HOSTS.", id="broadside.E007"))
    if parts.scheme == "http" and settings.SECURE_SSL_REDIRECT:
        errors.append(Error("PUBLIC_URL is http://…, which SECURE_SSL_REDIRECT redirects.", id="broadside.E008"))
    return errors


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


@register()
def check_schedule(**_: Any) -> list[CheckMessage]:
    """A job that is no command, or that another has the name of, would never run, or hide another's runs."""
    names = [job.name for job in jobs()]
    errors: list[CheckMessage] = [
        Error(f"The schedule has a job {name!r}, and there is no such command.", id="broadside.E005")
        for name in names
        if name not in get_commands()
    ]
    errors += [
        Error(f"The schedule has more than one job {name!r}.", id="broadside.E006")
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    return errors
