"""The client that tests talk to the API with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from asgiref.sync import sync_to_async

from apps.users.models import User
from tests.make import access_token


@dataclass(frozen=True)
class Answer:
    """A response to an operation, and the line that the server logged about it."""

    status: int
    headers: httpx.Headers
    content: bytes
    body: dict[str, Any]
    statements: int
    rows: int

    @property
    def data(self) -> Any:
        """The data of an operation that has to be free of errors."""
        assert "errors" not in self.body, self.body["errors"]
        return self.body["data"]

    @property
    def codes(self) -> list[str]:
        """The codes of the top-level errors."""
        return [error["extensions"]["code"] for error in self.body.get("errors", [])]


class Api:
    """`await api("{ viewer { id } }")`, and with variables: `await api(query, id=post_id)`."""

    def __init__(self, client: httpx.AsyncClient, token: str | None = None) -> None:
        self.client = client
        self.token = token

    async def as_(self, user: User) -> Api:
        """The same client, signed in as `user`."""
        return self.with_token(await sync_to_async(access_token)(user))

    def with_token(self, token: str) -> Api:
        return Api(self.client, token)

    async def __call__(self, query: str, /, **variables: Any) -> Answer:
        return await self.post({"query": query, "variables": variables})

    async def post(self, body: Any = None, **request: Any) -> Answer:
        """Send any body; the keywords are httpx's."""
        if body is not None:
            request["json"] = body
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        with _operation_lines() as lines:
            response = await self.client.post(
                "/graphql/", **{**request, "headers": headers | request.get("headers", {})}
            )
        # A subscription beside it may just have begun.
        [line] = [line for line in lines if line["request_id"] == response.headers["x-request-id"]]
        return Answer(
            response.status_code,
            response.headers,
            response.content,
            response.json(),
            line["statements"],
            line["rows"],
        )

    async def payload(self, mutation: str, selection: str, /, **input: Any) -> Any:
        """The payload of `mutation(input: …)` with `selection` and its errors."""
        name = f"{mutation[0].upper()}{mutation[1:]}Input!"
        fields = f"{selection} errors {{ code field message }}"
        query = f"mutation($input: {name}) {{ {mutation}(input: $input) {{ {fields} }} }}"
        answer = await self(query, input=input)
        return answer.data[mutation]

    async def refused(self, mutation: str, /, **input: Any) -> list[tuple[str, list[str] | None]]:
        """Code and field of each of the payload's errors; there has to be one."""
        payload = await self.payload(mutation, "", **input)
        assert payload["errors"], "the mutation was carried out"
        return [(error["code"], error["field"]) for error in payload["errors"]]


@contextmanager
def _operation_lines() -> Iterator[list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(vars(record))

    logger, handler = logging.getLogger("broadside.operation"), Keep()
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
