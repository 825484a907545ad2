"""Connections and constraints."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import psycopg
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import IntegrityError, InterfaceError, OperationalError, close_old_connections, connections
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from apps.core.errors import DomainError, DomainErrors

logger = logging.getLogger("broadside.errors")

P = ParamSpec("P")
R = TypeVar("R")

# A database that is gone, a pool that is exhausted, a deadlock: trying again may help.
DATABASE_UNAVAILABLE = (OperationalError, InterfaceError)
# After which the server ends a transaction of which nothing is heard: a host that has vanished keeps nothing locked.
IDLE_SECONDS = 60
# How many threads wait for the next scope. More at a time would only wait for connections.
IDLE_THREADS = 20


class _Thread(ThreadPoolExecutor):
    """One thread, and whether the scope that has it now has put it to work."""

    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="orm")
        self.is_used = False

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.is_used = True
        return super().submit(*args, **kwargs)


_idle: list[_Thread] = []
_own_thread: ContextVar[_Thread | None] = ContextVar("own_thread", default=None)


class connection_scope:  # noqa: N801  (used like a function; asynccontextmanager would cost every request)
    """Give the ORM work inside one thread and one pooled connection, which goes back to the pool at the end.

    Without it asgiref runs all requests of the process in one thread, and a connection that the server dropped
    would never be replaced. It costs nothing when there is no such work. Threads are used again: starting one, and
    what Django sets up for a new one, takes longer than a statement.
    """

    async def __aenter__(self) -> None:
        self._thread = _idle.pop() if _idle else _Thread()
        self._context = ThreadSensitiveContext(executor=self._thread)
        _own_thread.set(self._thread)
        await self._context.__aenter__()  # type: ignore[no-untyped-call]  # asgiref types no more than its functions

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if self._thread.is_used and kind is not asyncio.CancelledError:
                await sync_to_async(close_old_connections)()
                self._thread.is_used = False
        finally:
            await self._context.__aexit__(kind, *error)  # type: ignore[no-untyped-call]
            if self._thread.is_used:
                # Nobody waits for it any more: it goes on, gives its connection back, and ends.
                self._thread.submit(close_old_connections)
                self._thread.shutdown(wait=False)
            elif len(_idle) < IDLE_THREADS:
                _idle.append(self._thread)
            else:
                self._thread.shutdown(wait=False)


_at_work: set[asyncio.Task[Any]] = set()


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What the sync `work` gives, done in the scope's thread. Whoever is told to stop meanwhile stops at once.

    The thread cannot be interrupted: it carries through what it has begun. What then fails unexpectedly is logged.
    """
    task = asyncio.ensure_future(sync_to_async(work)(*args, **kwargs))
    _at_work.add(task)
    task.add_done_callback(_at_work.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_log_failure)
        raise
    finally:
        # Its exception's traceback holds this frame.
        del task


def _log_failure(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, DomainError | DomainErrors):
        logger.error("Work that nobody waited for any more has failed", exc_info=error)


async def in_one_go(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`in_thread` for all that a scope does in its thread. Its connection is back in the pool by then.

    The end of the scope need not send for it, which would take another way to the thread and back.
    """

    def work_and_give_back() -> R:
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    thread = _own_thread.get()
    try:
        return await in_thread(work_and_give_back)
    except asyncio.CancelledError:
        thread = None  # it is still at work
        raise
    finally:
        if thread is not None:
            thread.is_used = False


@contextmanager
def waits_bounded(seconds: float) -> Iterator[None]:
    """Django's connections that are made within wait at most `seconds` for a lock, then raise OperationalError.

    For a server, whose clients do not wait for ever: the thread of a write that does cannot be interrupted. Statements
    may take their time, as those of the admin do. Migrations, tasks and commands are processes of their own, and wait.
    What the database's URL says in `options` holds.
    """
    database = connections["default"].settings_dict
    before = database["OPTIONS"]
    bounds = f"-c lock_timeout={seconds * 1000:.0f} -c idle_in_transaction_session_timeout={IDLE_SECONDS * 1000}"
    database["OPTIONS"] = {**before, "options": f"{bounds} {before.get('options', '')}"}
    try:
        yield
    finally:
        database["OPTIONS"] = before


def conninfo(**overrides: str) -> str:
    """libpq's connection string for Django's database, for those who connect without Django."""
    parameters = connections["default"].get_connection_params()
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    return make_conninfo(**{key: parameters[key] for key in known if parameters.get(key)} | overrides)


def violated_constraint(error: IntegrityError) -> str | None:
    """The name of the constraint or unique index that refused a row, when PostgreSQL said which."""
    cause = error.__cause__
    return cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None
