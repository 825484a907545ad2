"""The GraphQL endpoint: from a request to an operation, and from its result to an answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import orjson
from django.conf import settings
from graphql import ExecutionResult, GraphQLError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from apps.core.db import connection_scope
from apps.core.statements import tally
from schema import explorer
from schema.build import Schema
from schema.context import Context
from schema.documents import Refused
from schema.engine import Outcome
from schema.errors import (
    MASKS,
    RequestError,
    RequestErrorCode,
    bad_input,
    error_entry,
    format_errors,
    unexpected,
)
from schema.http import JSON, RESPONSE_JSON, Answer, Call
from schema.patience import Patience

logger = logging.getLogger("broadside.operation")

# Bytes of a value that is no text (a moment, an id), with its quotes, colon and comma.
PUNCTUATION = 60

Identify = Callable[[MutableMapping[str, Any]], Awaitable[tuple[Any, int | None]]]


class GraphQLEndpoint:
    """Answers GraphQL over HTTP. `identify(scope)` gives the viewer and the session of a request.

    It raises RequestError for a token that is no longer good. One request takes at most GRAPHQL_TIMEOUT_SECONDS, a
    body of at most GRAPHQL_MAX_BODY_BYTES, and gives at most GRAPHQL_MAX_RESPONSE_BYTES. Without `explorer_dist` there
    is no explorer.
    """

    def __init__(self, schema: Schema, identify: Identify, explorer_dist: Path | None) -> None:
        self._schema = schema
        self._identify = identify
        self._explorer_dist = explorer_dist

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive)
        started = perf_counter()
        with tally() as counted:
            answer = await self._respond(call)
        if call.is_operation and logger.isEnabledFor(logging.INFO):
            logger.info(
                call.operation,
                extra={
                    "ms": round((perf_counter() - started) * 1000, 1),
                    "statements": counted.statements,
                    "rows": counted.rows,
                    "code": call.code,
                    "request_id": call.request_id,
                },
            )
        await answer(scope, receive, send)

    async def _respond(self, call: Call) -> ASGIApp:
        if call.method not in {"GET", "POST"}:
            allowed = [(b"allow", b"GET, POST")]
            return _refusal(call, RequestErrorCode.BAD_USER_INPUT, "GraphQL takes GET and POST only.", 405, allowed)
        if call.asks_for_the_page:
            if self._explorer_dist is not None:
                return explorer.page(self._explorer_dist)
            return _refusal(call, RequestErrorCode.BAD_USER_INPUT, "There is no page here.", 404)
        try:
            async with Patience(call), connection_scope():
                return await self._run(call, await call.body())
        except RequestError as error:
            return _refusal(call, error.code, str(error))
        except ClientDisconnect:
            return _refusal(call, RequestErrorCode.BAD_USER_INPUT, "The client has gone.")
        except TimeoutError:
            return _refusal(call, RequestErrorCode.TIMEOUT, "The operation took too long.")
        except asyncio.CancelledError as error:
            if cast("asyncio.Task[object]", asyncio.current_task()).cancelling():
                # uvicorn ends what still runs when it stops. It looks at nothing more than whether there is an answer.
                return _refusal(call, RequestErrorCode.SERVICE_UNAVAILABLE, "The server is being stopped.")
            return _refusal(call, unexpected(error, "the request", call.request_id), MASKS[RequestErrorCode.INTERNAL])
        except Exception as error:  # noqa: BLE001  (whatever it is, the client gets a coded answer)
            code = unexpected(error, "the request", call.request_id)
            return _refusal(call, code, MASKS[code])

    async def _run(self, call: Call, body: bytes) -> Answer:
        """The order in which a request is looked at: its token, its form, its document, its operation's cost."""
        viewer, session_id = await self._identify(call.scope)
        sent = call.sent(body)
        context = Context(call.request_id, viewer, session_id, call.client)
        try:
            operation = self._schema.documents.operation(sent.query, sent.operation_name)
            call.operation = (operation.name or call.operation)[:100]
            if operation.is_mutation and call.method == "GET":
                raise bad_input("Mutations have to be sent by POST.")
            cost = operation.checked_cost(sent.variables)
            call.writes = operation.is_mutation
            result = await self._schema.run(operation, sent.variables, context)
        except Refused as refused:
            call.operation = sent.name
            return _errors_only(call, refused.errors, executed=False)
        except RequestError:
            call.operation = sent.name
            raise
        finally:
            context.close()
        return _answer(call, result, cost, operation.longest_key)


def _answer(call: Call, result: ExecutionResult, cost: int, longest_key: int) -> Answer:
    """`cost` values with keys of at most `longest_key`: where that many of the longest text fit, nothing is counted."""
    errors = result.errors or []
    if result.data is None and errors and not any(error.path for error in errors):
        return _errors_only(call, errors, executed=True)  # graphql-core has refused the variables
    limit = settings.GRAPHQL_MAX_RESPONSE_BYTES
    if not (isinstance(result, Outcome) and cost * (result.longest_text + longest_key + PUNCTUATION) <= limit):
        _check_size(result.data, limit)
    body: dict[str, Any] = {"data": result.data}
    if errors:
        body = {"errors": _formatted(call, errors, executed=True), **body}
    encoded = orjson.dumps(body)
    if len(encoded) > limit:
        raise _too_large(len(encoded), limit)
    return Answer(encoded, media_type=RESPONSE_JSON if call.accepts_response_json else JSON)


def _errors_only(call: Call, errors: Sequence[GraphQLError], *, executed: bool) -> Answer:
    """The answer without `data`, to what was refused before it started; its status is as the media type has it."""
    body = orjson.dumps({"errors": _formatted(call, errors, executed=executed)})
    return Answer(body, 400, RESPONSE_JSON) if call.accepts_response_json else Answer(body)


def _formatted(call: Call, errors: Sequence[GraphQLError], *, executed: bool) -> list[dict[str, Any]]:
    formatted = format_errors(errors, executed=executed, request_id=call.request_id)
    call.code = formatted[0]["extensions"]["code"]
    return formatted


def _check_size(data: Any, limit: int) -> None:
    """Raise QUERY_TOO_COMPLEX when `data` would have more than `limit` bytes as JSON, at the first that is too many.

    A row is loaded once however often it is selected, so only the answer would be that large: it is not written.
    """
    size, pending = 0, [data]
    while pending:
        value: Any = pending.pop()
        if isinstance(value, dict):
            size += sum(map(len, value)) + 4 * len(value)
            pending.extend(value.values())
        elif isinstance(value, list):
            size += len(value)
            pending.extend(value)
        else:
            size += len(orjson.dumps(value))
        if size > limit:
            raise _too_large(size, limit)


def _too_large(size: int, limit: int) -> RequestError:
    message = f"The answer would be too large: {size:,} bytes or more, at most {limit:,}. Ask for less."
    return RequestError(RequestErrorCode.QUERY_TOO_COMPLEX, message)


def _refusal(
    call: Call,
    code: RequestErrorCode,
    message: str,
    status: int | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Answer:
    """The answer to a request that has no result at all."""
    call.code = code.value
    entry = error_entry(code, message, call.request_id)
    status = entry["extensions"]["status"] = status or code.status
    if code is RequestErrorCode.UNAUTHENTICATED:
        headers = [*headers, (b"www-authenticate", b"Bearer")]
    media_type = RESPONSE_JSON if call.accepts_response_json else JSON
    return Answer(orjson.dumps({"errors": [entry]}), status, media_type, [*headers])
