"""Subscriptions as uvicorn serves them: over TCP, to clients that read nothing, and until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from asgiref.sync import sync_to_async
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from apps.posts.models import BODY_MAX
from apps.posts.tasks import POST_PUBLISHED
from config.asgi import application, subscriptions
from schema import pubsub
from tests.backends import until
from tests.database import database_url
from tests.make import Make
from tests.project import ROOT, clean_environment
from tests.streams import say, until_there_are
from tests.test_sockets_served import begun, closed, heard, operation, served, until_nothing_runs

pytestmark = pytest.mark.django_db

POSTS = "subscription { postPublished { id body } }"
REQUEST = json.dumps({"query": POSTS}).encode()
HEAD = (
    b"POST /graphql/ HTTP/1.1\r\nHost: testserver\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(REQUEST)
)
# More than the buffers of both kernels hold, a body a time.
MANY = 200


async def until_one_is_dropped(key: int) -> int:
    """How many events it took. Of what waits for a client no more is kept than the bounds allow."""
    for number in range(MANY):
        say(POST_PUBLISHED, key)

        async def is_told() -> bool:
            return not any("_Audience" in repr(task) for task in asyncio.all_tasks())

        await until(is_told, 10)
        assert subscriptions.hub._bytes <= pubsub.MAX_BYTES
        if subscriptions.hub.count == 0:
            return number
    raise AssertionError("a client that reads nothing is told more and more")


async def read_to_the_end(client: ClientConnection) -> None:
    while True:
        await heard(client)


async def test_a_socket_that_is_not_read_from_is_dropped_with_a_reason(make: Make) -> None:
    post = await make.post(body="x" * BODY_MAX)
    async with served(application) as (server, url), begun(url) as client:
        await client.send(operation(POSTS))
        await until_there_are(1)
        client.transport.pause_reading()
        number = await until_one_is_dropped(post.pk)
        assert number > pubsub.MAX_BYTES // BODY_MAX
        client.transport.resume_reading()
        with pytest.raises(ConnectionClosed) as ended:
            await read_to_the_end(client)
        assert ended.value.rcvd is not None
        code, reason = ended.value.rcvd.code, ended.value.rcvd.reason
        assert (code, reason.partition(":")[0]) == (1013, "RATE_LIMITED")
        await until_nothing_runs(server)


async def test_a_stream_that_is_not_read_from_is_dropped(make: Make) -> None:
    post = await make.post(body="x" * BODY_MAX)
    async with served(application) as (server, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port, limit=1)
        writer.write(HEAD + REQUEST)
        await until_there_are(1)
        assert await until_one_is_dropped(post.pk) > pubsub.MAX_BYTES // BODY_MAX
        end = b""
        while not end.endswith(b"0\r\n\r\n"):
            end = end[-1_000:] + await asyncio.wait_for(reader.read(1_000_000), 10)
        assert b'"code":"RATE_LIMITED"' in end
        assert b"event: complete\ndata:\n\n" in end
        writer.close()
        await until_nothing_runs(server)


async def test_a_stream_whose_client_hangs_up_leaves_nothing_behind() -> None:
    async with served(application) as (server, url):
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(HEAD + REQUEST)
        await until_there_are(1)
        writer.transport.abort()
        await until_there_are(0)
        await until_nothing_runs(server)


@contextmanager
def process() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A uvicorn process on the tests' database, which waits for a minute for open responses when it is stopped."""
    environment = clean_environment(
        DJANGO_SETTINGS_MODULE="config.settings.dev", DATABASE_URL=database_url(), LOG_LEVEL="WARNING"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-m", "uvicorn", "config.asgi:application", f"--fd={listening.fileno()}"]
        options = ["--timeout-graceful-shutdown=60", "--log-level=warning"]
        server = subprocess.Popen(
            [*command, *options],
            cwd=ROOT,
            env=environment,
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
        )
        try:
            yield server, f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.kill()
            server.wait()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_is_told_to_stop_ends_its_streams_at_once(number: signal.Signals) -> None:
    async with AsyncExitStack() as stack:
        server, address = stack.enter_context(process())
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{address}", timeout=20))
        request: dict[str, Any] = {"json": {"query": POSTS}, "headers": {"Accept": "text/event-stream"}}
        streams = []
        for _ in range(3):
            stream = await stack.enter_async_context(client.stream("POST", "/graphql/", **request))
            lines = stream.aiter_lines()
            assert [await anext(lines) for _ in range(2)] == [":", ""]
            streams.append(lines)
        opened = [await stack.enter_async_context(begun(f"ws://{address}/graphql/")) for _ in range(3)]
        for each in opened[:2]:
            await each.send(operation(POSTS))
            await each.send(operation("{ __typename }", "2"))
            assert [(await heard(each))["id"] for _ in range(2)] == ["2", "2"]
        server.send_signal(number)
        for lines in streams:
            assert [line async for line in lines] == ["event: complete", "data:", ""]
        assert [(await closed(each))[0] for each in opened] == [1012] * 3
        # It waits for what is open for a minute, and there is nothing.
        _, said = await sync_to_async(server.communicate, thread_sensitive=False)(timeout=3)
        assert said == b""
