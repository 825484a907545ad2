from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.db import connections

from config.checks import check_connections, check_jwt_key, check_secrets_differ

POOLED: dict[str, Any] = {"OPTIONS": {"pool": {"min_size": 1}}, "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}


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
        ({"CONN_HEALTH_CHECKS": False}, ["broadside.E003"]),
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


@pytest.mark.parametrize(
    ("key", "expected"),
    [("x" * 31, ["broadside.E004"]), ("x" * 32, []), ("\u00e9" * 16, []), ("\u00e9" * 15, ["broadside.E004"])],
)
def test_a_key_that_can_be_guessed(monkeypatch: pytest.MonkeyPatch, key: str, expected: list[str]) -> None:
    monkeypatch.setattr(settings, "JWT_SIGNING_KEY", key)
    assert ids(check_jwt_key()) == expected


def test_one_key_for_two_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "JWT_SIGNING_KEY", settings.SECRET_KEY)
    assert ids(check_secrets_differ()) == ["broadside.E005"]


def test_they_are_registered_and_these_settings_pass() -> None:
    registered = checks.registry.registry.registered_checks
    assert {check_connections, check_jwt_key, check_secrets_differ} <= registered
    assert checks.run_checks(databases=list(connections)) == []
