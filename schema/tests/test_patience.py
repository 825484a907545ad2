"""Who waits how long: the client for its answer, and the server for its client."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from schema.endpoint import GraphQLEndpoint
from schema.http import Call
from schema.patience import SOON, Patience
from schema.root import schema

SCOPE: dict[str, Any] = {"method": "POST", "request_id": "x", "headers": [], "query_string": b""}


class Client:
    """Sends what it is told to, when it is told to."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.call = Call(SCOPE, self._messages.get)

    def send(self, body: bytes = b"{}") -> None:
        self._messages.put_nowait({"type": "http.request", "body": body})

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})


@pytest.fixture
async def client(settings: Any) -> AsyncIterator[Client]:
    settings.GRAPHQL_TIMEOUT_SECONDS = 10.0
    yield Client()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def forever() -> None:
    await asyncio.Event().wait()


async def read_and_wait(call: Call, then: Callable[[], None] = lambda: None) -> None:
    """A request whose answer never comes; `then` happens when its body has."""
    async with Patience(call):
        await call.read()
        then()
        await forever()


async def test_time_is_over(client: Client, settings: Any) -> None:
    settings.GRAPHQL_TIMEOUT_SECONDS = 2 * SOON
    client.send()
    with pytest.raises(TimeoutError):
        await read_and_wait(client.call)


async def test_time_is_over_before_the_body_has_come(client: Client, settings: Any) -> None:
    settings.GRAPHQL_TIMEOUT_SECONDS = 3 * SOON
    with pytest.raises(TimeoutError):
        async with Patience(client.call):
            await client.call.read()


async def test_a_client_that_leaves_is_noticed(client: Client) -> None:
    client.send()
    client.leave()
    with pytest.raises(ClientDisconnect):
        await read_and_wait(client.call)


async def test_a_client_whose_body_was_late_is_noticed_when_it_leaves(client: Client) -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(3 * SOON, client.send)
    with pytest.raises(ClientDisconnect):
        await read_and_wait(client.call, client.leave)


async def test_what_a_client_sends_beside_its_request_ends_nothing(client: Client) -> None:
    client.send()
    client.send(b"more")
    client.leave()
    with pytest.raises(ClientDisconnect):
        await read_and_wait(client.call)


async def test_a_write_is_carried_through(client: Client, settings: Any) -> None:
    """Whoever has left; but not for longer than there is time."""
    settings.GRAPHQL_TIMEOUT_SECONDS = 4 * SOON
    client.send()
    client.leave()
    client.call.writes = True
    with pytest.raises(TimeoutError):
        await read_and_wait(client.call)


async def test_what_ends_in_time_is_left_alone(client: Client) -> None:
    client.send()
    async with Patience(client.call):
        await client.call.read()
    assert client.call.is_read


async def test_an_error_of_its_own_stays_what_it_is(client: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Patience(client.call):
            raise ZeroDivisionError


async def test_a_timer_that_is_early_leaves_no_second_listener(client: Client, settings: Any) -> None:
    settings.GRAPHQL_TIMEOUT_SECONDS = 3 * SOON
    client.send()
    patience = Patience(client.call)

    async def request() -> None:
        async with patience:
            await client.call.read()
            patience._look()
            patience._look()
            await forever()

    with pytest.raises(TimeoutError):
        await request()


async def test_a_server_that_stops_is_obeyed(client: Client) -> None:
    started = asyncio.Event()
    client.send()
    task = asyncio.ensure_future(read_and_wait(client.call, started.set))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_server_that_stops_is_obeyed_though_time_is_over(client: Client, settings: Any) -> None:
    """Both in one turn of the event loop: the server must not take its own cancellation for the other one."""
    settings.GRAPHQL_TIMEOUT_SECONDS = SOON

    async def request() -> None:
        patience = Patience(client.call)
        async with patience:
            asyncio.get_running_loop().call_at(patience._deadline, task.cancel)
            await forever()

    task = asyncio.ensure_future(request())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_is_nobodys_is_an_unexpected_error(caplog: pytest.LogCaptureFixture) -> None:
    async def identify(scope: Any) -> Any:
        raise asyncio.CancelledError

    answer = await post_to(GraphQLEndpoint(schema, identify, None))
    assert answer["errors"][0]["extensions"]["code"] == "INTERNAL"
    [record] = [record for record in caplog.records if record.name == "broadside.errors"]
    assert record.exc_info is not None


async def test_an_endpoint_whose_server_stops_says_so() -> None:
    async def identify(scope: Any) -> Any:
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()
    task = asyncio.ensure_future(post_to(GraphQLEndpoint(schema, identify, None)))
    await started.wait()
    task.cancel()
    assert (await task)["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"


async def post_to(endpoint: GraphQLEndpoint) -> Any:
    """What `endpoint` answers to `{ __typename }`."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "request_id": "x",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    body: asyncio.Queue[Any] = asyncio.Queue()
    body.put_nowait({"type": "http.request", "body": b'{"query": "{ __typename }"}'})

    async def send(message: Any) -> None:
        sent.append(message)

    await endpoint(scope, body.get, send)
    return json.loads(sent[1]["body"])
