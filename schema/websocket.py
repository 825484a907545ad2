"""GraphQL over a WebSocket: the protocol graphql-transport-ws.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from itertools import count
from time import time
from types import UnionType
from typing import Any

import orjson
from django.conf import settings
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from apps.core.db import connection_scope
from schema.build import Schema
from schema.errors import MASKS, RequestError, RequestErrorCode, error_entry, unexpected
from schema.operations import Identify, Operations
from schema.pubsub import Ended, Ending
from schema.request import Request, Sent
from schema.results import Result
from schema.subscriptions import Stream, Subscriptions, last_words

SUBPROTOCOL = "graphql-transport-ws"
# Of UTF-8: a close frame has room for no more.
MAX_REASON_BYTES = 123

# What a client may send, with the fields that each has or, where they may be null, can have.
MESSAGES: dict[str, dict[str, type | UnionType]] = {
    "connection_init": {"payload": dict | None},
    "ping": {"payload": dict | None},
    "pong": {"payload": dict | None},
    "subscribe": {"id": str, "payload": dict},
    "complete": {"id": str},
}
OPERATION: dict[str, type | UnionType] = {
    "query": str,
    "operationName": str | None,
    "variables": dict | None,
    "extensions": dict | None,
}

# Puts `scope["auth"]` in place as the payload of `connection_init` has it, for `identify`; gives the Unix time until
# which that is good, if there is one.
Authenticate = Callable[[Scope, dict[str, Any]], float | None]


class CloseCode(IntEnum):
    """Why a socket is closed: the protocol's own codes, and two of RFC 6455 after which clients come again."""

    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    INIT_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_INITS = 4429
    INTERNAL = 4500


class Closed(Exception):
    """The socket is to be closed. Of a reason only what fits into a close frame is kept."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.message: Message = {
            "type": "websocket.close",
            "code": int(code),
            "reason": reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"),
        }


class GraphQLSocket:
    """Answers GraphQL over WebSockets, under the limits that it has over HTTP.

    `identify` and `subscriptions` are those of Operations.

    A message has at most GRAPHQL_MAX_BODY_BYTES, an operation takes at most GRAPHQL_TIMEOUT_SECONDS, and a socket has
    at most GRAPHQL_SOCKET_MAX_OPERATIONS at a time. A client that takes nothing for GRAPHQL_TIMEOUT_SECONDS has gone.
    Who is asking is looked at in `connection_init`, and anew for each operation. The socket ends with its token.
    """

    def __init__(
        self,
        schema: Schema,
        identify: Identify,
        authenticate: Authenticate,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        self._operations = Operations(schema, identify, subscriptions)
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        if SUBPROTOCOL not in scope["subprotocols"]:
            # Accepted first: a client whose upgrade is refused never gets to see a code.
            await send({"type": "websocket.accept"})
            await send(Closed(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable").message)
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        await _Connection(scope, receive, send, self._operations, self._authenticate).serve()


class _Operation(Request):
    """One operation of a socket, with an id of its own in logs and errors: the socket's, and its number there."""

    def __init__(self, scope: Scope, number: int, message: dict[str, Any]) -> None:
        super().__init__(scope, f"{scope['request_id']}-{number}")
        self.id: str = message["id"]
        self.is_stopped = False
        self.work: asyncio.Task[None]
        self._payload: dict[str, Any] = message["payload"]

    async def read(self) -> None:
        """Nothing: all of it came in one message."""

    def sent(self) -> Sent:
        return Sent.checked(self._payload)

    def stop(self) -> None:
        """Nobody waits for it any more: give it up, or carry it through without an answer when it writes."""
        self.is_stopped = True
        if not self.writes:
            self.work.cancel()

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """As schema.patience has it over HTTP, where it has to look for itself whether the client has gone."""
        try:
            async with asyncio.timeout(settings.GRAPHQL_TIMEOUT_SECONDS):
                yield
        except asyncio.CancelledError:
            if self.is_stopped:
                raise ClientDisconnect from None
            raise


class _Connection:
    """One socket, from its acceptance to its end.

    A task reads, and one more is at work for each operation, for a subscription as long as it lasts. Whoever finds that
    the socket has to end says so to `_end`, and `serve` ends it.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, operations: Operations, authenticate: Authenticate
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._operations = operations
        self._authenticate = authenticate
        self._loop = asyncio.get_running_loop()
        # What there is to say at the end; None when the client has gone.
        self._ending: asyncio.Future[Message | None] = self._loop.create_future()
        self._is_acknowledged = False
        self._numbers = count(1)
        # Those that are at work, and those of them whose answers are waited for.
        self._at_work: set[_Operation] = set()
        self._awaited: dict[str, _Operation] = {}

    async def serve(self) -> None:
        too_late = Closed(CloseCode.INIT_TIMEOUT, "Connection initialisation timeout")
        self._end_in(settings.GRAPHQL_SOCKET_INIT_SECONDS, too_late)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                reading = self._tasks.create_task(self._read())
                farewell = await self._ending
                reading.cancel()
                for operation in self._at_work:
                    operation.stop()
                if farewell is not None:
                    await self._deliver(farewell)
        except asyncio.CancelledError:
            # uvicorn ends what still runs when it stops, and would log it as an error of ours.
            pass
        finally:
            self._timer.cancel()

    def _end(self, closed: Closed | None) -> None:
        if not self._ending.done():
            self._ending.set_result(closed.message if closed else None)

    def _end_in(self, seconds: float, closed: Closed) -> None:
        self._timer = self._loop.call_later(seconds, self._end, closed)

    async def _say(self, **message: Any) -> None:
        await self._deliver({"type": "websocket.send", "text": orjson.dumps(message).decode()})

    async def _deliver(self, message: Message) -> None:
        """Send it when the client has taken what was sent before: no more waits than one message for each operation."""
        try:
            async with asyncio.timeout(settings.GRAPHQL_TIMEOUT_SECONDS):
                await self._send(message)
        except (OSError, RuntimeError):
            # It is gone, or takes nothing. uvicorn raises the RuntimeError when it has closed the socket by itself.
            self._end(None)

    async def _read(self) -> None:
        try:
            while (message := await self._receive())["type"] == "websocket.receive":
                await self._take(_parsed(message))
            self._end(None)
        except Closed as closed:
            self._end(closed)
        except RequestError as error:
            self._end(_forbidden(error.code, str(error)))
        except Exception as error:  # noqa: BLE001  (whatever it is, the client gets a code)
            code = unexpected(error, "the socket", self._scope["request_id"])
            unavailable = code is RequestErrorCode.SERVICE_UNAVAILABLE
            close_code = CloseCode.TRY_AGAIN_LATER if unavailable else CloseCode.INTERNAL
            self._end(Closed(close_code, f"{code}: {MASKS[code]}"))

    async def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "connection_init":
                await self._initialise(message.get("payload") or {})
            case "ping":
                await self._say(type="pong", **{key: message[key] for key in message.keys() & {"payload"}})
            case "subscribe":
                await self._subscribe(message)
            case "complete" if message["id"] in self._awaited:
                self._awaited.pop(message["id"]).stop()

    async def _initialise(self, payload: dict[str, Any]) -> None:
        if self._is_acknowledged:
            raise Closed(CloseCode.TOO_MANY_INITS, "Too many initialisation requests")
        good_until = self._authenticate(self._scope, payload)
        async with connection_scope():
            await self._operations.identify(self._scope)
        self._is_acknowledged = True
        self._timer.cancel()
        if good_until is not None:
            expired = _forbidden(RequestErrorCode.UNAUTHENTICATED, "The access token has expired.")
            self._end_in(good_until - time(), expired)
        await self._say(type="connection_ack")

    async def _subscribe(self, message: dict[str, Any]) -> None:
        if not self._is_acknowledged:
            raise Closed(CloseCode.UNAUTHORIZED, "Unauthorized")
        operation = _Operation(self._scope, next(self._numbers), message)
        if operation.id in self._awaited:
            raise Closed(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {operation.id} already exists")
        if len(self._at_work) >= settings.GRAPHQL_SOCKET_MAX_OPERATIONS:
            text = f"At most {settings.GRAPHQL_SOCKET_MAX_OPERATIONS:,} operations at a time. Wait for others to end."
            refusal = error_entry(RequestErrorCode.RATE_LIMITED, text, operation.request_id)
            await self._say(type="error", id=operation.id, payload=[refusal])
            return
        self._at_work.add(operation)
        self._awaited[operation.id] = operation
        operation.work = self._tasks.create_task(self._answer(operation))
        operation.work.add_done_callback(lambda _: self._at_work.discard(operation))

    async def _answer(self, operation: _Operation) -> None:
        result = await self._operations.run(operation, operation.patience())
        if not isinstance(result, Result):
            await self._pass_on(operation, result)
            return
        # Stopped, or the socket has ended.
        if operation.is_stopped or self._ending.done():
            return
        if result.errors is None:
            await self._say(type="next", id=operation.id, payload=orjson.Fragment(result.body))
        # With the last message the id is free again.
        self._awaited.pop(operation.id, None)
        if result.errors is None:
            await self._say(type="complete", id=operation.id)
            return
        await self._refuse(operation, result.errors)

    async def _refuse(self, operation: _Operation, errors: list[dict[str, Any]]) -> None:
        await self._say(type="error", id=operation.id, payload=errors)
        # Its token is good for nothing any more. Where there was none, others of its operations may be open.
        is_refused = errors[0]["extensions"]["code"] == RequestErrorCode.UNAUTHENTICATED
        if is_refused and self._scope["auth"] is not None:
            self._end(_forbidden(RequestErrorCode.UNAUTHENTICATED, errors[0]["message"]))

    async def _pass_on(self, operation: _Operation, stream: Stream) -> None:
        """Each event as soon as the client has taken the one before, until one of both sides ends it."""
        try:
            while not (operation.is_stopped or self._ending.done()):
                body = await stream.next()
                await self._say(type="next", id=operation.id, payload=orjson.Fragment(body))
        except Ended as ended:
            await self._end_of(operation, ended.ending)
        finally:
            stream.close()

    async def _end_of(self, operation: _Operation, ending: Ending) -> None:
        """A client subscribes again by itself where the socket is closed, not where its subscription is complete."""
        if ending is Ending.SESSION_ENDED:
            self._awaited.pop(operation.id, None)
            await self._refuse(operation, last_words(operation, ending).errors or [])
        elif ending is Ending.STOPPING:
            self._end(Closed(CloseCode.SERVICE_RESTART, ending.message))
        else:
            self._end(Closed(CloseCode.TRY_AGAIN_LATER, f"{ending.code}: {ending.message}"))


def _parsed(frame: Message) -> dict[str, Any]:
    """The message that came in `frame`. Raises Closed for whatever the protocol does not know."""
    text = frame.get("text")
    if text is None:
        raise _bad("Messages are text, not binary.")
    if len(text.encode()) > settings.GRAPHQL_MAX_BODY_BYTES:
        raise _bad(f"The message has more than {settings.GRAPHQL_MAX_BODY_BYTES:,} bytes.")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _bad("The message is not JSON.") from None
    if not isinstance(message, dict):
        raise _bad("The message must be a JSON object.")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in MESSAGES:
        raise _bad("The message has no `type` that a client may send.")
    _check(message, MESSAGES[kind])
    if kind == "subscribe":
        _check(message["payload"], OPERATION)
    return message


def _check(message: dict[str, Any], fields: dict[str, type | UnionType]) -> None:
    for name, kind in fields.items():
        if not isinstance(message.get(name), kind):
            raise _bad(f"`{name}` is missing, or of the wrong kind.")
    if message.get("id") == "":
        raise _bad("`id` is empty.")


def _bad(reason: str) -> Closed:
    return Closed(CloseCode.BAD_REQUEST, reason)


def _forbidden(code: RequestErrorCode, message: str) -> Closed:
    return Closed(CloseCode.FORBIDDEN, f"{code}: {message}")
