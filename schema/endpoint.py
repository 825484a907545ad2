"""The GraphQL endpoint over HTTP: from a request to an operation, and from its result to a response."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
from django.conf import settings
from graphql import ExecutionResult, GraphQLError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from apps.core.db import connection_scope
from apps.core.statements import tally
from schema import explorer
from schema.build import Schema
from schema.context import Client, Context
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

logger = logging.getLogger("broadside.operation")

NAME = re.compile(r"\b(?:query|mutation|subscription)\s+([_A-Za-z][_0-9A-Za-z]{0,99})")
UNWANTED = re.compile(r";\s*q\s*=\s*0(\.0*)?\s*(;|$)", re.IGNORECASE)
JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
# Bytes that ids, moments, enums and type names stay below.
SHORT_TEXT = 60
# Seconds after which it is worth while to look whether the client still waits.
SOON = 0.05

Identify = Callable[[MutableMapping[str, Any]], Awaitable[tuple[Any, int | None]]]


@dataclass(slots=True)
class Trace:
    """What one request leaves behind for its log line."""

    operation: str = "unnamed"
    code: str = "OK"
    writes: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What a request asks for."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None


class GraphQLEndpoint:
    """Answers GraphQL over HTTP. `identify(scope)` gives the viewer and the session of a request.

    It raises RequestError for a token that is no longer good. One request takes one pooled connection, at most
    GRAPHQL_TIMEOUT_SECONDS, a body of at most GRAPHQL_MAX_BODY_BYTES, and gives at most GRAPHQL_MAX_RESPONSE_BYTES.
    Without `explorer_dist` there is no explorer.
    """

    def __init__(self, schema: Schema, identify: Identify, explorer_dist: Path | None) -> None:
        self._schema = schema
        self._identify = identify
        self._explorer_dist = explorer_dist
        self._left_behind: set[asyncio.Task[Response]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        request = Request(scope, _limited(receive, settings.GRAPHQL_MAX_BODY_BYTES))
        trace = request.state.trace = Trace()
        started = perf_counter()
        with tally() as counted:
            response = await self._respond(request)
        if scope["method"] == "POST" or scope["query_string"]:
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
        if request.method not in {"GET", "POST"}:
            return _refusal(request, RequestErrorCode.BAD_USER_INPUT, "GraphQL takes GET and POST only.", 405)
        if _asks_for_the_page(request):
            if self._explorer_dist is not None:
                return explorer.page(self._explorer_dist)
            return _refusal(request, RequestErrorCode.BAD_USER_INPUT, "There is no page here.", 404)
        try:
            return await self._run_in_time(request)
        except RequestError as error:
            return _refusal(request, error.code, str(error))
        except ClientDisconnect:
            return _refusal(request, RequestErrorCode.BAD_USER_INPUT, "The client has gone.")
        except TimeoutError:
            return _refusal(request, RequestErrorCode.TIMEOUT, "The operation took too long.")
        except Exception as error:  # noqa: BLE001  (whatever it is, the client gets a coded answer)
            code = unexpected(error, "the request", request.scope["request_id"])
            return _refusal(request, code, MASKS[code])

    async def _run_in_time(self, request: Request) -> Response:
        """What `_run` gives. Raises TimeoutError, and ClientDisconnect when the client goes before a query has ended.

        Cancelling a query cancels its statement on the server. The thread of a write cannot be interrupted: the task
        that is left behind gives its connection back when it ends.
        """
        deadline = asyncio.get_running_loop().time() + settings.GRAPHQL_TIMEOUT_SECONDS
        async with asyncio.timeout_at(deadline):
            body = await request.body()
        task = asyncio.ensure_future(self._run_in_scope(request, body))
        try:
            done, _ = await asyncio.wait({task}, timeout=min(SOON, settings.GRAPHQL_TIMEOUT_SECONDS))
            if not done:
                await self._watch(request, task, deadline)
            return task.result()
        finally:
            if task.cancel():
                self._left_behind.add(task)
                task.add_done_callback(self._left_behind.discard)

    async def _watch(self, request: Request, task: asyncio.Task[Response], deadline: float) -> None:
        """Return when `task` is done. What a write has begun is carried through, whether or not somebody waits."""
        gone = asyncio.ensure_future(_disconnected(request.receive))
        loop = asyncio.get_running_loop()
        try:
            waiting: set[asyncio.Future[Any]] = {task, gone}
            while task in waiting and (left := deadline - loop.time()) > 0:
                done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if gone in done and task in waiting and not request.state.trace.writes:
                    raise ClientDisconnect
            if task in waiting:
                raise TimeoutError
        finally:
            gone.cancel()

    async def _run_in_scope(self, request: Request, body: bytes) -> Response:
        async with connection_scope():
            return await self._run(request, body)

    async def _run(self, request: Request, body: bytes) -> Response:
        """The order in which a request is looked at: its token, its form, its document, its operation's cost."""
        viewer, session_id = await self._identify(request.scope)
        sent = _sent_in_url(request) if request.method == "GET" else _sent_in_body(request, body)
        trace: Trace = request.state.trace
        trace.operation = _operation_name(sent)
        context = Context(request.scope["request_id"], viewer, session_id, _client(request))
        try:
            operation = self._schema.documents.operation(sent.query, sent.operation_name)
            if operation.is_mutation and request.method == "GET":
                raise bad_input("Mutations have to be sent by POST.")
            trace.writes = operation.is_mutation
            cost = operation.checked_cost(sent.variables)
            result = await self._schema.run(operation, sent.variables, context)
        except Refused as refused:
            return _answer(request, refused.errors, executed=False)
        finally:
            context.close()
        return _result(request, result, cost)


def _asks_for_the_page(request: Request) -> bool:
    if request.method != "GET" or "query" in request.query_params:
        return False
    accept = request.headers.get("accept", "")
    return "text/html" in accept or "*/*" in accept


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _result(request: Request, result: ExecutionResult, cost: int) -> Response:
    errors = result.errors or []
    if result.data is None and errors and not any(error.path for error in errors):
        return _answer(request, errors, executed=True)  # graphql-core has refused the variables
    _check_size(result, cost, settings.GRAPHQL_MAX_RESPONSE_BYTES)
    body: dict[str, Any] = {"data": result.data}
    if errors:
        body = {"errors": _formatted(request, errors, executed=True), **body}
    media_type = RESPONSE_JSON if _accepts(request, RESPONSE_JSON) else JSON
    return Response(orjson.dumps(body), media_type=media_type)


def _answer(request: Request, errors: Sequence[GraphQLError], *, executed: bool) -> Response:
    """The answer without `data`, to what was refused before it started; its status is as the media type has it."""
    body = orjson.dumps({"errors": _formatted(request, errors, executed=executed)})
    if _accepts(request, RESPONSE_JSON):
        return Response(body, 400, media_type=RESPONSE_JSON)
    return Response(body, media_type=JSON)


def _formatted(request: Request, errors: Sequence[GraphQLError], *, executed: bool) -> list[dict[str, Any]]:
    formatted = format_errors(errors, executed=executed, request_id=request.scope["request_id"])
    request.state.trace.code = formatted[0]["extensions"]["code"]
    return formatted


def _sent_in_url(request: Request) -> Sent:
    # An HTML form sends what was left empty.
    sent: dict[str, Any] = {name: value for name, value in request.query_params.items() if value}
    for name in sent.keys() & {"variables", "extensions"}:
        try:
            sent[name] = orjson.loads(sent[name])
        except orjson.JSONDecodeError:
            raise bad_input(f"`{name}` is not JSON.") from None
    return _sent(sent)


def _sent_in_body(request: Request, body: bytes) -> Sent:
    if _media_type(request.headers.get("content-type", "")) != JSON:
        raise bad_input("The request's `Content-Type` must be application/json.")
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_input("The request's body is not JSON.") from None
    if isinstance(sent, list):
        raise bad_input("Send one operation a request: batches are not taken.")
    if not isinstance(sent, dict):
        raise bad_input("The request's body must be a JSON object.")
    return _sent(sent)


def _sent(sent: dict[str, Any]) -> Sent:
    for name, kind in (("query", str), ("operationName", str), ("variables", dict), ("extensions", dict)):
        if not isinstance(sent.get(name), kind | None):
            raise bad_input(f"`{name}` must be {'a string' if kind is str else 'an object'} or null.")
    if not sent.get("query"):
        raise bad_input("The request has no `query`.")
    return Sent(sent["query"], sent.get("variables") or {}, sent.get("operationName"))


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _accepts(request: Request, media_type: str) -> bool:
    """Whether the client names `media_type` in `Accept`, and not as one that it does not want (`q=0`)."""
    ranges = request.headers.get("accept", "").split(",")
    return any(_media_type(range) == media_type and not UNWANTED.search(range) for range in ranges)


def _operation_name(sent: Sent) -> str:
    """For the log: the operation's name, or "unnamed". Never anything that is not a GraphQL name."""
    name = sent.operation_name
    if name is not None:
        return name if re.fullmatch(r"[_A-Za-z][_0-9A-Za-z]{0,99}", name) else "unnamed"
    found = NAME.search(sent.query)
    return found[1] if found else "unnamed"


def _client(request: Request) -> Client:
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


def _check_size(result: ExecutionResult, cost: int, limit: int) -> None:
    """Raise QUERY_TOO_COMPLEX when the texts in the data alone have more than `limit` bytes.

    A row is loaded once however often it is selected, so only the answer would be that large: it is not written.
    `cost` is the number of values that it may have; where that many of its longest text fit, nothing is counted.
    """
    if isinstance(result, Outcome) and cost * max(result.longest_text, SHORT_TEXT) <= limit:
        return
    size, pending = 0, [result.data]
    while pending:
        value: Any = pending.pop()
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
    if request.method not in {"GET", "POST"}:
        headers = {"Allow": "GET, POST"}
    media_type = RESPONSE_JSON if _accepts(request, RESPONSE_JSON) else JSON
    return Response(orjson.dumps({"errors": [entry]}), status, headers, media_type)
