"""Whether a connection that has been idle is still there, told without a round trip."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

C = TypeVar("C", bound=Connection[Any])


def first_alive(connection: C, another: Callable[[], C], give_back: Callable[[C], None]) -> C:
    """`connection`, or, when it is dead, the first of what `another()` lends that is not.

    Dead ones are closed and given back to their pool, which makes others in their place, in the background.
    """
    while not is_alive(connection):
        connection.close()
        give_back(connection)
        connection = another()
    return connection


def is_alive(connection: Connection[Any]) -> bool:
    """Whether the server has not ended this idle connection, as far as this machine knows.

    To one that is idle a server sends nothing but its end; so it takes a look at the socket, and no time. Now and
    then it sends something else (a notification, a setting that was reloaded): if anything is there, the server is
    asked, for a round trip. What it says last can be there before the socket is closed, so nothing less would tell.

    A connection that a network has dropped without a word is taken to be alive. Its first statement fails when the
    system gives it up: see KEEPALIVES in `config/settings/base.py`.
    """
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if poll.poll(0):
            ConnectionPool.check_connection(connection)
    except psycopg.Error:
        return False
    return True
