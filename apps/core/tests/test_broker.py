import pytest
from django.db import connection

from apps.core.broker import DatabaseBroker
from tests.brokers import Recorder, answering
from tests.tasks import queued


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_dropped_is_replaced() -> None:
    with answering("postgresql") as broker:
        recorder = Recorder()
        broker.enqueue(recorder.actor.message(1))
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'broadside-tasks'"
            )
        broker.enqueue(recorder.actor.message(2))
        assert [args for _, args in queued()] == [[1], [2]]


def test_nothing_connects_before_the_first_message() -> None:
    broker = DatabaseBroker(middleware=[])
    broker.declare_queue("default")
    assert broker.pool.closed
