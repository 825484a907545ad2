"""A statement in the form in which it travels, and the connection that sends it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from itertools import count
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, abc, generators, waiting
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.types.numeric import Int2, Int4, Int8
from psycopg.waiting import Ready

from apps.core.readiness import Readiness

# Stand among a query's parameters for the keys, and the viewer's own key, that it is run with.
KEYS: Final = object()
VIEWER: Final = object()
# How many statements a connection keeps prepared.
MAX_PREPARED = 200
# How long the server may take to stop a cancelled statement.
CANCEL_SECONDS = 5
# How often psycopg looks at a socket that says nothing.
WAKE_SECONDS = 1.0
# The bits of the numbers that Django gives psycopg. In binary form psycopg cuts off what does not fit, without a word.
BITS = {Int2: 15, Int4: 31, Int8: 63}
PLACEHOLDER = re.compile("%[s%]")

Dumped = tuple[list[Any], tuple[int, ...], list[Format]]


class Query:
    """A statement in the form in which it travels: numbered parameters, and their values dumped once.

    With `planned_once` PostgreSQL keeps the plan that it has made of it, whatever its parameters are. Planning takes
    longer than most reads do; but where rows are searched by values that clients choose, the best plan depends on them.
    """

    __slots__ = ("_dumped", "_open", "_params", "planned_once", "sql")

    def __init__(self, sql: str, params: Sequence[Any] = (), *, planned_once: bool = True) -> None:
        self.planned_once = planned_once
        numbers = count(1)
        numbered = PLACEHOLDER.sub(lambda found: f"${next(numbers)}" if found[0] == "%s" else "%", sql)
        self.sql = numbered.encode()
        self._params = params
        self._dumped: Dumped | None = None
        self._open: list[int] = []

    def dumped(self, transformer: abc.Transformer, keys: Sequence[Any], viewer: int | None) -> Dumped:
        """The values of the parameters with their types and formats. PostgreSQL knows the types of KEYS and VIEWER."""
        if self._dumped is None:
            fixed = [None if param is KEYS or param is VIEWER else _whole(param) for param in self._params]
            dumped = list(transformer.dump_sequence(fixed, [PyFormat.AUTO] * len(fixed)))
            self._dumped = dumped, transformer.types or (), list(transformer.formats or ())
            self._open = [place for place, param in enumerate(self._params) if param is KEYS or param is VIEWER]
        values, types, formats = self._dumped
        if self._open:
            values = values.copy()
            for place in self._open:
                values[place] = _array(keys, transformer) if self._params[place] is KEYS else b"%d" % (viewer or 0)
        return values, types, formats


class ReadConnection(AsyncConnection[tuple[Any, ...]]):
    """A connection that sends prepared statements without a cursor, which would take as long as PostgreSQL does.

    Whoever holds it has it alone. After `fetch` was cancelled, the statement still runs: `interrupt` stops it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepared_names: OrderedDict[tuple[bytes, tuple[int, ...]], bytes] = OrderedDict()
        self._prepared_so_far = 0
        self._plans_once: bool | None = None
        self._readiness: Readiness | None = None

    async def fetch(self, query: Query, keys: Sequence[Any], viewer: int | None) -> list[tuple[Any, ...]]:
        """The rows of `query` for `keys` and the viewer with the key `viewer`.

        One round trip; more for what is new to this connection, or planned otherwise than what came before.
        """
        if query.planned_once is not self._plans_once:
            await self._plan_once(query.planned_once)
        transformer = Transformer(self)
        values, types, formats = query.dumped(transformer, keys, viewer)
        known = query.sql, types
        try:
            result = await self._executed(known, values, formats)
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName):
            # A migration has changed the type of a column meanwhile, and PostgreSQL refuses the old form; or somebody
            # between us and it has thrown away what was prepared.
            self._prepared_names.pop(known, None)
            result = await self._executed(known, values, formats)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    async def _executed(
        self, known: tuple[bytes, tuple[int, ...]], values: Sequence[Any], formats: Sequence[Format]
    ) -> PGresult:
        name = self._prepared_names.get(known)
        if name is None:
            name = await self._prepare(known)
        else:
            self._prepared_names.move_to_end(known)
        self.pgconn.send_query_prepared(name, values, formats)
        return await self._result(ExecStatus.TUPLES_OK)

    async def _plan_once(self, once: bool) -> None:
        mode = b"force_generic_plan" if once else b"auto"
        self._plans_once = None  # nobody knows, when this is interrupted
        self.pgconn.send_query(b"SET plan_cache_mode = " + mode)
        await self._result(ExecStatus.COMMAND_OK)
        self._plans_once = once

    async def _prepare(self, known: tuple[bytes, tuple[int, ...]]) -> bytes:
        if len(self._prepared_names) >= MAX_PREPARED:
            _, oldest = self._prepared_names.popitem(last=False)
            self.pgconn.send_query(b"DEALLOCATE " + oldest)
            await self._result(ExecStatus.COMMAND_OK)
        # No name is used twice: one whose making was interrupted may be there, or not.
        self._prepared_so_far += 1
        name = b"read_%d" % self._prepared_so_far
        self.pgconn.send_prepare(name, *known)
        await self._result(ExecStatus.COMMAND_OK)
        self._prepared_names[known] = name
        return name

    async def close(self) -> None:
        """Close it, also in the middle of a statement. What was prepared on it is gone."""
        if self._readiness is not None:
            self._readiness.close()
        await super().close()

    async def _result(self, expected: ExecStatus) -> PGresult:
        results = await self._results()
        if len(results) != 1:
            # What libpq could not read: it says so in a result more, and has closed the connection.
            raise psycopg.OperationalError(self.pgconn.get_error_message())
        [result] = results
        if result.status != expected:
            raise psycopg.errors.error_from_result(result, self.info.encoding)
        return result

    async def _results(self) -> list[PGresult]:
        """What the server answers."""
        if self.pgconn.flush():
            # The socket does not take all of it at once. That is rare, and psycopg knows how to go on. Its `wait()`
            # would, told to stop, first wait for the server to stop.
            return await waiting.wait_async(generators.execute(self.pgconn), self.pgconn.socket, WAKE_SECONDS)
        if self._readiness is None:
            self._readiness = Readiness(self.pgconn.socket, self)
        answer = generators.fetch_many(self.pgconn)
        try:
            next(answer)
            while True:
                await self._readiness.wait()
                answer.send(Ready.R)
        except StopIteration as done:
            results: list[PGresult] = done.value
            return results

    async def interrupt(self) -> None:
        """Stop the statement that runs, if one does, and hear that it has stopped; close, if that takes too long."""
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            if self.pgconn.flush():
                await self.close()  # the server has not got all of it: there is nothing to stop yet
                return
            await self.cancel_safe(timeout=CANCEL_SECONDS)
            await self.wait(generators.fetch_many(self.pgconn), timeout=CANCEL_SECONDS)
        except psycopg.Error:
            await self.close()


def _whole(param: Any) -> Any:
    """`param`; a number that has no room in its type, as one of a type that has, as PostgreSQL takes a literal."""
    bits = BITS.get(type(param))
    return param if bits is None or -(1 << bits) <= param < 1 << bits else int(param)


def _array(keys: Sequence[Any], transformer: abc.Transformer) -> Any:
    """`keys` as PostgreSQL writes an array. Numbers, which they are nearly always, need no quoting."""
    if set(map(type, keys)) == {int}:
        return b"{%b}" % b",".join(b"%d" % key for key in keys)
    keys = list(keys)
    return transformer.get_dumper(keys, PyFormat.TEXT).dump(keys)
