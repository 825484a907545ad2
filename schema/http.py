"""GraphQL over HTTP, without GraphQL: what a request carries, and how an answer is sent.

https://graphql.github.io/graphql-over-http/draft/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl

import orjson
from django.conf import settings
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from schema.context import Client
from schema.errors import bad_input

JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
NAME = re.compile(r"\b(?:query|mutation|subscription)\s+([_A-Za-z][_0-9A-Za-z]{0,99})")
ONLY_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,99}")
# In variables: far more than any operation takes. graphql-core looks at each three times, and nobody else meanwhile.
MAX_VALUES = 10_000
UNWANTED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a request asks for."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None

    @classmethod
    def checked(cls, sent: dict[str, Any]) -> Sent:
        """Raises BAD_USER_INPUT for values of the wrong kind."""
        for name, kind in (("query", str), ("operationName", str), ("variables", dict), ("extensions", dict)):
            if not isinstance(sent.get(name), kind | None):
                raise bad_input(f"`{name}` must be {'a string' if kind is str else 'an object'} or null.")
        if not sent.get("query"):
            raise bad_input("The request has no `query`.")
        _check_number(sent.get("variables") or {})
        return cls(sent["query"], sent.get("variables") or {}, sent.get("operationName"))

    @property
    def name(self) -> str:
        """For the log: the operation's name, or "unnamed". Never anything that is not a GraphQL name."""
        if self.operation_name is not None:
            return self.operation_name if ONLY_NAME.fullmatch(self.operation_name) else "unnamed"
        found = NAME.search(self.query, 0, settings.GRAPHQL_MAX_DOCUMENT_LENGTH)
        return found[1] if found else "unnamed"


def _check_number(variables: dict[str, Any]) -> None:
    """Raise BAD_USER_INPUT beyond MAX_VALUES lists, objects and what is in them, however deep."""
    known = 0
    pending: list[Any] = [variables]
    while pending:
        value = pending.pop()
        known += len(value)
        if known > MAX_VALUES:
            raise bad_input(f"The variables have more than {MAX_VALUES:,} values.")
        items = value.values() if isinstance(value, dict) else value
        pending.extend(item for item in items if isinstance(item, dict | list))


class Call:
    """One request, and what its log line will say of it."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        # The server leaves the body of the answer to a HEAD out.
        self.method: str = "GET" if scope["method"] == "HEAD" else scope["method"]
        self.request_id: str = scope["request_id"]
        self.operation = "unnamed"
        self.code = "OK"
        # Whether the body has come.
        self.is_read = False
        # Whether it has begun to change something.
        self.writes = False

    @property
    def is_operation(self) -> bool:
        return self.scope["method"] == "POST" or bool(self.scope["query_string"])

    @property
    def asks_for_the_page(self) -> bool:
        accept = self._header(b"accept")
        return self.method == "GET" and ("text/html" in accept or "*/*" in accept) and "query" not in self._parameters

    @property
    def accepts_response_json(self) -> bool:
        """Whether the client names the new media type in `Accept`, and not as one that it does not want (`q=0`)."""
        accept = self._header(b"accept")
        return RESPONSE_JSON in accept.lower() and any(
            _media_type(range) == RESPONSE_JSON and not UNWANTED.search(range) for range in accept.split(",")
        )

    async def body(self) -> bytes:
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
        self.is_read = True
        return body

    def sent(self, body: bytes) -> Sent:
        """The operation that the request carries. Raises BAD_USER_INPUT."""
        if self.method == "GET":
            return Sent.checked(self._sent_in_url())
        if _media_type(self._header(b"content-type")) != JSON:
            raise bad_input("The request's `Content-Type` must be application/json.")
        try:
            sent = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise bad_input("The request's body is not JSON.") from None
        if isinstance(sent, list):
            raise bad_input("Send one operation a request: batches are not taken.")
        if not isinstance(sent, dict):
            raise bad_input("The request's body must be a JSON object.")
        return Sent.checked(sent)

    def client(self) -> Client:
        """The peer, or behind TRUSTED_PROXIES proxies the address that the outermost of them has seen."""
        address = (self.scope.get("client") or ("",))[0]
        if settings.TRUSTED_PROXIES:
            forwarded = self._header(b"x-forwarded-for").split(",")
            address = forwarded[-min(settings.TRUSTED_PROXIES, len(forwarded))].strip() or address
        try:
            ip = str(ip_address(address))
        except ValueError:
            ip = None  # a Unix socket, or a proxy that sent something else
        return Client(ip, self._header(b"user-agent"))

    def _header(self, name: bytes) -> str:
        """The header's value; sent more than once, it is one list."""
        return b",".join(value for key, value in self.scope["headers"] if key == name).decode("latin-1")

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
        headers = [(b"content-type", self.media_type.encode()), (b"content-length", length), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()
