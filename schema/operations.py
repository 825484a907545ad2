"""From a request to an operation, and from its result to what its client gets: the same over HTTP and over a socket."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

import orjson
from django.conf import settings
from graphql import ExecutionResult, GraphQLError
from starlette.requests import ClientDisconnect

from apps.core.db import connection_scope
from apps.core.statements import tally
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
from schema.rates import count_operation
from schema.request import Request

logger = logging.getLogger("broadside.operation")

# Bytes of a value that is no text (a moment, an id), with its quotes, colon and comma.
PUNCTUATION = 60

Identify = Callable[[MutableMapping[str, Any]], Awaitable[tuple[Any, int | None]]]


@dataclass(frozen=True, slots=True)
class Result:
    """What a client gets for an operation: its response, as JSON."""

    body: bytes
    # All that there is in it, where there is no `data`.
    errors: list[dict[str, Any]] | None = None
    # As HTTP has it; 200 for a document that was refused, too.
    status: int = 200
    # Seconds.
    retry_after: int | None = None

    @classmethod
    def without_data(cls, errors: list[dict[str, Any]], status: int, retry_after: int | None = None) -> "Result":
        return cls(orjson.dumps({"errors": errors}), errors, status, retry_after)


class Operations:
    """Runs the operations of `schema`. `identify(scope)` gives the viewer and the session of a request.

    It raises RequestError for a token that is no longer good.
    """

    def __init__(self, schema: Schema, identify: Identify) -> None:
        self._schema = schema
        self.identify = identify

    async def run(self, request: Request, patience: AbstractAsyncContextManager[None]) -> Result:
        """What came of the operation, whatever came, and a line in the log.

        It runs within `patience`, which may cancel it, and raise TimeoutError or ClientDisconnect then. The answer has
        at most GRAPHQL_MAX_RESPONSE_BYTES. No connection to the database is held afterwards.
        """
        started = perf_counter()
        with tally() as counted:
            result = await self._settled(request, patience)
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                request.operation,
                extra={
                    "ms": round((perf_counter() - started) * 1000, 1),
                    "statements": counted.statements,
                    "rows": counted.rows,
                    "code": request.code,
                    "request_id": request.request_id,
                },
            )
        return result

    async def _settled(self, request: Request, patience: AbstractAsyncContextManager[None]) -> Result:
        try:
            async with patience, connection_scope():
                await request.read()
                return await self._run(request)
        except RequestError as error:
            return _refusal(request, error.code, str(error), error.retry_after)
        except ClientDisconnect:
            return _refusal(request, RequestErrorCode.BAD_USER_INPUT, "The client has gone.")
        except TimeoutError:
            return _refusal(request, RequestErrorCode.TIMEOUT, "The operation took too long.")
        except asyncio.CancelledError as error:
            if cast("asyncio.Task[object]", asyncio.current_task()).cancelling():
                # uvicorn ends what still runs when it stops. It looks at nothing more than whether there is an answer.
                return _refusal(request, RequestErrorCode.SERVICE_UNAVAILABLE, "The server is being stopped.")
            code = unexpected(error, "the request", request.request_id)
            return _refusal(request, code, MASKS[code])
        except Exception as error:  # noqa: BLE001  (whatever it is, the client gets a coded answer)
            code = unexpected(error, "the request", request.request_id)
            return _refusal(request, code, MASKS[code])

    async def _run(self, request: Request) -> Result:
        """The order in which a request is looked at: its token, how many its viewer or address has sent, its form, its
        document, whether that is for everybody, its operation's cost."""
        viewer, session_id = await self._viewer(request)
        sent = request.sent()
        context = Context(request.request_id, viewer, session_id, request.client, request.cookie)
        try:
            operation = self._schema.documents.operation(sent.query, sent.operation_name)
            request.operation = (operation.name or request.operation)[:100]
            if operation.is_mutation and not request.may_write:
                raise bad_input("Mutations have to be sent by POST.")
            operation.admit(viewer)
            cost = operation.checked_cost(sent.variables)
            request.writes = operation.is_mutation
            result = await self._schema.run(operation, sent.variables, context)
        except Refused as refused:
            request.operation = sent.name
            return _errors_only(request, refused.errors, executed=False)
        except RequestError:
            request.operation = sent.name
            raise
        finally:
            request.writes = False
            context.close()
        return _response(request, result, cost, operation.longest_key)

    async def _viewer(self, request: Request) -> tuple[Any, int | None]:
        """What `identify` gives. The operation is counted as the viewer's; with a bad token, as its address's."""
        try:
            viewer, session_id = await self.identify(request.scope)
        except RequestError:
            await count_operation(None, request.client)
            raise
        await count_operation(viewer, request.client)
        return viewer, session_id


def _response(request: Request, result: ExecutionResult, cost: int, longest_key: int) -> Result:
    """`cost` values with keys of at most `longest_key`: where that many of the longest text fit, nothing is counted."""
    errors = result.errors or []
    if result.data is None and errors and not any(error.path for error in errors):
        return _errors_only(request, errors, executed=True)  # graphql-core has refused the variables
    limit = settings.GRAPHQL_MAX_RESPONSE_BYTES
    if not (isinstance(result, Outcome) and cost * (result.longest_text + longest_key + PUNCTUATION) <= limit):
        _check_size(result.data, limit)
    body: dict[str, Any] = {"data": result.data}
    if errors:
        body = {"errors": _formatted(request, errors, executed=True), **body}
    encoded = orjson.dumps(body)
    if len(encoded) > limit:
        raise _too_large(len(encoded), limit)
    return Result(encoded)


def _errors_only(request: Request, errors: Sequence[GraphQLError], *, executed: bool) -> Result:
    """The result without `data`, of what was refused before it started."""
    return Result.without_data(_formatted(request, errors, executed=executed), 200)


def _refusal(request: Request, code: RequestErrorCode, message: str, retry_after: int | None = None) -> Result:
    """The result of a request that has failed as a whole."""
    request.code = code.value
    entry = error_entry(code, message, request.request_id, retry_after=retry_after)
    return Result.without_data([entry], code.status, retry_after)


def _formatted(request: Request, errors: Sequence[GraphQLError], *, executed: bool) -> list[dict[str, Any]]:
    formatted = format_errors(errors, executed=executed, request_id=request.request_id)
    request.code = formatted[0]["extensions"]["code"]
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
