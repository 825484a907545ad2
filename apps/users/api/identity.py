"""From a verified token to the viewer."""

from collections.abc import MutableMapping
from typing import Any

from asgiref.sync import sync_to_async

from apps.users import selectors
from apps.users.models import User
from apps.users.tokens import InvalidToken
from schema.errors import RequestError, RequestErrorCode


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
    user = await sync_to_async(selectors.owner_of_session)(auth.user_id, auth.session_id)
    if user is None:
        raise RequestError(RequestErrorCode.UNAUTHENTICATED, "This session has ended. Sign in again.")
    return user, auth.session_id
