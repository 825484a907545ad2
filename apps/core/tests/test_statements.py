import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection, transaction

from apps.core import statements
from apps.users.models import User
from tests.make import make_user

pytestmark = pytest.mark.django_db


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def test_counts_statements_and_rows() -> None:
    for _ in range(3):
        make_user()
    with statements.tally() as counted:
        assert len(User.objects.all()) == 3
    assert (counted.statements, counted.rows) == (1, 3)
    with statements.tally() as counted:
        User.objects.update(bio="x")
        list(User.objects.none())
    assert (counted.statements, counted.rows) == (1, 3)


def test_each_batch_is_a_statement() -> None:
    users = [make_user(), make_user()]
    for user in users:
        user.bio = "x"
    with statements.tally() as counted:
        User.objects.bulk_update(users, ["bio"], batch_size=1)
    assert counted.statements == 2, "the block inside a transaction needs no savepoint"
    assert counted.rows == 2


def test_a_statement_that_fails_counts_too() -> None:
    with statements.tally() as counted, pytest.raises(DatabaseError), transaction.atomic():
        run("SELECT 1/0")
    assert counted.statements == 4, "with its savepoint, the rollback to it and its release"
    assert counted.rows == 0


def test_nothing_is_counted_outside() -> None:
    with statements.tally() as counted:
        pass
    run("SELECT 1")
    assert counted == statements.Tally(0, 0)


def test_an_inner_tally_hides_the_outer_one() -> None:
    with statements.tally() as outer:
        run("SELECT 1")
        with statements.tally() as inner:
            run("SELECT 1")
        run("SELECT 1")
    assert (outer.statements, inner.statements) == (2, 1)


async def test_threads_of_async_code_count_for_their_request() -> None:
    with statements.tally() as counted:
        await sync_to_async(run)("SELECT generate_series(1, 5)")
    assert (counted.statements, counted.rows) == (1, 5)


def test_a_connection_is_wrapped_once() -> None:
    statements.count_on(connection)
    statements.count_on(connection)
    with statements.tally() as counted:
        run("SELECT 1")
    assert counted.statements == 1
