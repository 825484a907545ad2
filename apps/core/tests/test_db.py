import asyncio
import gc
import threading
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, IntegrityError, connection, transaction

from apps.core.db import _at_work, connection_scope, conninfo, in_one_go, in_thread, violated_constraint, waits_bounded
from apps.core.errors import DomainError, ErrorCode
from tests.backends import until
from tests.make import make_user


def backend() -> int:
    """The server's process that this thread's connection talks to."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
def test_names_the_constraint_that_refused() -> None:
    user = make_user()
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        make_user(email=user.email)
    assert violated_constraint(error.value) == "users_user_email_key"


def test_has_no_name_for_an_error_that_is_not_the_servers() -> None:
    assert violated_constraint(IntegrityError("made by hand")) is None


@pytest.mark.django_db(transaction=True)
async def test_a_scope_has_one_thread_and_one_connection_of_its_own() -> None:
    async with connection_scope():
        outer = await sync_to_async(threading.get_ident)(), await sync_to_async(backend)()
        again = await sync_to_async(threading.get_ident)(), await sync_to_async(backend)()
    assert outer == again
    assert outer[0] != threading.get_ident()


@pytest.mark.django_db(transaction=True)
async def test_parallel_scopes_share_nothing() -> None:
    both_are_in = asyncio.Barrier(2)

    async def scope() -> int:
        async with connection_scope():
            found = await sync_to_async(backend)()
            await both_are_in.wait()
            return found

    assert len(set(await asyncio.gather(scope(), scope()))) == 2


@pytest.mark.django_db(transaction=True)
async def test_a_scope_gives_its_connection_back_also_after_an_error() -> None:
    """Each of more scopes than the pool has connections gets one: none is kept."""
    for _ in range(connection.settings_dict["OPTIONS"]["pool"]["max_size"] + 2):
        with pytest.raises(DatabaseError):
            async with connection_scope():
                await sync_to_async(_fail)()


@pytest.mark.django_db(transaction=True)
async def test_a_scope_that_is_left_at_once_gives_its_connection_back_when_its_work_ends() -> None:
    """Cancelled, and cancelled again while it waits for its thread: as often as the pool has connections, and more."""
    size = connection.settings_dict["OPTIONS"]["pool"]["max_size"]
    go_on = threading.Event()

    def work() -> None:
        backend()
        go_on.wait(60)

    async def scope() -> None:
        async with connection_scope():
            await sync_to_async(work)()

    with psycopg.connect(conninfo(), autocommit=True) as observer:
        tasks = [asyncio.ensure_future(scope()) for _ in range(size - 1)]

        async def all_work() -> bool:
            return bool(await asyncio.to_thread(_busy, observer) == size - 1)

        await until(all_work)
        for _ in range(2):
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(size + 1):
        async with connection_scope():
            assert await sync_to_async(backend)()


@pytest.mark.django_db(transaction=True)
async def test_the_next_scope_does_not_wait_for_the_work_of_one_that_was_left() -> None:
    go_on = threading.Event()
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(60)

    async def scope() -> None:
        async with connection_scope():
            await in_one_go(work)

    task = asyncio.ensure_future(scope())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    try:
        async with asyncio.timeout(10), connection_scope():
            assert await in_one_go(backend)
    finally:
        go_on.set()


@pytest.mark.parametrize(
    ("error", "logged"), [(ZeroDivisionError("no"), 1), (DomainError(ErrorCode.CONFLICT, "no"), 0)]
)
@pytest.mark.django_db(transaction=True)
async def test_what_fails_when_nobody_waits_for_it_is_logged_once(
    caplog: pytest.LogCaptureFixture, error: Exception, logged: int
) -> None:
    go_on = threading.Event()
    started, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(60)
        raise error

    task = asyncio.ensure_future(in_thread(work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [at_work] = _at_work
    at_work.add_done_callback(lambda _: ended.set())
    del at_work
    go_on.set()
    await asyncio.wait_for(ended.wait(), 10)
    gc.collect()
    assert [record.exc_info is not None for record in caplog.records] == [True] * logged


def _busy(observer: psycopg.Connection) -> int:
    """How many other connections have asked for their process."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_backend_pid()' AND state = 'idle'"
    [number] = observer.execute(query).fetchone() or [0]
    return int(number)


BOUNDS = "SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"


@pytest.mark.django_db
def test_waits_are_bounded_within_and_nowhere_else(settings: Any) -> None:
    def bounds() -> Any:
        with psycopg.connect(conninfo()) as made:
            return made.execute(BOUNDS).fetchone()

    assert bounds() == ("0", "0")
    with waits_bounded(0.3):
        assert bounds() == ("300ms", "1min")
    assert bounds() == ("0", "0")


@pytest.mark.django_db
def test_what_the_url_of_the_database_says_of_waits_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**connection.settings_dict["OPTIONS"], "options": "-c lock_timeout=7s"}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    with waits_bounded(0.3), psycopg.connect(conninfo()) as made:
        assert made.execute(BOUNDS).fetchone() == ("7s", "1min")


@pytest.mark.django_db(transaction=True)
async def test_a_connection_that_the_server_dropped_is_replaced() -> None:
    async with connection_scope():
        dropped = await sync_to_async(backend)()
    with psycopg.connect(conninfo(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 60000)", [dropped])
    # The pool lends its connections in turn: after so many the dropped one has had its own.
    for _ in range(connection.settings_dict["OPTIONS"]["pool"]["max_size"]):
        async with connection_scope():
            assert await sync_to_async(backend)() != dropped


def _fail() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")
