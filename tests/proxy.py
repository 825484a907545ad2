"""A network between the application and PostgreSQL that can stand still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from django.db import connections
from psycopg.conninfo import conninfo_to_dict

from apps.core.db import conninfo

PORT = "5432"


class Network:
    """What the connections that are made through it go through."""

    def __init__(self, host: str) -> None:
        self.host, self.port = host, PORT
        self._server = conninfo_to_dict(conninfo())
        self._flows = asyncio.Event()
        self._flows.set()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Whoever asks within where Django's database is, is sent through here."""
        place = connections["default"].settings_dict
        before = {"HOST": place["HOST"], "PORT": place["PORT"]}
        place |= {"HOST": self.host, "PORT": self.port}
        try:
            yield
        finally:
            place |= before

    def stand_still(self) -> None:
        """Nothing comes through any more, and nobody hears of it."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client to the server."""
        await self._flows.wait()
        host, port = str(self._server.get("host") or "localhost"), self._server.get("port") or PORT
        if host.startswith("/"):
            from_server, to_server = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            from_server, to_server = await asyncio.open_connection(host, port)
        await asyncio.gather(self._pump(reader, to_server), self._pump(from_server, writer))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._flows.wait()
                target.write(data)
        except OSError:
            pass  # one end has gone: the other hears of it
        finally:
            target.close()


@asynccontextmanager
async def network(folder: Path) -> AsyncIterator[Network]:
    """A network whose end on this side is a socket in `folder`."""
    carrier = Network(str(folder))
    async with await asyncio.start_unix_server(carrier.carry, folder / f".s.PGSQL.{PORT}"):
        yield carrier
        carrier.go_on()


@asynccontextmanager
async def tcp_network() -> AsyncIterator[Network]:
    """A network whose end on this side is a port, as where PostgreSQL is on another machine."""
    carrier = Network("127.0.0.1")
    async with await asyncio.start_server(carrier.carry, carrier.host, 0) as listening:
        carrier.port = str(listening.sockets[0].getsockname()[1])
        yield carrier
        carrier.go_on()
