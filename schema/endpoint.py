"""The GraphQL endpoint over HTTP."""

from pathlib import Path

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from schema import explorer
from schema.build import Schema
from schema.errors import RequestErrorCode, error_entry
from schema.http import JSON, RESPONSE_JSON, Answer, Call
from schema.operations import Identify, Operations
from schema.patience import Patience
from schema.results import Result
from schema.sse import EventStream
from schema.subscriptions import Subscriptions


class GraphQLEndpoint:
    """Answers GraphQL over HTTP; `identify` and `subscriptions` are those of Operations.

    Without `explorer_dist` there is no explorer. One request takes at most GRAPHQL_TIMEOUT_SECONDS, and a body of at
    most GRAPHQL_MAX_BODY_BYTES.
    """

    def __init__(
        self,
        schema: Schema,
        identify: Identify,
        explorer_dist: Path | None,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        self._operations = Operations(schema, identify, subscriptions)
        self._explorer_dist = explorer_dist

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Call(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, call: Call) -> ASGIApp:
        if call.method not in {"GET", "POST"}:
            return _refusal(call, "GraphQL takes GET and POST only.", 405, [(b"allow", b"GET, POST")])
        if call.asks_for_the_page:
            if self._explorer_dist is not None:
                return explorer.page(self._explorer_dist)
            return _refusal(call, "There is no page here.", 404)
        result = await self._operations.run(call, Patience(call))
        if not isinstance(result, Result):
            return EventStream(call, result)
        return _answer(call, result)


def _answer(call: Call, result: Result) -> ASGIApp:
    headers = [(b"www-authenticate", b"Bearer")] if result.status == RequestErrorCode.UNAUTHENTICATED.status else []
    if result.retry_after is not None:
        headers.append((b"retry-after", b"%d" % result.retry_after))
    if call.cookie is not None and call.cookie.change is not None:
        headers.append((b"set-cookie", call.cookie.change))
    if call.wants_events:
        return EventStream(call, result, headers)
    if not call.accepts_response_json:
        return Answer(result.body, result.status, JSON, headers)
    # The new media type tells what was not carried out by its status, too.
    status = 400 if result.errors is not None and result.status == 200 else result.status
    return Answer(result.body, status, RESPONSE_JSON, headers)


def _refusal(call: Call, message: str, status: int, headers: list[tuple[bytes, bytes]] | None = None) -> Answer:
    """The answer to a request that asks for no operation."""
    entry = error_entry(RequestErrorCode.BAD_USER_INPUT, message, call.request_id)
    entry["extensions"]["status"] = status
    media_type = RESPONSE_JSON if call.accepts_response_json else JSON
    return Answer(orjson.dumps({"errors": [entry]}), status, media_type, headers or [])
