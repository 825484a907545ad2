"""The settings as processes meet them: each test starts one with an environment of its own."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.settings.base import broker, database

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.prod",
    "SECRET_KEY": "a" * 25 + "secret-key-of-a-deployment-0123456789",
    "JWT_SIGNING_KEY": "b" * 25 + "signing-key-of-a-deployment",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/broadside",
    "ALLOWED_HOSTS": "api.example.com",
    "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_CONFIG")
    clean = {name: os.environ[name] for name in kept if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def setup(**environment: str) -> subprocess.CompletedProcess[str]:
    return python("-c", "import django; django.setup()", **environment)


def test_production_starts_with_all_that_it_needs() -> None:
    started = setup(**PRODUCTION)
    assert started.returncode == 0, started.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SIGNING_KEY", "DATABASE_URL", "ALLOWED_HOSTS", "EMAIL_URL"])
def test_production_does_not_start_without(name: str) -> None:
    started = setup(**{key: value for key, value in PRODUCTION.items() if key != name})
    assert started.returncode != 0
    assert f"Set the {name} environment variable" in started.stderr


def test_production_has_no_issues() -> None:
    checked = python("manage.py", "check", "--deploy", "--fail-level=WARNING", **PRODUCTION)
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


def test_production_shows_no_explorer_and_no_introspection_and_no_debug_pages() -> None:
    script = (
        "import django; django.setup(); from django.conf import settings as s;"
        "print(s.DEBUG, s.GRAPHQL_INTROSPECTION, s.GRAPHQL_GRAPHIQL, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE)"
    )
    assert python("-c", script, **PRODUCTION).stdout == "False False False True True\n"


@pytest.mark.parametrize(("name", "value"), [("BROKER_URL", "kafka://x"), ("GRAPHQL_MAX_DEPTH", "deep")])
def test_production_does_not_start_with_values_that_make_no_sense(name: str, value: str) -> None:
    assert setup(**PRODUCTION, **{name: value}).returncode != 0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY needs at least"),
        ({"JWT_SIGNING_KEY": ""}, "JWT_SIGNING_KEY needs at least"),
        ({"JWT_SIGNING_KEY": "short"}, "JWT_SIGNING_KEY needs at least"),
        ({"JWT_SIGNING_KEY": PRODUCTION["SECRET_KEY"]}, "must differ"),
    ],
)
def test_production_does_not_start_with_weak_keys(changes: dict[str, str], complaint: str) -> None:
    started = setup(**PRODUCTION | changes)
    assert started.returncode != 0
    assert complaint in started.stderr


def test_proxies_are_trusted_with_the_scheme_only_when_there_are_some() -> None:
    script = "import django; django.setup(); from django.conf import settings; print(settings.SECURE_PROXY_SSL_HEADER)"
    assert python("-c", script, **PRODUCTION).stdout == "None\n"
    assert "X_FORWARDED_PROTO" in python("-c", script, **PRODUCTION, TRUSTED_PROXIES="1").stdout


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("", "DatabaseBroker"),
        ("redis://localhost/1", "RedisBroker"),
        ("rediss://localhost/1", "RedisBroker"),
        ("amqp://guest:guest@localhost", "RabbitmqBroker"),
        ("amqps://localhost", "RabbitmqBroker"),
    ],
)
def test_brokers_by_url(url: str, name: str) -> None:
    chosen = broker(url)
    assert chosen["BROKER"].endswith(f".{name}")
    assert chosen["OPTIONS"] == ({"url": url} if url else {})


@pytest.mark.parametrize("url", ["kafka://x", "localhost", "redis", "postgres://x", "://", " "])
def test_an_unknown_broker_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="BROKER_URL"):
        broker(url)


def test_the_database_has_a_pool_that_checks_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@host:5433/name?sslmode=require")
    monkeypatch.setenv("DATABASE_POOL_MAX", "7")
    made = database()
    assert (made["NAME"], made["USER"], made["PASSWORD"], made["HOST"], made["PORT"]) == (
        "name",
        "u",
        "p",
        "host",
        5433,
    )
    assert (made["CONN_MAX_AGE"], made["CONN_HEALTH_CHECKS"]) == (0, True)
    assert made["OPTIONS"] == {"sslmode": "require", "pool": {"min_size": 1, "max_size": 7, "timeout": 10}}


def test_production_answers_to_its_own_hosts_only() -> None:
    script = (
        "import asyncio, httpx; from config.asgi import application\n"
        "async def ask(host):\n"
        "    transport = httpx.ASGITransport(application)\n"
        "    async with httpx.AsyncClient(transport=transport, base_url=f'https://{host}') as client:\n"
        "        answer = await client.post('/graphql/', json={'query': '{ __typename }'})\n"
        "        return answer.status_code\n"
        "print([asyncio.run(ask(host)) for host in ('api.example.com', 'a.example.org', 'evil.example.net')])\n"
    )
    hosts = {"ALLOWED_HOSTS": "api.example.com,.example.org"}
    assert python("-c", script, **PRODUCTION | hosts).stdout == "[200, 200, 400]\n"
