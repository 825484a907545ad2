"""GraphQL over a WebSocket: operations that are stopped, the limits, and errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.db import OperationalError

from schema.build import build_schema
from schema.tests import test_errors
from schema.tests.gated import GATED, GATED_SOCKET, MUTATION, QUERY, gate
from schema.tests.mounted import NoMutation, nobody
from schema.websocket import GraphQLSocket
from tests.make import Make
from tests.sockets import INIT, PING, PONG, Close, complete, connected, opened, subscribe


@pytest.fixture(autouse=True)
async def _closed_gate() -> None:
    gate.close()


PASSED = {"data": {"gate": "passed"}}


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    """Name and code of each operation in the log, where there is nothing else."""
    assert {record.name for record in caplog.records} <= {"broadside.operation"}
    return [(record.getMessage(), vars(record)["code"]) for record in caplog.records]


async def test_operations_run_side_by_side_and_are_answered_as_they_end() -> None:
    async with connected(application=GATED_SOCKET) as socket:
        socket.subscribe(QUERY, "slow")
        socket.subscribe("{ __typename }", "fast")
        assert (await socket.next())["id"] == "fast"
        assert await socket.next() == complete("fast")
        gate.opened.set()
        assert await socket.next() == {"type": "next", "id": "slow", "payload": PASSED}
        assert await socket.next() == complete("slow")


async def test_an_id_is_taken_until_its_operation_has_ended() -> None:
    async with connected(application=GATED_SOCKET) as socket:
        for _ in range(2):
            await socket.ask("{ __typename }")
        socket.subscribe(QUERY)
        await gate.until_somebody_waits()
        socket.subscribe("{ __typename }")
        assert await socket.closed() == Close(4409, "Subscriber for 1 already exists")
    assert gate.given_up == 1


async def test_a_reason_that_is_too_long_for_a_close_is_cut() -> None:
    async with connected(application=GATED_SOCKET) as socket:
        for _ in range(2):
            socket.subscribe(QUERY, "é" * 100)
        assert await socket.closed() == Close(4409, "Subscriber for " + "é" * 54)


async def test_a_query_that_is_completed_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with connected(application=GATED_SOCKET) as socket:
        socket.subscribe(QUERY)
        await gate.until_somebody_waits()
        socket.send(complete())
        # Its id is free at once, and nothing more comes of it.
        assert await socket.ask("{ __typename }") == {"data": {"__typename": "GateQuery"}}
    assert gate.given_up == 1
    assert sorted(lines(caplog)) == [("Held", "BAD_USER_INPUT"), ("unnamed", "OK")]


async def test_an_operation_may_be_completed_before_it_has_begun() -> None:
    async with connected(application=GATED_SOCKET) as socket:
        for text in (QUERY, MUTATION):
            socket.subscribe(text)
            socket.send(complete())
        assert await socket.ask("{ __typename }")
    assert (gate.passed, gate.given_up) == (0, 0)


async def test_a_mutation_that_is_completed_is_carried_through(caplog: pytest.LogCaptureFixture) -> None:
    async with connected(application=GATED_SOCKET) as socket:
        socket.subscribe(MUTATION)
        await gate.until_somebody_waits()
        socket.send(complete())
        assert await socket.ask("{ __typename }")
        gate.opened.set()
        await socket.leave()
    assert (gate.passed, gate.given_up) == (1, 0)
    assert lines(caplog) == [("unnamed", "OK"), ("Held", "OK")]


async def test_queries_of_a_client_that_leaves_are_given_up() -> None:
    async with connected(application=GATED_SOCKET) as socket:
        for id in "123":
            socket.subscribe(QUERY, id)
            await gate.until_somebody_waits()
        await socket.leave()
    assert gate.given_up == 3


@pytest.mark.parametrize("error", [OSError, RuntimeError])
async def test_a_client_that_cannot_be_reached_has_gone(error: type[Exception]) -> None:
    """uvicorn says the one, and the other when it has closed the socket by itself."""
    async with connected(application=GATED_SOCKET) as socket:
        socket.subscribe(QUERY)
        await gate.until_somebody_waits()
        socket.vanish(error)
        socket.send(PING)
        await asyncio.wait_for(socket.serving, 10)
    assert gate.given_up == 1


async def test_a_mutation_of_a_client_that_leaves_is_carried_through() -> None:
    async with connected(application=GATED_SOCKET) as socket:
        socket.subscribe(MUTATION)
        await gate.until_somebody_waits()
        leaving = asyncio.create_task(socket.leave())
        await asyncio.sleep(0)
        gate.opened.set()
        await leaving
    assert (gate.passed, gate.given_up) == (1, 0)


async def test_a_server_that_stops_ends_even_mutations(caplog: pytest.LogCaptureFixture) -> None:
    async with connected(application=GATED_SOCKET) as socket:
        for id, text in enumerate((QUERY, MUTATION)):
            socket.subscribe(text, str(id))
            await gate.until_somebody_waits()
        socket.serving.cancel()
        await asyncio.wait_for(socket.serving, 10)
    assert gate.given_up == 2
    assert lines(caplog) == [("Held", "SERVICE_UNAVAILABLE")] * 2


async def test_an_operation_that_takes_too_long_ends_and_the_socket_does_not(settings: Any) -> None:
    async with connected(application=GATED_SOCKET) as socket:
        settings.GRAPHQL_TIMEOUT_SECONDS = 0.05
        socket.subscribe(QUERY)
        message = await socket.next()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "TIMEOUT")
        assert await socket.ask("{ __typename }")


async def test_an_operation_too_many_is_refused(settings: Any) -> None:
    settings.GRAPHQL_SOCKET_MAX_OPERATIONS = 2
    async with connected(application=GATED_SOCKET) as socket:
        for id in "123":
            socket.subscribe(MUTATION, id)
        message = await socket.next()
        assert (message["type"], message["id"]) == ("error", "3")
        assert message["payload"][0]["extensions"] == {
            "code": "RATE_LIMITED",
            "status": 429,
            "requestId": "socket-id-3",
        }
        # One that is carried through though nobody waits is at work, too.
        await gate.until_somebody_waits()
        socket.send(complete("1"))
        socket.subscribe(QUERY, "4")
        assert (await socket.next())["id"] == "4"
        gate.opened.set()
        assert [(await socket.next())["id"] for _ in range(2)] == ["2", "2"]
        assert await socket.ask("{ __typename }")


async def test_a_client_that_takes_nothing_is_sent_no_more_and_asked_for_no_more() -> None:
    async with connected(application=GATED_SOCKET) as socket:
        socket.takes.clear()
        socket.send(*[PING] * 1_000)
        socket.subscribe(QUERY)
        for _ in range(100):
            await asyncio.sleep(0)
        assert socket.unread >= 1_000
        socket.takes.set()
        for _ in range(1_000):
            assert await socket.next() == PONG
        await gate.until_somebody_waits()


@pytest.mark.parametrize("text", [QUERY, MUTATION])
async def test_an_answer_that_was_not_taken_yet_is_dropped_when_the_socket_ends(text: str) -> None:
    gate.opened.set()
    async with connected(application=GATED_SOCKET) as socket:
        socket.takes.clear()
        socket.subscribe(text)
        await gate.until_somebody_waits()
        for _ in range(100):
            await asyncio.sleep(0)
        socket.send("")
        for _ in range(100):
            await asyncio.sleep(0)
        socket.takes.set()
        assert (await socket.closed()).code == 4400


async def test_a_client_that_takes_nothing_for_long_has_gone(settings: Any) -> None:
    settings.GRAPHQL_TIMEOUT_SECONDS = 0.05
    async with connected(application=GATED_SOCKET) as socket:
        socket.takes.clear()
        socket.subscribe("{ __typename }")
        await asyncio.wait_for(socket.serving, 10)


# Limits and errors, which are those of HTTP


async def test_a_message_has_the_size_of_a_body_at_most(settings: Any) -> None:
    settings.GRAPHQL_MAX_BODY_BYTES = 100
    for size, code in ((100, None), (101, 4400)):
        async with opened() as socket:
            text = '{"type": "ping", "x": "é'
            socket.send(text + "x" * (size - len(text.encode()) - 2) + '"}')
            assert (await socket.next()).get("code") == code


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"query": ""}, "BAD_USER_INPUT"),
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "subscription { __typename }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query A { __typename }", "operationName": "B"}, "BAD_USER_INPUT"),
        ({"query": "query A { __typename } query B { __typename }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query($n: Int) { posts(first: $n) { totalCount } }", "variables": {"n": "x"}}, "BAD_USER_INPUT"),
        ({"query": "{ __typename }", "variables": {"x": [1] * 10_000}}, "BAD_USER_INPUT"),
        ({"query": "{ __typename }" + " " * 100_000}, "QUERY_TOO_COMPLEX"),
        ({"query": "{" + " ".join(f"a{number}: __typename" for number in range(51)) + "}"}, "QUERY_TOO_COMPLEX"),
        (
            {"query": "{ posts(first: 100) { nodes { comments(first: 100) { nodes { id body depth } } } } }"},
            "QUERY_TOO_COMPLEX",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_what_is_refused_before_it_starts_is_an_error(payload: dict[str, Any], code: str) -> None:
    async with connected() as socket:
        socket.send(subscribe(payload), PING)
        messages = [await socket.next(), await socket.next()]
        [error] = [message for message in messages if message != PONG]
        assert (error["type"], error["id"]) == ("error", "1")
        assert error["payload"][0]["extensions"]["code"] == code
        # Nothing comes after it, and the id is free.
        assert await socket.ask("{ __typename }")


async def test_an_answer_that_is_too_large_is_not_sent(settings: Any) -> None:
    settings.GRAPHQL_MAX_RESPONSE_BYTES = 1_000
    async with connected(application=GATED_SOCKET) as socket:
        socket.subscribe("{ long(length: 1000) }")
        message = await socket.next()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "QUERY_TOO_COMPLEX")


async def test_errors_have_the_form_that_they_have_over_http(caplog: pytest.LogCaptureFixture) -> None:
    schema = build_schema(query=test_errors.Query, mutation=NoMutation, types=[])
    async with connected(application=GraphQLSocket(schema, nobody, lambda scope, payload: None)) as socket:
        await socket.ask("{ fine }")
        payload = await socket.ask("{ fine broken }")
    assert payload["data"] == {"fine": "fine", "broken": None}
    assert payload["errors"] == [
        {
            "message": "Something went wrong on our side.",
            "path": ["broken"],
            "locations": [{"line": 1, "column": 8}],
            "extensions": {"code": "INTERNAL", "status": 500, "requestId": "socket-id-2"},
        }
    ]
    [record] = test_errors.logged(caplog)
    assert vars(record)["request_id"] == "socket-id-2"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            OperationalError("gone"),
            Close(1013, "SERVICE_UNAVAILABLE: The service is not available right now. Try again in a moment."),
        ),
        (ZeroDivisionError("secret"), Close(4500, "INTERNAL: Something went wrong on our side.")),
    ],
    ids=["the database", "anything else"],
)
async def test_what_fails_while_the_viewer_is_looked_for_is_masked_and_logged_once(
    caplog: pytest.LogCaptureFixture, error: Exception, expected: Close
) -> None:
    async def identify(scope: Any) -> Any:
        raise error

    async with opened(GraphQLSocket(GATED, identify, lambda scope, payload: None)) as socket:
        socket.send(INIT)
        assert await socket.closed() == expected
    assert len(test_errors.logged(caplog)) == 1


@pytest.mark.django_db
async def test_each_operation_is_a_line_with_what_it_took(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    await make.post()
    async with connected() as socket:
        for name in ("One", "Two"):
            await socket.ask(f"query {name} {{ posts {{ nodes {{ id }} }} }}")
    one, two = [vars(record) for record in caplog.records if record.name == "broadside.operation"]
    assert [(line["msg"], line["code"], line["statements"], line["rows"]) for line in (one, two)] == [
        ("One", "OK", 1, 1),
        ("Two", "OK", 1, 1),
    ]
    socket_id = one["request_id"].removesuffix("-1")
    assert two["request_id"] == f"{socket_id}-2"
