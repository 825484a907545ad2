"""From a request to an operation, and from its result to what its client gets: the same over HTTP and over a socket."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from time import perf_counter
from typing import Any, cast

from apps.core.db import connection_scope
from apps.core.statements import tally
from schema.build import Schema
from schema.context import Context
from schema.documents import Refused
from schema.errors import RequestError, RequestErrorCode, bad_input
from schema.rates import count_operation
from schema.request import Request
from schema.results import Result, errors_only, failure, refusal, response
from schema.subscriptions import Stream, Subscriptions

logger = logging.getLogger("broadside.operation")

Identify = Callable[[MutableMapping[str, Any]], Awaitable[tuple[Any, int | None]]]


class Operations:
    """Runs the operations of `schema`. `identify(scope)` gives the viewer and the session of a request.

    It raises RequestError for a token that is no longer good. `subscriptions` are those of the process; a schema
    without any can do without.
    """

    def __init__(self, schema: Schema, identify: Identify, subscriptions: Subscriptions | None = None) -> None:
        self._schema = schema
        self._subscriptions = subscriptions
        self.identify = identify

    async def run(self, request: Request, patience: AbstractAsyncContextManager[None]) -> Result | Stream:
        """What came of the operation, whatever came, and a line in the log.

        It runs within `patience`, which may cancel it, and raise TimeoutError or ClientDisconnect then. The answer has
        at most GRAPHQL_MAX_RESPONSE_BYTES. No connection to the database is held afterwards. A subscription that may
        begin is a stream, which has to be closed; events are heard from then on.
        """
        started = perf_counter()
        with tally() as counted:
            result = await self._settled(request, patience)
        if request.stream is not None and result is not request.stream:
            request.stream.close()  # something went wrong after all
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                request.operation,
                extra={
                    "ms": round((perf_counter() - started) * 1000, 1),
                    "statements": counted.statements,
                    "rows": counted.rows,
                    "code": request.code,
                    "request_id": request.request_id,
                },
            )
        return result

    async def _settled(self, request: Request, patience: AbstractAsyncContextManager[None]) -> Result | Stream:
        try:
            async with patience, connection_scope():
                await request.read()
                return await self._run(request)
        except asyncio.CancelledError as error:
            if cast("asyncio.Task[object]", asyncio.current_task()).cancelling():
                # uvicorn ends what still runs when it stops. It looks at nothing more than whether there is an answer.
                return refusal(request, RequestErrorCode.SERVICE_UNAVAILABLE, "The server is being stopped.")
            return failure(request, error, "the request")
        except Exception as error:  # noqa: BLE001  (whatever it is, the client gets a coded answer)
            return failure(request, error, "the request")

    async def _run(self, request: Request) -> Result | Stream:
        """The order in which a request is looked at: its token, how many its viewer or address has sent, its form, its
        document, whether that is for everybody, its operation's cost."""
        viewer, session_id = await self._viewer(request)
        sent = request.sent()
        context = Context(request.request_id, viewer, session_id, request.client, request.cookie)
        try:
            operation = self._schema.documents.operation(sent.query, sent.operation_name)
            request.operation = (operation.name or request.operation)[:100]
            if operation.is_mutation and not request.may_write:
                raise bad_input("Mutations have to be sent by POST.")
            operation.admit(viewer)
            cost = operation.checked_cost(sent.variables)
            if operation.is_subscription and self._subscriptions is not None:
                return await self._subscriptions.opened(request, operation, sent, context, cost)
            request.writes = operation.is_mutation
            result = await self._schema.run(operation, sent.variables, context)
        except Refused as refused:
            request.operation = sent.name
            return errors_only(request, refused.errors, executed=refused.executed)
        except RequestError:
            request.operation = sent.name
            raise
        finally:
            request.writes = False
            context.close()
        return response(request, result, cost, operation.longest_key)

    async def _viewer(self, request: Request) -> tuple[Any, int | None]:
        """What `identify` gives. The operation is counted as the viewer's; with a bad token, as its address's."""
        try:
            viewer, session_id = await self.identify(request.scope)
        except RequestError:
            await count_operation(None, request.client)
            raise
        await count_operation(viewer, request.client)
        return viewer, session_id
