"""A schema whose operations wait until they are told to go on, behind a real socket."""

from __future__ import annotations

import asyncio

import strawberry

from schema.build import build_schema
from schema.tests.mounted import nobody
from schema.websocket import GraphQLSocket

QUERY = "query Held { gate }"
MUTATION = "mutation Held { gate }"


class Gate:
    """Holds whoever comes by until it is opened, and counts. Each test closes it, for an event loop of its own."""

    def close(self) -> None:
        self.came = asyncio.Semaphore(0)
        self.opened = asyncio.Event()
        self.given_up = 0
        self.passed = 0

    async def pass_through(self) -> str:
        self.came.release()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        self.passed += 1
        return "passed"

    async def until_somebody_waits(self) -> None:
        await asyncio.wait_for(self.came.acquire(), 10)


gate = Gate()


@strawberry.type
class GateQuery:
    @strawberry.field
    async def gate(self) -> str:
        return await gate.pass_through()

    @strawberry.field
    def long(self, length: int) -> str:
        return "x" * length


@strawberry.type
class GateMutation:
    @strawberry.mutation
    async def gate(self) -> str:
        return await gate.pass_through()


GATED = build_schema(query=GateQuery, mutation=GateMutation, types=[])
GATED_SOCKET = GraphQLSocket(GATED, nobody, lambda scope, payload: None)
