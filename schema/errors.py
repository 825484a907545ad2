"""Top-level errors: what a client reads in `errors[].extensions`, and what stays in the log."""

import logging
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from graphql import FieldNode, GraphQLError, GraphQLSyntaxError

from apps.core.db import DATABASE_UNAVAILABLE
from apps.core.errors import DomainError, DomainErrors, ErrorCode
from apps.core.text import is_storable
from schema.engine import Refusal

logger = logging.getLogger("broadside.errors")

SEARCH_MAX = 250
# A response never says more than this about what went wrong in it, whatever was sent.
ERRORS_MAX = 100
MESSAGE_MAX = 1_000


class RequestErrorCode(StrEnum):
    """`extensions.code` of a top-level error. The names are the API's: clients switch on them."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    DOCUMENT_NOT_FOUND = "DOCUMENT_NOT_FOUND"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    TIMEOUT = "TIMEOUT"
    INTERNAL = "INTERNAL"

    @property
    def status(self) -> int:
        """`extensions.status`: what a REST API would have answered with."""
        return _STATUS.get(self, 400)


_STATUS = {
    RequestErrorCode.UNAUTHENTICATED: 401,
    RequestErrorCode.FORBIDDEN: 403,
    RequestErrorCode.NOT_FOUND: 404,
    RequestErrorCode.CONFLICT: 409,
    RequestErrorCode.RATE_LIMITED: 429,
    RequestErrorCode.DOCUMENT_NOT_FOUND: 404,
    RequestErrorCode.SERVICE_UNAVAILABLE: 503,
    RequestErrorCode.TIMEOUT: 504,
    RequestErrorCode.INTERNAL: 500,
}

# What a client reads instead of an error that nobody expected.
MASKS = {
    RequestErrorCode.INTERNAL: "Something went wrong on our side.",
    RequestErrorCode.SERVICE_UNAVAILABLE: "The service is not available right now. Try again in a moment.",
}

# Where graphql-core goes on to quote what was sent, in Python's spelling: it may be a whole input, password included.
_QUOTED_VALUE = re.compile(
    r"(?P<kept> represent [^:]{0,40}value(?=: )|(?:found|Unexpected) (?:\w{0,5}String|Int|Float)(?= ))|[,;]? [Ff]ound: "
)


class RequestError(Exception):
    """An error that ends a field or a request: a code, a sentence that the client may read, seconds to wait."""

    def __init__(self, code: RequestErrorCode, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


def bad_input(message: str) -> RequestError:
    return RequestError(RequestErrorCode.BAD_USER_INPUT, message)


def searchable(name: str, value: str | None) -> str:
    """`value` of the argument `name`, fit for a comparison in the database. Raises BAD_USER_INPUT."""
    value = (value or "").strip()
    if len(value) > SEARCH_MAX:
        raise bad_input(f"`{name}` must have at most {SEARCH_MAX} characters.")
    if not is_storable(value):
        raise bad_input(f"`{name}` contains characters that cannot be stored.")
    return value


# A refusal that surfaces outside a payload; what is not here is the caller's input.
_DOMAIN_CODES = {
    code: RequestErrorCode(code.value)
    for code in (
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.FORBIDDEN,
        ErrorCode.NOT_FOUND,
        ErrorCode.CONFLICT,
        ErrorCode.RATE_LIMITED,
    )
}


def code_of(error: GraphQLError, *, executed: bool) -> RequestErrorCode:
    """The code of `error`; `executed` tells whether it came out of execution or kept it from starting."""
    cause = root_cause(error)
    if isinstance(cause, RequestError):
        return cause.code
    if isinstance(cause, Refusal):
        return RequestErrorCode.FORBIDDEN
    if isinstance(cause, DomainErrors):
        cause = cause.errors[0]
    if isinstance(cause, DomainError):
        return _DOMAIN_CODES.get(cause.code, RequestErrorCode.BAD_USER_INPUT)
    if isinstance(cause, DATABASE_UNAVAILABLE):
        return RequestErrorCode.SERVICE_UNAVAILABLE
    if isinstance(error, GraphQLSyntaxError):
        return RequestErrorCode.GRAPHQL_PARSE_FAILED
    # Before execution a ValueError is a scalar's opinion of a literal, such as a number of 5,000 digits.
    if cause is not None and (executed or not isinstance(cause, ValueError)):
        return RequestErrorCode.INTERNAL
    if not executed:
        return RequestErrorCode.GRAPHQL_VALIDATION_FAILED
    # graphql-core's own: about a value that was sent (a variable, an argument), or about what a resolver has given.
    about_a_field = error.path and all(isinstance(node, FieldNode) for node in error.nodes or ())
    return RequestErrorCode.INTERNAL if about_a_field else RequestErrorCode.BAD_USER_INPUT


def root_cause(error: GraphQLError) -> Exception | None:
    """The exception that a resolver raised, below any number of GraphQLErrors wrapped around it; None without one."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def unexpected(error: BaseException, where: str, request_id: str) -> RequestErrorCode:
    """Log what nobody expected, whole, and give the code under which its mask is shown."""
    logger.error("Unexpected error in %s", where, exc_info=error, extra={"request_id": request_id})
    if isinstance(error, DATABASE_UNAVAILABLE):
        return RequestErrorCode.SERVICE_UNAVAILABLE
    return RequestErrorCode.INTERNAL


def format_errors(errors: Sequence[GraphQLError], *, executed: bool, request_id: str) -> list[dict[str, Any]]:
    """The first `ERRORS_MAX` of `errors` as the response carries them.

    What nobody expected is masked, and logged once however often it hit.
    """
    formatted: list[dict[str, Any]] = []
    logged: set[int] = set()
    for error in errors:
        code = code_of(error, executed=executed)
        cause = root_cause(error) or error
        if code in MASKS and id(cause) not in logged:
            logged.add(id(cause))
            unexpected(cause, ".".join(map(str, error.path or ())), request_id)
        if len(formatted) < ERRORS_MAX:
            message, wait = MASKS.get(code) or _message(error), _retry_after_of(cause)
            entry = error_entry(code, message, request_id, _fields_of(error), wait)
            formatted.append({**_location_of(error), **entry})
    return formatted


def error_entry(
    code: RequestErrorCode,
    message: str,
    request_id: str,
    fields: list[str] | None = None,
    retry_after: int | None = None,
) -> dict[str, Any]:
    """One entry of `errors`, in the form that every error of this API has."""
    extensions: dict[str, Any] = {"code": code.value, "status": code.status, "requestId": request_id}
    if fields:
        extensions["fields"] = fields
    if retry_after is not None:
        extensions["retryAfter"] = retry_after
    return {"message": message, "extensions": extensions}


def _fields_of(error: GraphQLError) -> list[str] | None:
    cause = root_cause(error)
    errors = cause.errors if isinstance(cause, DomainErrors) else [cause]
    return [error.field for error in errors if isinstance(error, DomainError) and error.field] or None


def _retry_after_of(cause: Exception) -> int | None:
    return cause.retry_after if isinstance(cause, RequestError | DomainError) else None


def _message(error: GraphQLError) -> str:
    # Cut first: a name that graphql-core quotes may be a megabyte.
    message = error.message[:MESSAGE_MAX]
    if isinstance(root_cause(error), RequestError | DomainError | DomainErrors | Refusal):
        return message
    quoted = _QUOTED_VALUE.search(message)
    if quoted is None:
        return message.replace("not to be None", "not to be null")
    head = message[: quoted.end() if quoted["kept"] else quoted.start()]
    return head if head.endswith("?") else f"{head}."


def _location_of(error: GraphQLError) -> dict[str, Any]:
    entry = error.formatted
    return {key: entry[key] for key in ("path", "locations") if entry.get(key)}
