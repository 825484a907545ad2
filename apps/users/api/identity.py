"""From a verified token to the viewer."""

from collections.abc import Mapping, MutableMapping, Sequence
from functools import cache
from typing import Any

from django.db.models import F

from apps.core.rows import KEYS, Statement, compiled, instance
from apps.users import selectors
from apps.users.models import User
from apps.users.tokens import InvalidToken
from schema.errors import RequestError, RequestErrorCode
from schema.relay import MAX_KEY


async def identify(scope: MutableMapping[str, Any]) -> tuple[User | None, int | None]:
    """The viewer and the session of the request that JWTMiddleware has looked at; (None, None) without a token.

    One statement when there is a token. Raises UNAUTHENTICATED, and never goes on as anonymous, when the token is
    not valid, its session has ended, or its user is locked or gone.
    """
    auth = scope["auth"]
    if auth is None:
        return None, None
    if isinstance(auth, InvalidToken):
        raise RequestError(RequestErrorCode.UNAUTHENTICATED, str(auth))
    rows = await _owners().fetch([auth.session_id]) if 0 < auth.session_id <= MAX_KEY else []
    # The token says whose session it is, and is believed only together with the database.
    user = instance(rows[0]) if rows else None
    if user is None or user.pk != auth.user_id:
        raise RequestError(RequestErrorCode.UNAUTHENTICATED, "This session has ended. Sign in again.")
    return user, auth.session_id


async def viewers_of(session_ids: Sequence[int]) -> Mapping[int, User]:
    """The same for many sessions that were good before, by session: without those that have ended meanwhile, and those
    of users who are locked or gone. One statement."""
    # A user with several of them comes as often.
    return {row.session_key: instance(row) for row in await _owners().fetch(session_ids)}  # type: ignore[attr-defined]


@cache
def _owners() -> Statement[User]:
    return compiled(selectors.owners_of_sessions(KEYS).annotate(session_key=F("sessions__id")))
