"""The GraphQL endpoint: Strawberry's ASGI app with this API's context, errors, limits and log line."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from django.conf import settings
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from apps.core.db import connection_scope
from apps.core.statements import tally
from schema import explorer
from schema.build import Schema
from schema.context import Client, Context
from schema.errors import (
    MASKS,
    RequestError,
    RequestErrorCode,
    bad_input,
    error_entry,
    format_errors,
    unexpected,
)

logger = logging.getLogger("broadside.operation")

NAME = re.compile(r"\b(?:query|mutation|subscription)\s+([_A-Za-z][_0-9A-Za-z]{0,99})")
UNWANTED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)", re.IGNORECASE)
RESPONSE_JSON = "application/graphql-response+json"
METHOD_NOT_ALLOWED = 405

Identify = Callable[[MutableMapping[str, Any]], Awaitable[tuple[Any, int | None]]]


@dataclass(slots=True)
class Trace:
    """What one request leaves behind for its log line and for the head of its response."""

    operation: str = "unnamed"
    code: str = "OK"
    status: int = 200
    media_type: str | None = None


class GraphQLEndpoint(GraphQL[Context, None]):
    """Answers GraphQL over HTTP. `identify(scope)` gives the viewer and the session of a request.

    It raises RequestError for a token that is no longer good. One request takes one pooled connection, at most
    GRAPHQL_TIMEOUT_SECONDS, a body of at most GRAPHQL_MAX_BODY_BYTES, and gives at most GRAPHQL_MAX_RESPONSE_BYTES.
    """

    def __init__(self, schema: Schema, identify: Identify, explorer_dist: Path | None) -> None:
        super().__init__(schema, graphql_ide="graphiql" if explorer_dist else None, subscription_protocols=())
        self._identify = identify
        self._left_behind: set[asyncio.Task[Response]] = set()
        # Strawberry asks for the page only when `explorer_dist` is given.
        self._explorer_dist = explorer_dist or Path()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        request = Request(scope, _limited(receive, settings.GRAPHQL_MAX_BODY_BYTES))
        trace = request.state.trace = Trace()
        started = perf_counter()
        with tally() as counted:
            response = await self._respond(request)
        if scope["method"] == "POST" or request.url.query:
            logger.info(
                trace.operation,
                extra={
                    "ms": round((perf_counter() - started) * 1000, 1),
                    "statements": counted.statements,
                    "rows": counted.rows,
                    "code": trace.code,
                    "request_id": scope["request_id"],
                },
            )
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            response = await self._run_in_time(request)
        except RequestError as error:
            return _refusal(request, error.code, str(error))
        except HTTPException as error:
            return _refusal(request, RequestErrorCode.BAD_USER_INPUT, error.reason, error.status_code)
        except ClientDisconnect:
            return _refusal(request, RequestErrorCode.BAD_USER_INPUT, "The request ended before its body did.")
        except TimeoutError:
            return _refusal(request, RequestErrorCode.TIMEOUT, "The operation took too long.")
        except Exception as error:  # noqa: BLE001  (whatever it is, the client gets a coded answer)
            code = unexpected(error, "the request", request.scope["request_id"])
            return _refusal(request, code, MASKS[code])
        trace: Trace = request.state.trace
        if trace.media_type is not None:
            response.status_code, response.headers["content-type"] = trace.status, trace.media_type
        return response

    async def _run_in_time(self, request: Request) -> Response:
        """What `run` gives. A statement that is still running when the time is over is not waited for.

        Its thread cannot be interrupted: the task that is left behind gives the connection back when it ends.
        """
        task = asyncio.ensure_future(self._run_in_scope(request))
        try:
            done, _ = await asyncio.wait({task}, timeout=settings.GRAPHQL_TIMEOUT_SECONDS)
            if not done:
                raise TimeoutError
            return task.result()
        finally:
            if task.cancel():
                self._left_behind.add(task)
                task.add_done_callback(self._left_behind.discard)

    async def _run_in_scope(self, request: Request) -> Response:
        async with connection_scope():
            response: Response = await self.run(request)
            return response

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        viewer, session_id = await self._identify(request.scope)
        return Context(request.scope["request_id"], viewer, session_id, _client(request))

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """The operation that a request carries, as GraphQL over HTTP has it. Raises BAD_USER_INPUT."""
        sent = _sent_in_url(request) if request.method == "GET" else await _sent_in_body(request)
        for name, kind in (("query", str), ("operationName", str), ("variables", dict), ("extensions", dict)):
            if not isinstance(sent.get(name), kind | None):
                raise bad_input(f"`{name}` must be {'a string' if kind is str else 'an object'} or null.")
        return GraphQLRequestData(
            sent.get("query"), sent.get("variables"), sent.get("operationName"), sent.get("extensions")
        )

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        request.state.trace.operation = _operation_name(request_data)
        try:
            return await super().execute_single(
                request, request_adapter, sub_response, context, root_value, request_data
            )
        finally:
            context.levels.close()

    async def process_result(self, request: Request, result: ExecutionResult) -> Any:
        """The response's body: without `data` when the operation was refused before it started, as the spec has it."""
        executed, found = not isinstance(result, PreExecutionError), result.errors or []
        # graphql-core refuses variables after Strawberry has said that execution began; no field has a path then.
        refused = not executed or (result.data is None and found != [] and not any(error.path for error in found))
        trace: Trace = request.state.trace
        body: dict[str, Any] = {}
        if found:
            errors = format_errors(found, executed=executed, request_id=request.scope["request_id"])
            body["errors"] = errors
            trace.code = errors[0]["extensions"]["code"]
        if not refused:
            _check_size(result.data, settings.GRAPHQL_MAX_RESPONSE_BYTES)
            body["data"] = result.data
        if _accepts(request, RESPONSE_JSON):
            trace.media_type, trace.status = RESPONSE_JSON, 400 if refused else 200
        return body

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        return Response(orjson.dumps(response_data), media_type="application/json")

    async def render_graphql_ide(self, request: Request) -> Response:
        return explorer.page(self._explorer_dist)


def _sent_in_url(request: AsyncHTTPRequestAdapter) -> dict[str, Any]:
    # An HTML form sends what was left empty.
    sent: dict[str, Any] = {name: value for name, value in request.query_params.items() if value}
    for name in sent.keys() & {"variables", "extensions"}:
        try:
            sent[name] = orjson.loads(sent[name])
        except orjson.JSONDecodeError:
            raise bad_input(f"`{name}` is not JSON.") from None
    return sent


async def _sent_in_body(request: AsyncHTTPRequestAdapter) -> dict[str, Any]:
    if _media_type(request.content_type or "") != "application/json":
        raise bad_input("The request's `Content-Type` must be application/json.")
    try:
        sent = orjson.loads(await request.get_body())
    except orjson.JSONDecodeError:
        raise bad_input("The request's body is not JSON.") from None
    if isinstance(sent, list):
        raise bad_input("Send one operation a request: batches are not taken.")
    if not isinstance(sent, dict):
        raise bad_input("The request's body must be a JSON object.")
    return sent


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _accepts(request: Request, media_type: str) -> bool:
    """Whether the client names `media_type` in `Accept`, and not as one that it does not want (`q=0`)."""
    ranges = request.headers.get("accept", "").split(",")
    return any(_media_type(range) == media_type and not UNWANTED.search(range) for range in ranges)


def _operation_name(data: GraphQLRequestData) -> str:
    """For the log: the operation's name, or "unnamed". Never anything that is not a GraphQL name."""
    if isinstance(data.operation_name, str):
        return data.operation_name if re.fullmatch(r"[_A-Za-z][_0-9A-Za-z]{0,99}", data.operation_name) else "unnamed"
    found = NAME.search(data.query or "")
    return found[1] if found else "unnamed"


def _client(request: Request | WebSocket) -> Client:
    """The peer, or behind TRUSTED_PROXIES proxies the address that the outermost of them has seen."""
    address = request.client.host if request.client else ""
    if settings.TRUSTED_PROXIES:
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        address = forwarded[-min(settings.TRUSTED_PROXIES, len(forwarded))].strip() or address
    try:
        ip = str(ip_address(address))
    except ValueError:
        ip = None  # a Unix socket, or a proxy that sent something else
    return Client(ip, request.headers.get("user-agent", ""))


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive`, which raises BAD_USER_INPUT once the body is larger than `limit` bytes."""
    received = 0

    async def receive_within_limit() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise bad_input(f"The request's body has more than {limit:,} bytes.")
        return message

    return receive_within_limit


def _check_size(data: Any, limit: int) -> None:
    """Raise QUERY_TOO_COMPLEX when the texts in `data` alone have more than `limit` bytes.

    A row is loaded once however often it is selected, so only the answer would be that large: it is not written.
    """
    size, pending = 0, [data]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode())
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    if size > limit:
        message = f"The answer would be too large: {size:,} bytes of text, at most {limit:,}. Ask for less."
        raise RequestError(RequestErrorCode.QUERY_TOO_COMPLEX, message)


def _refusal(request: Request, code: RequestErrorCode, message: str, status: int | None = None) -> Response:
    """The answer to a request that has no result at all."""
    request.state.trace.code = code.value
    entry = error_entry(code, message, request.scope["request_id"])
    status = entry["extensions"]["status"] = status or code.status
    headers = {"WWW-Authenticate": "Bearer"} if code is RequestErrorCode.UNAUTHENTICATED else {}
    if status == METHOD_NOT_ALLOWED:
        headers = {"Allow": "GET, POST"}
    media_type = RESPONSE_JSON if _accepts(request, RESPONSE_JSON) else "application/json"
    return Response(orjson.dumps({"errors": [entry]}), status, headers, media_type)
