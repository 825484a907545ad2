"""What a resolver knows about its request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import strawberry

from apps.core.client import Client
from schema.cookies import RefreshCookie
from schema.engine import Levels
from schema.loaders import Batchers

if TYPE_CHECKING:
    from apps.users.models import User


@dataclass(slots=True)
class Context:
    """One request. Nothing in it outlives the request, so nothing that one viewer loaded can reach another."""

    request_id: str
    viewer: User | None
    session_id: int | None
    # Where the request comes from, for those who want to know: `client()`.
    client: Callable[[], Client]
    # Where a browser may keep its refresh token; over a WebSocket there is none.
    cookie: RefreshCookie | None = None
    batchers: Batchers = field(default_factory=Batchers)
    levels: Levels = field(default_factory=Levels)

    def act_as(self, user: User, session_id: int) -> None:
        """Go on as `user`, who has just proved who they are."""
        self.viewer, self.session_id = user, session_id

    def close(self) -> None:
        """The operation has ended: nobody waits for its loads any more, and what they gave is let go of at once."""
        self.levels.close()
        self.batchers.clear()

    def session_ended(self, session_id: int) -> None:
        """Go on as nobody, when it was this request's session."""
        if session_id == self.session_id:
            self.viewer = self.session_id = None

    def sessions_ended(self, user_id: int) -> None:
        """Go on as nobody, when it was this user's request."""
        if self.viewer is not None and self.viewer.pk == user_id:
            self.viewer = self.session_id = None


Info: TypeAlias = strawberry.Info[Context, None]
