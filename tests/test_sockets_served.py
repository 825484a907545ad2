"""WebSockets as uvicorn serves them, over TCP and to another implementation's client."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from apps.core.middleware import RequestIdMiddleware
from config.asgi import application
from schema.tests.gated import GATED_SOCKET, MUTATION, QUERY, gate
from tests.backends import until

SUBPROTOCOL = Subprotocol("graphql-transport-ws")
GATED = RequestIdMiddleware(GATED_SOCKET)


@asynccontextmanager
async def served(application: Any) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    """uvicorn with `application`, and the address of its endpoint; it has stopped afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield server, f"ws://127.0.0.1:{listening.getsockname()[1]}/graphql/"
        finally:
            server.should_exit = True
            await asyncio.wait_for(serving, 20)


@asynccontextmanager
async def begun(url: str) -> AsyncIterator[ClientConnection]:
    # Uncompressed: what is sent is as large as it looks.
    async with connect(url, subprotocols=[SUBPROTOCOL], compression=None) as client:
        await client.send('{"type": "connection_init"}')
        assert await heard(client) == {"type": "connection_ack"}
        yield client


async def heard(client: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(client.recv(), 10))


async def closed(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as ended:
        await asyncio.wait_for(client.recv(), 10)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def operation(query: str, id: str = "1") -> str:
    return json.dumps({"type": "subscribe", "id": id, "payload": {"query": query}})


async def until_nothing_runs(server: uvicorn.Server) -> None:
    """Return when the application has no socket any more."""

    async def is_over() -> bool:
        return not server.server_state.tasks

    await until(is_over, 10)


@pytest.fixture(autouse=True)
def _nothing_is_an_error(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    records = caplog.get_records("call")
    assert [record.getMessage() for record in records if record.levelno > logging.WARNING or record.exc_info] == []


@pytest.fixture(autouse=True)
async def _closed_gate() -> None:
    gate.close()


async def test_a_client_is_answered() -> None:
    async with served(application) as (_, url), begun(url) as client:
        await client.send(operation("{ __typename }"))
        assert await heard(client) == {"type": "next", "id": "1", "payload": {"data": {"__typename": "Query"}}}
        assert await heard(client) == {"type": "complete", "id": "1"}


async def test_what_closes_a_socket_reaches_its_client() -> None:
    async with served(application) as (_, url):
        async with connect(url) as client:
            assert await closed(client) == (4406, "Subprotocol not acceptable")
        async with begun(url) as client:
            await client.send(b"{}")
            assert await closed(client) == (4400, "Messages are text, not binary.")
        with pytest.raises(InvalidStatus):
            await connect(url.replace("graphql", "elsewhere"), subprotocols=[SUBPROTOCOL])


async def test_a_client_that_hangs_up_leaves_nothing_behind() -> None:
    async with served(GATED) as (server, url):
        for abruptly in (False, True):
            async with begun(url) as client:
                await client.send(operation(QUERY))
                await gate.until_somebody_waits()
                if abruptly:
                    client.transport.abort()
            await until_nothing_runs(server)
    assert gate.given_up == 2


async def test_a_server_that_stops_closes_its_sockets_and_gives_up_their_queries() -> None:
    async with served(GATED) as (server, url), begun(url) as idle, begun(url) as busy:
        await busy.send(operation(QUERY))
        await gate.until_somebody_waits()
        server.should_exit = True
        assert [(await closed(client))[0] for client in (idle, busy)] == [1012, 1012]
        await until_nothing_runs(server)
    assert gate.given_up == 1


async def test_a_server_that_stops_carries_a_mutation_through() -> None:
    async with served(GATED) as (server, url), begun(url) as client:
        await client.send(operation(MUTATION))
        await gate.until_somebody_waits()
        server.should_exit = True
        assert (await closed(client))[0] == 1012
        gate.opened.set()
        await until_nothing_runs(server)
    assert gate.passed == 1


async def test_a_client_that_reads_nothing_is_let_go_of(settings: Any) -> None:
    """And its operations with it: what they found is not kept for it."""
    async with served(GATED) as (server, url), begun(url) as client:
        settings.GRAPHQL_TIMEOUT_SECONDS = 0.2
        client.transport.pause_reading()
        for id in range(40):
            await client.send(operation("{ long(length: 1000000) }", str(id)))
        await until_nothing_runs(server)
        client.transport.abort()
