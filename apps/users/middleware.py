"""Who is asking: the bearer token of a request, verified before anything else looks at it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from apps.users.tokens import Claims, InvalidToken, verify_access


class JWTMiddleware:
    """Puts `scope["auth"]` in place: None without a token, its Claims, or the InvalidToken that it is.

    It answers nothing itself: the endpoint refuses an InvalidToken in the form of its errors. Cookies and Django
    sessions play no part.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            scope["auth"] = authenticate([value for name, value in scope["headers"] if name == b"authorization"])
        await self.app(scope, receive, send)


def authenticate(headers: list[bytes]) -> Claims | InvalidToken | None:
    """What the request's Authorization headers prove. No statement: whether the session lives is asked later."""
    if not headers:
        return None
    if len(headers) > 1:
        return InvalidToken("Send one Authorization header.")
    scheme, _, token = headers[0].decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return InvalidToken("The Authorization header must read `Bearer <access token>`.")
    try:
        return verify_access(token.strip())
    except InvalidToken as error:
        return error
