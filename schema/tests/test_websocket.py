"""GraphQL over a WebSocket: the protocol."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from schema.websocket import MESSAGES
from tests.sockets import (
    ACK,
    INIT,
    PING,
    PONG,
    TYPENAME,
    Close,
    answered,
    complete,
    connected,
    knocking,
    opened,
    subscribe,
)

# The protocol: what is sent after the socket was accepted, and what has to come, to the last message or close.

GOOD: dict[str, tuple[list[Any], list[Any]]] = {
    "init": ([INIT], [ACK]),
    "init with a payload": ([INIT | {"payload": {"anything": [1]}}], [ACK]),
    "init with an empty payload": ([INIT | {"payload": {}}], [ACK]),
    "init with null": ([INIT | {"payload": None}], [ACK]),
    "a ping before init": ([PING, INIT], [PONG, ACK]),
    "a ping": ([INIT, PING], [ACK, PONG]),
    "a ping with a payload": ([INIT, PING | {"payload": {"a": 1}}], [ACK, PONG | {"payload": {"a": 1}}]),
    "a pong that nobody asked for": ([INIT, PONG, PONG | {"payload": {}}, PING], [ACK, PONG]),
    "a pong before init": ([PONG, INIT], [ACK]),
    "a query": ([INIT, subscribe(TYPENAME)], [ACK, *answered({"__typename": "Query"})]),
    "all fields": (
        [
            INIT,
            subscribe(
                {
                    "query": "query A { a: __typename } query B($if: Boolean!) { b: __typename @include(if: $if) }",
                    "operationName": "B",
                    "variables": {"if": True},
                    "extensions": {"x": 1},
                }
            ),
        ],
        [ACK, *answered({"b": "Query"})],
    ),
    "fields that are null": (
        [INIT, subscribe(TYPENAME | {"operationName": None, "variables": None, "extensions": None})],
        [ACK, *answered({"__typename": "Query"})],
    ),
    "fields that nobody knows": (
        [INIT | {"x": 1}, subscribe(TYPENAME | {"x": 1}) | {"x": 1}],
        [ACK, *answered({"__typename": "Query"})],
    ),
    "an id of any script": ([INIT, subscribe(TYPENAME, "世界")], [ACK, *answered({"__typename": "Query"}, "世界")]),
    "completing what there is not": ([INIT, complete("x"), PING], [ACK, PONG]),
    "completing before init": ([complete("x"), INIT], [ACK]),
}

NO_OBJECTS: list[Any] = ["", "{}", 0, 1, True, [], [{}]]
NO_IDS: list[Any] = [None, "", 0, 1, True, [], {}]
WRONG: dict[str, list[Any]] = {
    "query": [1, False, [], {}],
    "operationName": [1, False, [], {}],
    "variables": NO_OBJECTS,
    "extensions": NO_OBJECTS,
}
BAD: dict[str, tuple[list[Any], int]] = {
    "nothing": ([""], 4400),
    "no json": (["{"], 4400),
    "text": (["connection_init"], 4400),
    "nan": (['{"type": "ping", "payload": {"x": NaN}}'], 4400),
    "binary": ([b'{"type": "connection_init"}'], 4400),
    "binary, later": ([INIT, b'{"type": "ping"}'], 4400),
    "lists 100,000 deep": (["[" * 100_000], 4400),
    "a list": ([[INIT]], 4400),
    "null": ([None], 4400),
    "a string": (['"connection_init"'], 4400),
    "a number": (["1"], 4400),
    "no type": ([{}], 4400),
    "a type of null": ([{"type": None}], 4400),
    "a type that is a number": ([{"type": 1}], 4400),
    "a type that is a list": ([{"type": ["ping"]}], 4400),
    "a type that is an object": ([{"type": {}}], 4400),
    "an unknown type": ([{"type": "start"}], 4400),
    "an unknown type, later": ([INIT, {"type": "connection_terminate"}], 4400),
    "ack from a client": ([{"type": "connection_ack"}], 4400),
    "next from a client": ([INIT, {"type": "next", "id": "1", "payload": {}}], 4400),
    "error from a client": ([INIT, {"type": "error", "id": "1", "payload": []}], 4400),
    **{
        f"{kind} with {payload!r}": ([{"type": kind, "payload": payload}], 4400)
        for kind in ("connection_init", "ping", "pong")
        for payload in NO_OBJECTS
    },
    **{
        f"{kind} with the id {id!r}": ([INIT, {"type": kind, "id": id, "payload": TYPENAME}], 4400)
        for kind in ("subscribe", "complete")
        for id in NO_IDS
    },
    "subscribe without an id": ([INIT, {"type": "subscribe", "payload": TYPENAME}], 4400),
    "complete without an id": ([INIT, {"type": "complete"}], 4400),
    "subscribe without a payload": ([INIT, {"type": "subscribe", "id": "1"}], 4400),
    **{
        f"subscribe with {payload!r}": ([INIT, subscribe(payload)], 4400)
        for payload in [None, *NO_OBJECTS, {}, {"variables": {}}, {"query": None}]
    },
    **{
        f"{name} {value!r}": ([INIT, subscribe(TYPENAME | {name: value})], 4400)
        for name, values in WRONG.items()
        for value in values
    },
    "a malformed operation before init": ([subscribe(None)], 4400),
    "an operation before init": ([subscribe(TYPENAME)], 4401),
    "two inits": ([INIT, INIT], 4429),
    "init after an operation": ([INIT, subscribe(TYPENAME), INIT], 4429),
}


@pytest.mark.parametrize("name", GOOD)
async def test_what_the_protocol_has_is_answered(name: str) -> None:
    sent, expected = GOOD[name]
    async with opened() as socket:
        socket.send(*sent)
        assert [await socket.next() for _ in expected] == expected
        socket.send(PING)
        assert await socket.next() == PONG


@pytest.mark.parametrize("name", BAD)
async def test_what_the_protocol_does_not_have_closes_the_socket(name: str) -> None:
    sent, code = BAD[name]
    async with opened() as socket:
        socket.send(*sent)
        while (message := await socket.next())["type"] != "websocket.close":
            assert message == ACK
        assert message["code"] == code
        assert message["reason"]
        await asyncio.wait_for(socket.serving, 10)


@pytest.mark.parametrize("subprotocols", [[], ["graphql-ws"], ["GRAPHQL-TRANSPORT-WS"], ["json", ""]])
async def test_another_subprotocol_is_not_spoken(subprotocols: list[str]) -> None:
    async with knocking(subprotocols=subprotocols) as socket:
        assert await socket.next() == {"type": "websocket.accept"}
        assert await socket.closed() == Close(4406, "Subprotocol not acceptable")


async def test_of_several_subprotocols_ours_is_chosen() -> None:
    async with opened(subprotocols=["graphql-ws", "graphql-transport-ws"]) as socket:
        socket.send(INIT)
        assert await socket.next() == ACK


async def test_who_does_not_begin_is_closed(settings: Any) -> None:
    settings.GRAPHQL_SOCKET_INIT_SECONDS = 0.05
    async with opened() as socket:
        assert await socket.closed() == Close(4408, "Connection initialisation timeout")
    async with opened() as socket:
        socket.send(PING)
        assert await socket.next() == PONG
        assert (await socket.closed()).code == 4408


async def test_who_has_begun_may_be_idle(settings: Any) -> None:
    """The close that is due for the second socket would have come first to this one."""
    settings.GRAPHQL_SOCKET_INIT_SECONDS = 0.05
    async with connected() as idle, opened() as other:
        assert (await other.closed()).code == 4408
        assert await idle.ask("{ __typename }") == {"data": {"__typename": "Query"}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([*MESSAGES, "1"]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from([*MESSAGES, "next"])},
    optional={
        "id": st.sampled_from(["1", "2"]) | JSON,
        "payload": JSON
        | st.fixed_dictionaries(
            {"query": st.sampled_from(["{ __typename }", "{", "{ viewer { id } }"]) | JSON},
            optional={"variables": JSON, "operationName": JSON, "Authorization": JSON},
        ),
    },
)


@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.booleans(), st.lists(st.text() | st.binary() | JSON | NEARLY | NEARLY, max_size=6))
async def test_whatever_comes_is_answered_or_closes_the_socket(
    caplog: pytest.LogCaptureFixture, begins: bool, messages: list[Any]
) -> None:
    caplog.clear()
    async with opened() as socket:
        socket.send(*[INIT] * begins, *messages, PING)
        while (message := await socket.next()) != PONG:
            if message["type"] == "websocket.close":
                assert 4400 <= message["code"] < 4500
                break
            assert message["type"] in {"connection_ack", "next", "error", "complete", "pong"}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
