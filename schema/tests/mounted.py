"""A schema of the tests' own, behind the real endpoint."""

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import strawberry
from asgiref.sync import sync_to_async
from django.db import connection

from apps.core.middleware import RequestIdMiddleware
from schema.build import build_schema
from schema.endpoint import GraphQLEndpoint
from schema.operations import Identify
from tests.api import Api

# An advisory lock: its number means nothing.
LOCK = 4711


@strawberry.type
class NoMutation:
    nothing: str | None = None


@strawberry.type
class SlowQuery:
    @strawberry.field
    def fine(self) -> str:
        return "fine"

    @strawberry.field
    async def slow(self, seconds: float) -> str:
        await sync_to_async(sleep_in_the_database)(seconds)
        return "done"

    @strawberry.field
    async def locked(self) -> str:
        await sync_to_async(wait_for_the_lock)()
        return "done"


def sleep_in_the_database(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def wait_for_the_lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


async def nobody(scope: MutableMapping[str, Any]) -> tuple[None, None]:
    return None, None


@asynccontextmanager
async def mounted(query: type, mutation: type = NoMutation, identify: Identify = nobody) -> AsyncIterator[Api]:
    """A client of an endpoint that answers `query` and `mutation`, without an explorer."""
    schema = build_schema(query=query, mutation=mutation, types=[])
    application: Any = RequestIdMiddleware(GraphQLEndpoint(schema, identify, None))
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield Api(client)
