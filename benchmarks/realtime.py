"""Measures subscriptions on one server process: `python -m benchmarks.realtime`.

- how much memory 500 open subscriptions to `commentAdded` take, each over a WebSocket of its own;
- how long it takes from the event until the first, and until the last of them has it: for 500 who have not signed in,
  and for 500 who have, each with a session of their own;
- what an idle server costs with them, and what without.

It runs uvicorn as in production, on a database of its own in DATABASE_URL's server, or in an embedded one. The event is
said as the worker says it, by NOTIFY; the worker itself has no part in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from apps.core.ids import global_id
from benchmarks.identity import database
from benchmarks.serving import ROOT, free_port, manage, serving, settings

CLIENTS = int(os.environ.get("CLIENTS", "500"))
ROUNDS = 10
IDLE_SECONDS = 5
FIELDS = "id body createdAt author { id firstName lastName }"
OPERATION = f"subscription Live($post: ID!) {{ commentAdded(postId: $post) {{ {FIELDS} }} }}"
TICKS = os.sysconf("SC_CLK_TCK")
# Prints a post, its newest comment, and access tokens of users who have a session each.
SETUP = """
import json
from datetime import timedelta
from django.utils import timezone
from apps.comments.models import Comment
from apps.users import tokens
from apps.users.models import Session, User
now, count = timezone.now(), {count}
users = User.objects.bulk_create(
    User(email=f"live{{n}}@bench.example.com", password="!", first_name="Ann", last_name=str(n)) for n in range(count)
)
sessions = Session.objects.bulk_create(Session(user=user, expires_at=now + timedelta(days=1)) for user in users)
comment = Comment.objects.filter(post__status="published", deleted_at=None).last()
issued = [tokens.issue_access(session.user_id, session.pk, now)[0] for session in sessions]
print(json.dumps([comment.post_id, comment.pk, issued]))
"""


async def main() -> None:
    with database() as url:
        environment = settings(url, GRAPHQL_MAX_SUBSCRIPTIONS_PER_VIEWER=str(CLIENTS), **of_the_environment())
        manage(environment, "migrate", "--verbosity=0")
        manage(environment, "seed", "--yes")
        post, comment, tokens = json.loads(shell(environment, SETUP.format(count=CLIENTS)).splitlines()[-1])
        for kind, compression in (("anonymous", None), ("signed in", None), ("anonymous", "deflate")):
            port = free_port()
            with serving(environment, port) as pid:
                given = tokens if kind == "signed in" else [None] * CLIENTS
                origin = f"ws://127.0.0.1:{port}/graphql/"
                await measure(pid, url, origin, post, comment, given, kind, compression)


async def measure(
    pid: int,
    url: str,
    origin: str,
    post: int,
    comment: int,
    tokens: list[str | None],
    kind: str,
    compression: str | None,
) -> None:
    # What is loaded by the first shall not count for the 500.
    async with AsyncExitStack() as stack:
        await asyncio.gather(*[subscribed(stack, origin, post, tokens[0], compression) for _ in range(5)])
    print(f"\n{CLIENTS} {kind}, {'compressed' if compression else 'uncompressed'}")
    print(f"  idle without them: {await idle(pid):.2f} % of a core")
    before = memory(pid)
    async with AsyncExitStack() as stack:
        clients = []
        for start in range(0, CLIENTS, 50):
            some = tokens[start : start + 50]
            clients += await asyncio.gather(*[subscribed(stack, origin, post, each, compression) for each in some])
        # By the time that a query sent after it is answered, a subscription has begun, or is about to.
        await asyncio.gather(*map(settled, clients))
        after = memory(pid)
        print(f"  memory: {before:.0f} MB, {after:.0f} MB with them: {(after - before) / CLIENTS * 1000:.0f} KB each")
        print(f"  idle with them: {await idle(pid):.2f} % of a core")
        firsts, lasts = [], []
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as database:
            for _ in range(ROUNDS):
                taken = [asyncio.create_task(arrival(client)) for client in clients]
                await asyncio.sleep(0.2)
                began = time.perf_counter()
                await database.execute("SELECT pg_notify('broadside_events', %s)", [f"comments_on_{post} {comment}"])
                arrivals = sorted(at - began for at in await asyncio.gather(*taken))
                firsts.append(arrivals[0])
                lasts.append(arrivals[-1])
        print(f"  event to the first: {median(firsts) * 1000:.0f} ms; to the last: {median(lasts) * 1000:.0f} ms,")
        print(f"    at worst of {ROUNDS}: {max(lasts) * 1000:.0f} ms; memory afterwards: {memory(pid):.0f} MB")


async def subscribed(
    stack: AsyncExitStack, origin: str, post: int, token: str | None, compression: str | None
) -> ClientConnection:
    opening = connect(origin, subprotocols=[Subprotocol("graphql-transport-ws")], compression=compression)
    client = await stack.enter_async_context(opening)
    payload = {"Authorization": f"Bearer {token}"} if token else None
    await client.send(json.dumps({"type": "connection_init", "payload": payload}))
    await client.recv()
    variables = {"post": global_id("Post", post)}
    operation = {"type": "subscribe", "id": "1", "payload": {"query": OPERATION, "variables": variables}}
    await client.send(json.dumps(operation))
    return client


async def settled(client: ClientConnection) -> None:
    query = {"query": "{ __typename }"}
    for _ in range(2):
        await client.send(json.dumps({"type": "subscribe", "id": "2", "payload": query}))
        await client.recv()
        await client.recv()


async def arrival(client: ClientConnection) -> float:
    message: Any = await client.recv()
    at = time.perf_counter()
    if json.loads(message)["type"] != "next" or "errors" in json.loads(message)["payload"]:
        raise RuntimeError(message)
    return at


async def idle(pid: int) -> float:
    """How busy the process is while nothing happens, in per cent of a core."""
    began = ticks(pid)
    await asyncio.sleep(IDLE_SECONDS)
    return 100 * (ticks(pid) - began) / TICKS / IDLE_SECONDS


def ticks(pid: int) -> int:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def memory(pid: int) -> float:
    """The process' own share, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def shell(environment: dict[str, str], code: str) -> str:
    command = [sys.executable, "manage.py", "shell", "--verbosity=0", "--command", code]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def of_the_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("GRAPHQL_ENGINE", "READ_POOL_MAX") if name in os.environ}


if __name__ == "__main__":
    asyncio.run(main())
