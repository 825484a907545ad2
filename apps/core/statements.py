"""Counts what one request reads: statements and rows for its log line and the tests' budgets, text for its bound."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


class TooMuchText(Exception):
    """More text has been read than `tally` allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"This reads more than {limit:,} characters of text. Ask for less.")


@dataclass(slots=True)
class Tally:
    """What has been sent to the database so far, how many rows came back or were changed, and the text in them."""

    statements: int = 0
    rows: int = 0
    characters: int = 0
    most_characters: int = sys.maxsize


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def tally(most_characters: int = sys.maxsize) -> Iterator[Tally]:
    """Count what this context, and the threads that asgiref runs for it, send to the database.

    Reads of more than `most_characters` of long text in all raise TooMuchText.
    """
    counted = Tally(most_characters=most_characters)
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


def count_text(characters: int) -> None:
    """Count text of no bounded length that was read. Raises TooMuchText when that makes it too much."""
    counted = _current.get()
    if counted is not None:
        counted.characters += characters
        if counted.characters > counted.most_characters:
            raise TooMuchText(counted.most_characters)
