from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.db import connections

from apps.core.schedule.table import Job
from config.checks import check_connections, check_public_url, check_schedule

POOLED: dict[str, Any] = {
    "ENGINE": "apps.core.postgresql",
    "OPTIONS": {"pool": {"min_size": 1}},
    "CONN_MAX_AGE": 0,
    "CONN_HEALTH_CHECKS": False,
}


MISSPELT = [Job(name, every=timedelta(days=1)) for name in ("purge", "perge", "purge")]


def ids(messages: Any) -> list[str | None]:
    return [message.id for message in messages]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"CONN_MAX_AGE": 60}, ["broadside.E001"]),
        ({"CONN_MAX_AGE": None}, ["broadside.E001"]),
        ({"ATOMIC_REQUESTS": True}, ["broadside.E002"]),
        ({"OPTIONS": {}}, ["broadside.E003"]),
        ({"ENGINE": "django.db.backends.postgresql"}, ["broadside.E003"]),
        ({"CONN_HEALTH_CHECKS": True}, ["broadside.E004"]),
        (
            {"CONN_MAX_AGE": 1, "ATOMIC_REQUESTS": True, "OPTIONS": {}},
            ["broadside.E001", "broadside.E002", "broadside.E003"],
        ),
    ],
)
def test_connections_that_leak_or_block(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: list[str]
) -> None:
    monkeypatch.setattr(settings, "DATABASES", {"default": POOLED | changes})
    assert ids(check_connections()) == expected


def test_every_database_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASES", {"default": POOLED, "replica": {}})
    [error] = check_connections()
    assert "replica" in error.msg


def test_the_check_is_registered_and_these_settings_pass() -> None:
    registered = checks.registry.registry.registered_checks
    assert check_connections in registered
    assert checks.run_checks(databases=list(connections)) == []


def test_jobs_that_would_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_schedule() == []
    monkeypatch.setattr(settings, "SCHEDULE", f"{__name__}.MISSPELT")
    assert ids(check_schedule()) == ["broadside.E005", "broadside.E006"]


@pytest.mark.parametrize(
    ("url", "redirects", "expected"),
    [
        ("", True, []),
        ("https://api.example.com", True, []),
        ("https://api.example.com:8443/behind/a/path", True, []),
        ("https://[2001:db8::1]:8443", True, []),
        ("http://api.example.com", False, []),
        ("http://api.example.com", True, ["broadside.E008"]),
        ("https://www.example.com", True, ["broadside.E007"]),
        ("http://www.example.com", True, ["broadside.E007", "broadside.E008"]),
    ],
)
def test_links_that_would_not_reach_us(
    monkeypatch: pytest.MonkeyPatch, url: str, redirects: bool, expected: list[str]
) -> None:
    monkeypatch.setattr(settings, "PUBLIC_URL", url)
    monkeypatch.setattr(settings, "ALLOWED_HOSTS", ["api.example.com", "[2001:db8::1]"])
    monkeypatch.setattr(settings, "SECURE_SSL_REDIRECT", redirects)
    assert ids(check_public_url()) == expected
    assert check_public_url in checks.registry.registry.registered_checks
