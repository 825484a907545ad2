"""The record of security events: written with what they tell of, never changed."""

from apps.core.client import Client
from apps.users.models import SecurityEvent, SecurityEventKind, User


def record(
    kind: SecurityEventKind, client: Client, *, user: User | None, actor: User | None = None, detail: str = ""
) -> None:
    """Keep that `kind` has happened to `user`, by `actor`. One statement, in the caller's transaction if it has one."""
    SecurityEvent.objects.create(
        kind=kind,
        user_id=user.pk if user else None,
        actor_id=actor.pk if actor else None,
        ip=client.ip,
        user_agent=client.user_agent,
        request_id=client.request_id,
        detail=detail,
    )
