"""How many operations a viewer, or an address without one, may send."""

from collections.abc import Callable
from typing import Any

from django.conf import settings

from apps.core.client import Client
from apps.core.throttling import Rate, network
from apps.core.throttling.leases import leases
from schema.errors import RequestError, RequestErrorCode


async def count_operation(viewer: Any, client: Callable[[], Client]) -> None:
    """Count an operation under RATE_LIMIT_USER for `viewer`, or under RATE_LIMIT_ANONYMOUS for the client's address.

    Raises RATE_LIMITED with the seconds to wait. Where the setting is off it does nothing; else one operation of many
    takes one statement: see `Leases`.
    """
    rate = Rate.parse(settings.RATE_LIMIT_ANONYMOUS if viewer is None else settings.RATE_LIMIT_USER)
    if rate is None:
        return
    who = f"address:{network(client().ip)}" if viewer is None else f"user:{viewer.pk}"
    wait = await leases(rate).spend(f"operations:{who}")
    if wait:
        message = f"Too many operations. Try again in {wait} seconds."
        raise RequestError(RequestErrorCode.RATE_LIMITED, message, retry_after=wait)
