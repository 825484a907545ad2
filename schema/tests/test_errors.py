import logging
import socket
from collections.abc import MutableMapping
from typing import Any

import psycopg
import pytest
import strawberry
from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError
from graphql import GraphQLError, GraphQLSyntaxError, Source

from apps.core.errors import DomainError, DomainErrors, ErrorCode
from schema.errors import (
    ERRORS_MAX,
    MASKS,
    MESSAGE_MAX,
    RequestError,
    RequestErrorCode,
    code_of,
    format_errors,
    root_cause,
)
from schema.payloads import Payload, mutation
from schema.tests.mounted import mounted

SECRET = "the password is swordfish"


def connect_to_nothing() -> None:
    """What psycopg and Django make of a server that is gone."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} dbname=x user=x connect_timeout=2")
        except psycopg.OperationalError as error:
            raise OperationalError(str(error)) from error


@strawberry.type
class Item:
    name: str = "x"

    @strawberry.field
    def broken(self) -> str | None:
        raise ValueError(SECRET)


@strawberry.type
class Query:
    @strawberry.field
    def fine(self) -> str:
        return "fine"

    @strawberry.field
    def broken(self) -> str | None:
        raise ZeroDivisionError(SECRET)

    @strawberry.field
    async def broken_later(self) -> str | None:
        raise ZeroDivisionError(SECRET)

    @strawberry.field
    def lies(self) -> str:
        return None  # type: ignore[return-value]  # the point

    @strawberry.field
    async def gone(self) -> str | None:
        await sync_to_async(connect_to_nothing)()
        return "unreachable"

    @strawberry.field
    def items(self, number: int) -> list[Item]:
        return [Item()] * number

    @strawberry.field
    def refused(self, code: str) -> str | None:
        raise DomainError(ErrorCode(code), "No.", "name")

    @strawberry.field
    def doubly_refused(self) -> str | None:
        raise DomainErrors([DomainError(ErrorCode.INVALID, "One.", "first"), DomainError(ErrorCode.INVALID, "Two.")])

    @strawberry.field
    def plain(self) -> str | None:
        raise GraphQLError("made by a resolver")


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("field", ["broken", "brokenLater"])
async def test_what_nobody_expected_is_masked_and_logged_once(caplog: pytest.LogCaptureFixture, field: str) -> None:
    async with mounted(Query) as api:
        answer = await api.post({"query": f"{{ fine {field} }}"}, headers={"X-Request-ID": "given-by-proxy"})
    assert answer.status == 200
    assert answer.body["data"] == {"fine": "fine", field: None}
    [error] = answer.body["errors"]
    assert error == {
        "message": MASKS[RequestErrorCode.INTERNAL],
        "path": [field],
        "locations": [{"line": 1, "column": 8}],
        "extensions": {"code": "INTERNAL", "status": 500, "requestId": "given-by-proxy"},
    }
    [record] = logged(caplog)
    assert (record.name, record.getMessage()) == ("broadside.errors", f"Unexpected error in {field}")
    assert vars(record)["request_id"] == "given-by-proxy"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert SECRET in caplog.text
    assert "test_errors.py" in caplog.text, "the traceback leads to the code"


async def test_a_resolver_that_breaks_its_types_promise_is_internal(caplog: pytest.LogCaptureFixture) -> None:
    async with mounted(Query) as api:
        answer = await api("{ lies }")
    assert answer.codes == ["INTERNAL"]
    assert answer.body["data"] is None
    assert "lies" not in answer.body["errors"][0]["message"]
    assert len(logged(caplog)) == 1


async def test_a_value_error_of_a_resolver_is_no_bad_input() -> None:
    async with mounted(Query) as api:
        answer = await api("{ items(number: 1) { broken } }")
    assert answer.codes == ["INTERNAL"]


async def test_a_database_that_is_gone_is_a_service_that_is_not_available(caplog: pytest.LogCaptureFixture) -> None:
    async with mounted(Query) as api:
        answer = await api("{ gone }")
    assert (answer.status, answer.codes) == (200, ["SERVICE_UNAVAILABLE"])
    assert answer.body["errors"][0]["extensions"]["status"] == 503
    assert answer.body["errors"][0]["message"] == MASKS[RequestErrorCode.SERVICE_UNAVAILABLE]
    assert "127.0.0.1" not in str(answer.body)
    assert len(logged(caplog)) == 1


async def test_a_database_that_is_gone_before_the_operation_answers_503(caplog: pytest.LogCaptureFixture) -> None:
    async def identify(scope: MutableMapping[str, Any]) -> tuple[None, None]:
        await sync_to_async(connect_to_nothing)()
        return None, None

    async with mounted(Query, identify=identify) as api:
        answer = await api("{ fine }")
    assert (answer.status, answer.codes) == (503, ["SERVICE_UNAVAILABLE"])
    assert "data" not in answer.body
    assert len(logged(caplog)) == 1


async def test_a_failure_before_the_operation_answers_500(caplog: pytest.LogCaptureFixture) -> None:
    async def identify(scope: MutableMapping[str, Any]) -> tuple[None, None]:
        raise ZeroDivisionError(SECRET)

    async with mounted(Query, identify=identify) as api:
        answer = await api("{ fine }")
    assert (answer.status, answer.codes) == (500, ["INTERNAL"])
    assert SECRET not in str(answer.body)
    [record] = logged(caplog)
    assert vars(record)["request_id"] == answer.headers["x-request-id"]


async def test_a_flood_of_errors_is_bounded_and_each_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with mounted(Query) as api:
        answer = await api("{ items(number: 1000) { broken } }")
    assert len(answer.body["data"]["items"]) == 1_000
    assert len(answer.codes) == ERRORS_MAX
    assert set(answer.codes) == {"INTERNAL"}
    assert len(str(answer.body["errors"])) < 30_000


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNAUTHENTICATED", "UNAUTHENTICATED"),
        ("FORBIDDEN", "FORBIDDEN"),
        ("NOT_FOUND", "NOT_FOUND"),
        ("CONFLICT", "CONFLICT"),
        ("RATE_LIMITED", "RATE_LIMITED"),
        ("INVALID", "BAD_USER_INPUT"),
        ("REQUIRED", "BAD_USER_INPUT"),
        ("UNIQUE", "BAD_USER_INPUT"),
    ],
)
async def test_a_refusal_outside_a_payload_keeps_its_meaning(code: str, expected: str) -> None:
    async with mounted(Query) as api:
        answer = await api("query($code: String!) { refused(code: $code) }", code=code)
    [error] = answer.body["errors"]
    assert error["message"] == "No."
    assert error["extensions"]["code"] == expected
    assert error["extensions"]["status"] == RequestErrorCode(expected).status
    assert error["extensions"]["fields"] == ["name"]


async def test_several_refusals_outside_a_payload_name_their_fields() -> None:
    async with mounted(Query) as api:
        answer = await api("{ doublyRefused }")
    assert answer.codes == ["BAD_USER_INPUT"]
    assert answer.body["errors"][0]["extensions"]["fields"] == ["first"]


async def test_a_mutation_that_fails_unexpectedly_is_no_payload_error(caplog: pytest.LogCaptureFixture) -> None:
    async with mounted(Query, mutation=Mutations) as api:
        answer = await api("mutation { fail { errors { code } } }")
    assert answer.codes == ["INTERNAL"]
    assert len(logged(caplog)) == 1


@strawberry.type
class FailPayload(Payload):
    pass


@strawberry.type
class Mutations:
    @mutation(description="Fails.")
    async def fail(self) -> FailPayload:
        raise ZeroDivisionError(SECRET)


def test_codes_by_cause() -> None:
    def code(cause: Exception | None, *, executed: bool = True, path: list[str | int] | None = None) -> str:
        return code_of(GraphQLError("x", path=path, original_error=cause), executed=executed).value

    assert code(RequestError(RequestErrorCode.TIMEOUT, "x")) == "TIMEOUT"
    assert code(GraphQLError("y", original_error=RequestError(RequestErrorCode.TIMEOUT, "x"))) == "TIMEOUT"
    assert code(OperationalError()) == code(InterfaceError()) == "SERVICE_UNAVAILABLE"
    assert code(RuntimeError(), executed=False) == "INTERNAL"
    assert code(ValueError(), executed=False) == "GRAPHQL_VALIDATION_FAILED"
    assert code(None, executed=False) == "GRAPHQL_VALIDATION_FAILED"
    assert code(None) == "BAD_USER_INPUT"
    assert code(None, path=["posts"]) == "INTERNAL"
    assert code_of(GraphQLSyntaxError(Source("{"), 1, "x"), executed=False) is RequestErrorCode.GRAPHQL_PARSE_FAILED


def test_the_cause_below_any_number_of_wrappers() -> None:
    cause = ZeroDivisionError()
    error = GraphQLError("x", original_error=cause)
    for _ in range(3):
        error = GraphQLError("y", original_error=error)
    assert root_cause(error) is cause
    assert root_cause(GraphQLError("x")) is None


def test_one_cause_that_fails_many_fields_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    cause = ZeroDivisionError()
    errors = [GraphQLError("x", path=["items", number], original_error=cause) for number in range(5)]
    formatted = format_errors(errors, executed=True, request_id="r")
    assert [entry["path"] for entry in formatted] == [["items", number] for number in range(5)]
    assert len(logged(caplog)) == 1


def test_a_message_does_not_repeat_all_that_was_sent() -> None:
    [entry] = format_errors([GraphQLError("x" * 10_000)], executed=False, request_id="r")
    assert len(entry["message"]) == MESSAGE_MAX


def test_every_code_has_a_status_of_an_error() -> None:
    assert all(400 <= code.status < 600 for code in RequestErrorCode)
    assert set(MASKS) == {code for code in RequestErrorCode if code.status in {500, 503}}


@pytest.mark.parametrize(
    "cause",
    [
        RequestError(RequestErrorCode.RATE_LIMITED, "Wait.", retry_after=7),
        DomainError(ErrorCode.RATE_LIMITED, "Wait.", retry_after=7),
    ],
)
def test_an_error_says_how_long_to_wait(cause: Exception) -> None:
    [entry] = format_errors([GraphQLError("Wait.", original_error=cause)], executed=True, request_id="x")
    assert entry["extensions"] == {"code": "RATE_LIMITED", "status": 429, "requestId": "x", "retryAfter": 7}
