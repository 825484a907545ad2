import socket

import pytest
from django.db import connection
from django.test import Client

from apps.core import statements


def get(path: str) -> tuple[int, str]:
    response = Client().get(path)
    return response.status_code, response.json()["status"]


def test_alive_asks_nothing_of_the_database() -> None:
    with statements.tally() as counted:
        assert get("/healthz") == (200, "ok")
    assert counted.statements == 0


@pytest.mark.django_db
def test_ready_when_the_database_is_migrated() -> None:
    assert get("/readyz") == (200, "ok")


@pytest.mark.django_db
def test_not_ready_before_the_migrations_ran() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'posts'")
    assert get("/readyz") == (503, "unmigrated")


@pytest.mark.django_db(transaction=True)
def test_not_ready_when_nothing_answers(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        database = {**connection.settings_dict}
        connection.close()
        connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": unused.getsockname()[1], "OPTIONS": {}}
        try:
            assert get("/readyz") == (503, "no database")
        finally:
            connection.settings_dict |= database
            connection.close()
    [record] = [record for record in caplog.records if record.name == "broadside.health"]
    assert record.exc_info is not None
