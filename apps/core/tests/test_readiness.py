"""Waiting for a socket, over and over, with one registration."""

import asyncio
import os
import select
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from weakref import ref

import pytest
import uvloop

from apps.core.readiness import Readiness

Pair = tuple[socket.socket, socket.socket]


class Owner:
    """Something that can be referred to weakly."""


class Counted(Readiness):
    """Counts how often the event loop has called."""

    calls = 0

    def _wake(self) -> None:
        self.calls += 1
        super()._wake()


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def on_both_loops(test: Callable[[Pair], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Python's own event loop, and the one that runs in production."""

    @pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
    def run(pair: Pair, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(test(pair))

    return run


async def waited(readiness: Readiness) -> None:
    async with asyncio.timeout(10):
        await readiness.wait()


async def heard(pair: Pair, owner: object) -> Readiness:
    """One that has waited, and is registered."""
    readiness = Readiness(pair[0].fileno(), owner)
    pair[1].send(b"1")
    await waited(readiness)
    pair[0].recv(10)
    return readiness


def has_ended(pair: Pair) -> None:
    """Close our side. Were a duplicate of it still open, the other side would not hear of it."""
    pair[0].close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        pair[1].send(b"2")


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@on_both_loops
async def test_it_waits_as_often_as_it_is_asked(pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno(), ours)
    for number in range(5):
        waiting = asyncio.ensure_future(waited(readiness))
        await turns(3)
        assert not waiting.done()
        theirs.send(b"%d" % number)
        await waiting
        assert ours.recv(10) == b"%d" % number


@on_both_loops
async def test_what_nobody_waits_for_does_not_keep_the_event_loop_busy(pair: Pair) -> None:
    ours, theirs = pair
    readiness = Counted(ours.fileno(), ours)
    theirs.send(b"1")
    await waited(readiness)
    ours.recv(10)
    calls = readiness.calls
    theirs.send(b"2")
    await turns(50)
    assert readiness.calls <= calls + 1
    await waited(readiness)
    assert ours.recv(10) == b"2"


@on_both_loops
async def test_the_end_of_the_other_side_is_something_to_read(pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno(), ours)
    theirs.close()
    await waited(readiness)
    assert ours.recv(10) == b""


@on_both_loops
async def test_a_cancelled_wait_leaves_the_next_one_whole(pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno(), ours)
    waiting = asyncio.ensure_future(readiness.wait())
    await turns(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    theirs.send(b"1")
    await waited(readiness)


@on_both_loops
async def test_the_next_socket_of_the_same_number_is_heard(pair: Pair) -> None:
    """libpq closes its socket by itself, and the next connection gets its number."""
    first = Readiness(pair[0].fileno(), pair[0])
    pair[1].send(b"1")
    await waited(first)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.dup2(ours.fileno(), pair[0].fileno())
        second = Readiness(pair[0].fileno(), ours)
        theirs.send(b"2")
        await waited(second)
        first.close()
        assert ours.recv(10) == b"2"
        theirs.send(b"3")
        await waited(second)


@on_both_loops
async def test_closed_it_lets_go_of_the_socket(pair: Pair) -> None:
    readiness = await heard(pair, pair[0])
    readiness.close()
    readiness.close()
    has_ended(pair)


@on_both_loops
async def test_with_its_owner_it_lets_go_of_the_socket(pair: Pair) -> None:
    owner = Owner()
    await heard(pair, owner)
    gone = ref(owner)
    del owner
    assert gone() is None
    has_ended(pair)


@on_both_loops
async def test_it_hears_all_of_a_connection_that_is_reset(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as ours:
        theirs, _ = listening.accept()
        readiness = Readiness(ours.fileno(), ours)
        theirs.send(b"FATAL")
        theirs.close()  # a server that ends what is idle
        ours.send(b"SELECT")  # is answered with a reset
        reset = select.poll()
        reset.register(ours, 0)
        assert reset.poll(10_000)
        await waited(readiness)
        assert ours.recv(5) == b"FATAL"
        await waited(readiness)
        readiness.close()
