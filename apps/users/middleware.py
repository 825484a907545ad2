"""Who is asking: the bearer token of a request, verified before anything else looks at it."""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from apps.users.tokens import Claims, InvalidToken, verify_access


class JWTMiddleware:
    """Puts `scope["auth"]` in place: None without a token, its Claims, or the InvalidToken that it is.

    It answers nothing itself: the endpoint refuses an InvalidToken in the form of its errors. Cookies and Django
    sessions play no part. A socket may bring its token later: see `authenticate_init`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            scope["auth"] = authenticate([value for name, value in scope["headers"] if name == b"authorization"])
        await self.app(scope, receive, send)


# Ours have less than 500 characters.
MAX_TOKEN = 4_000


def authenticate(headers: list[bytes]) -> Claims | InvalidToken | None:
    """What the request's Authorization headers prove. No statement: whether the session lives is asked later."""
    if not headers:
        return None
    if len(headers) > 1:
        return InvalidToken("Send one Authorization header.")
    scheme, _, token = headers[0].decode("latin-1").partition(" ")
    if len(token) > MAX_TOKEN:
        return InvalidToken("The access token is not valid.")
    if scheme.lower() != "bearer" or not token.strip():
        return InvalidToken("The Authorization header must read `Bearer <access token>`.")
    try:
        return verify_access(token.strip())
    except InvalidToken as error:
        return error


def authenticate_init(scope: Scope, payload: dict[str, Any]) -> float | None:
    """Does for the `connection_init` of a socket what JWTMiddleware has done for the headers of its upgrade.

    Browsers cannot send headers with an upgrade, so `payload` may have an `authorization`, in upper or lower case.
    Gives the Unix time until which the token is good; None when there is none, or one that is refused.
    """
    given = [value for name, value in payload.items() if name.lower() == "authorization"]
    if given and scope["auth"] is not None:
        scope["auth"] = InvalidToken("Send the token by header or in connection_init, not both.")
    elif given:
        # What is no text is no token either, and not as good as none.
        scope["auth"] = authenticate([str(value).encode() for value in given])
    return scope["auth"].good_until if isinstance(scope["auth"], Claims) else None
