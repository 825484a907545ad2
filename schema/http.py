"""GraphQL over HTTP, without GraphQL: what a request carries, and how an answer is sent.

https://graphql.github.io/graphql-over-http/draft/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson
from django.conf import settings
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from schema.cookies import RefreshCookie
from schema.errors import bad_input
from schema.request import Request, Sent

JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
UNWANTED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)", re.IGNORECASE)


class Call(Request):
    """One request over HTTP."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, scope["request_id"])
        self.receive = receive
        self.cookie = RefreshCookie(scope)
        # The server leaves the body of the answer to a HEAD out.
        self.method: str = "GET" if scope["method"] == "HEAD" else scope["method"]
        self.may_write = self.method != "GET"
        self.may_stream = scope["method"] != "HEAD" and self._accepts(EVENT_STREAM)
        # Whether the body has come.
        self.is_read = False

    @property
    def asks_for_the_page(self) -> bool:
        accept = self.header(b"accept")
        return self.method == "GET" and ("text/html" in accept or "*/*" in accept) and "query" not in self._parameters

    @property
    def accepts_response_json(self) -> bool:
        """Whether the client names the new media type in `Accept`, and not as one that it does not want (`q=0`)."""
        return self._accepts(RESPONSE_JSON)

    @property
    def wants_events(self) -> bool:
        """Whether it wants a single answer as a stream, too: some clients accept both for whatever they send."""
        return self.may_stream and not any(map(self._accepts, (JSON, RESPONSE_JSON, "*/*")))

    def _accepts(self, media_type: str) -> bool:
        accept = self.header(b"accept")
        return media_type in accept.lower() and any(
            _media_type(range) == media_type and not UNWANTED.search(range) for range in accept.split(",")
        )

    async def read(self) -> None:
        """Raises BAD_USER_INPUT beyond GRAPHQL_MAX_BODY_BYTES, and ClientDisconnect when the rest does not come."""
        body, more = b"", True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > settings.GRAPHQL_MAX_BODY_BYTES:
                raise bad_input(f"The request's body has more than {settings.GRAPHQL_MAX_BODY_BYTES:,} bytes.")
        self.is_read, self._body = True, body

    def sent(self) -> Sent:
        if self.method == "GET":
            return Sent.checked(self._sent_in_url())
        if _media_type(self.header(b"content-type")) != JSON:
            raise bad_input("The request's `Content-Type` must be application/json.")
        try:
            sent = orjson.loads(self._body)
        except orjson.JSONDecodeError:
            raise bad_input("The request's body is not JSON.") from None
        if isinstance(sent, list):
            raise bad_input("Send one operation a request: batches are not taken.")
        if not isinstance(sent, dict):
            raise bad_input("The request's body must be a JSON object.")
        return Sent.checked(sent)

    @cached_property
    def _parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    def _sent_in_url(self) -> dict[str, Any]:
        # An HTML form sends what was left empty.
        sent: dict[str, Any] = {name: value for name, value in self._parameters.items() if value}
        for name in sent.keys() & {"variables", "extensions"}:
            try:
                sent[name] = orjson.loads(sent[name])
            except orjson.JSONDecodeError:
                raise bad_input(f"`{name}` is not JSON.") from None
        return sent


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose body is JSON."""

    body: bytes
    status: int = 200
    media_type: str = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = b"%d" % len(self.body)
        headers = [
            (b"content-type", self.media_type.encode()),
            (b"content-length", length),
            # It may hold tokens, and what one viewer sees is not for the next.
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()
