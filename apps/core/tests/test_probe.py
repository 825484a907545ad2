"""What a process without a web server answers to whoever looks after it."""

import socket
import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.core.management import CommandError
from django.db import connection

from apps.core import metrics, outbox, probe
from apps.core.models import JobOutcome
from apps.core.schedule import runs
from apps.users import tasks
from tests.ports import free_port


@pytest.fixture
def address(settings: Any) -> str:
    """Where a probe may listen."""
    settings.PROBE_PORT = free_port()
    settings.PROBE_HOST = "127.0.0.1"
    return f"http://127.0.0.1:{settings.PROBE_PORT}"


def told(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def broken() -> bool:
    raise ValueError("nobody knows")


@pytest.mark.parametrize(("healthy", "status"), [(lambda: True, 200), (lambda: False, 503), (broken, 503)])
def test_health_is_what_the_process_says_of_itself(address: str, healthy: Any, status: int) -> None:
    with probe.serving(healthy):
        answer = httpx.get(f"{address}/healthz")
        assert (answer.status_code, answer.json()["status"]) == (status, "ok" if status == 200 else "unhealthy")
        assert httpx.get(f"{address}/").status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")


def test_without_a_port_there_is_no_probe(settings: Any) -> None:
    before = threading.active_count()
    with probe.serving(broken):
        assert threading.active_count() == before


def test_a_port_that_is_taken_is_told_at_the_start(address: str) -> None:
    with probe.serving(broken), pytest.raises(CommandError, match="PROBE_PORT"), probe.serving(broken):
        pass


def test_a_client_that_says_nothing_keeps_nobody_waiting(address: str, settings: Any) -> None:
    with probe.serving(lambda: True), socket.create_connection(("127.0.0.1", settings.PROBE_PORT)):
        assert httpx.get(f"{address}/healthz").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_metrics_count_what_the_database_holds(address: str) -> None:
    outbox.send(tasks.mail_confirmation, "ann@example.com")
    outbox.send(tasks.mail_confirmation, "ann@example.com", delay=timedelta(hours=1))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_outboxmessage SET due_at = now() - interval '90 s' WHERE due_at <= now()")
    for _ in range(3):
        metrics.enqueued("mail_confirmation")
    with probe.serving(lambda: True):
        found = told(httpx.get(f"{address}/metrics").text)
    assert (found["broadside_outbox_messages"], found["broadside_outbox_due_messages"]) == (2, 1)
    assert 90 <= found["broadside_outbox_age_seconds"] < 150
    assert (found["broadside_dead_letters"], found["broadside_database_up"]) == (0, 1)
    assert found['broadside_messages_enqueued_total{actor="mail_confirmation"}'] >= 3


@pytest.mark.django_db(transaction=True)
def test_metrics_tell_of_each_job(address: str) -> None:
    runs.end(runs.start("purge"), JobOutcome.FAILED, "No.")
    runs.end(runs.start("pulse"), JobOutcome.DONE, "")
    with probe.serving(lambda: True):
        found = told(httpx.get(f"{address}/metrics").text)
    assert [found[f'broadside_job_late{{job="{name}"}}'] for name in ("purge", "pulse", "check_data")] == [0, 0, 1]
    assert [found[f'broadside_job_failing{{job="{name}"}}'] for name in ("purge", "pulse")] == [1, 0]
    assert found['broadside_job_end_timestamp_seconds{job="pulse"}'] > 0
    assert 'broadside_job_end_timestamp_seconds{job="check_data"}' not in found


@pytest.mark.django_db(transaction=True)
def test_what_a_message_calls_its_actor_spoils_no_metrics(address: str) -> None:
    metrics.enqueued("half a \ud800 character")
    with probe.serving(lambda: True):
        answer = httpx.get(f"{address}/metrics")
    assert answer.status_code == 200
    assert 'broadside_messages_enqueued_total{actor="unknown"}' in answer.text


def test_metrics_are_answered_without_the_database(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics.enqueued("mail_confirmation")
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    with probe.serving(lambda: True):
        answer = httpx.get(f"{address}/metrics")
    found = told(answer.text)
    assert (answer.status_code, found["broadside_database_up"]) == (200, 0)
    assert found['broadside_messages_enqueued_total{actor="mail_confirmation"}'] >= 1
    assert "broadside_outbox_messages" not in found
