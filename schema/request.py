"""What is asked for, and by whom: the same over HTTP and over a socket."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from starlette.types import Scope

from apps.core.client import Client, client_of, header
from schema.cookies import RefreshCookie
from schema.errors import bad_input

if TYPE_CHECKING:
    from schema.subscriptions import Stream

NAME = re.compile(r"\b(?:query|mutation|subscription)\s+([_A-Za-z][_0-9A-Za-z]{0,99})")
ONLY_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,99}")
# In variables: far more than any operation takes. graphql-core looks at each three times, and nobody else meanwhile.
MAX_VALUES = 10_000


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


class Request(ABC):
    """One request for an operation, and what its log line will say of it."""

    def __init__(self, scope: Scope, request_id: str) -> None:
        self.scope = scope
        self.request_id = request_id
        self.cookie: RefreshCookie | None = None
        self.operation = "unnamed"
        self.code = "OK"
        # Whether it came by a way that mutations are taken from.
        self.may_write = True
        # Whether it has begun to change something, and is at it.
        self.writes = False
        # Whether more than one answer can be given the way it came; and those that are, of a subscription.
        self.may_stream = True
        self.stream: Stream | None = None

    @abstractmethod
    async def read(self) -> None:
        """Have all of it here. Raises BAD_USER_INPUT when it is too large, and ClientDisconnect."""

    @abstractmethod
    def sent(self) -> Sent:
        """The operation that it carries. Raises BAD_USER_INPUT."""

    def client(self) -> Client:
        return client_of(self.scope, self.request_id)

    def header(self, name: bytes) -> str:
        """The header's value; sent more than once, it is one list."""
        return header(self.scope, name)
