"""ASGI middleware for every request."""

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACCEPTABLE = re.compile(rb"[\w.-]{8,64}")


class RequestIdMiddleware:
    """Gives each request an id: `scope["request_id"]`, and the header `X-Request-ID` of its response.

    An id that a proxy has given already is kept, so that logs of both can be joined.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given if ACCEPTABLE.fullmatch(given) else secrets.token_hex(16).encode()
        scope["request_id"] = request_id.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id)]
            await send(message)

        await self.app(scope, receive, send_with_id)
