"""Counts the SQL statements and rows of one request, for its log line and for the tests' budgets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(slots=True)
class Tally:
    """What has been sent to the database so far, and how many rows came back or were changed."""

    statements: int = 0
    rows: int = 0


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def tally() -> Iterator[Tally]:
    """Count what this context, and the threads that asgiref runs for it, send to the database."""
    counted = Tally()
    token = _current.set(counted)
    try:
        yield counted
    finally:
        _current.reset(token)


def count_on(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Receiver of `connection_created`: every new connection counts into the tally of whoever uses it."""
    if _count not in connection.execute_wrappers:
        connection.execute_wrappers.append(_count)


def _count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    counted = _current.get()
    if counted is None:
        return execute(sql, params, many, context)
    counted.statements += 1
    result = execute(sql, params, many, context)
    counted.rows += max(context["cursor"].rowcount, 0)
    return result


def count(rows: int) -> None:
    """Count one statement that was sent otherwise than through a connection of Django's."""
    counted = _current.get()
    if counted is not None:
        counted.statements += 1
        counted.rows += rows
