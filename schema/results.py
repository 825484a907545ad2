"""From what came of an operation to what its client gets, as JSON: for an answer, and for each event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import orjson
from django.conf import settings
from graphql import ExecutionResult, GraphQLError
from starlette.requests import ClientDisconnect

from schema.engine import Outcome
from schema.errors import MASKS, RequestError, RequestErrorCode, error_entry, format_errors, unexpected

# Bytes of a value that is no text (a moment, an id), with its quotes, colon and comma.
PUNCTUATION = 60


class Asked(Protocol):
    """What an answer is to: its id in errors and in the log, and the code of the first error, "OK" without one."""

    request_id: str
    code: str


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
    def without_data(cls, errors: list[dict[str, Any]], status: int, retry_after: int | None = None) -> Self:
        return cls(orjson.dumps({"errors": errors}), errors, status, retry_after)


def response(asked: Asked, result: ExecutionResult, cost: int, longest_key: int, limit: int | None = None) -> Result:
    """`cost` values with keys of at most `longest_key`: where that many of the longest text fit, nothing is counted.

    Raises QUERY_TOO_COMPLEX for more bytes than `limit`, or GRAPHQL_MAX_RESPONSE_BYTES.
    """
    errors = result.errors or []
    if result.data is None and errors and not any(error.path for error in errors):
        return errors_only(asked, errors, executed=True)  # graphql-core has refused the variables
    limit = limit or settings.GRAPHQL_MAX_RESPONSE_BYTES
    if not (isinstance(result, Outcome) and cost * (result.longest_text + longest_key + PUNCTUATION) <= limit):
        _check_size(result.data, limit)
    body: dict[str, Any] = {"data": result.data}
    if errors:
        body = {"errors": _formatted(asked, errors, executed=True), **body}
    encoded = orjson.dumps(body)
    if len(encoded) > limit:
        raise _too_large(len(encoded), limit)
    return Result(encoded)


def errors_only(asked: Asked, errors: Sequence[GraphQLError], *, executed: bool) -> Result:
    """The result without `data`, of what was refused before it started."""
    return Result.without_data(_formatted(asked, errors, executed=executed), 200)


def refusal(asked: Asked, code: RequestErrorCode, message: str, retry_after: int | None = None) -> Result:
    """The result of a request that has failed as a whole."""
    asked.code = code.value
    entry = error_entry(code, message, asked.request_id, retry_after=retry_after)
    return Result.without_data([entry], code.status, retry_after)


def failure(asked: Asked, error: BaseException, where: str) -> Result:
    """The same for what was raised: what nobody expected is masked, and logged."""
    if isinstance(error, RequestError):
        return refusal(asked, error.code, str(error), error.retry_after)
    if isinstance(error, ClientDisconnect):
        return refusal(asked, RequestErrorCode.BAD_USER_INPUT, "The client has gone.")
    if isinstance(error, TimeoutError):
        return refusal(asked, RequestErrorCode.TIMEOUT, "The operation took too long.")
    code = unexpected(error, where, asked.request_id)
    return refusal(asked, code, MASKS[code])


def _formatted(asked: Asked, errors: Sequence[GraphQLError], *, executed: bool) -> list[dict[str, Any]]:
    formatted = format_errors(errors, executed=executed, request_id=asked.request_id)
    asked.code = formatted[0]["extensions"]["code"]
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
