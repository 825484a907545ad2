"""What a resolver knows about its request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import strawberry

from schema.engine import Levels
from schema.loaders import Batchers

if TYPE_CHECKING:
    from apps.users.models import User


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from, for sessions and logs."""

    ip: str | None
    user_agent: str


@dataclass(slots=True)
class Context:
    """One request. Nothing in it outlives the request, so nothing that one viewer loaded can reach another."""

    request_id: str
    viewer: User | None
    session_id: int | None
    client: Client
    batchers: Batchers = field(default_factory=Batchers)
    levels: Levels = field(default_factory=Levels)

    def act_as(self, user: User | None, session_id: int | None) -> None:
        """Go on as `user`, who has just proved who they are, or as nobody after a sign-out."""
        self.viewer = user
        self.session_id = session_id


Info: TypeAlias = strawberry.Info[Context, None]
