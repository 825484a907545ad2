"""The settings as processes meet them: each test starts one with an environment of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.core.throttling import Rate
from config.settings.base import KEEPALIVES, broker, database
from config.settings.env import Env
from tests.project import clean_environment, copy_project

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.prod",
    "SECRET_KEY": "a" * 25 + "secret-key-of-a-deployment-0123456789",
    "JWT_SIGNING_KEY": "b" * 25 + "signing-key-of-a-deployment",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/broadside",
    "ALLOWED_HOSTS": "api.example.com",
    "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project: in its own folder a `.env` would add to each environment."""
    return copy_project(tmp_path_factory.mktemp("settings") / "clone")


def python(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
    )


def setup(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return python(project, "-c", "import django; django.setup()", **environment)


def test_production_starts_with_all_that_it_needs(project: Path) -> None:
    started = setup(project, **PRODUCTION)
    assert started.returncode == 0, started.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SIGNING_KEY", "DATABASE_URL", "ALLOWED_HOSTS", "EMAIL_URL"])
def test_production_does_not_start_without(project: Path, name: str) -> None:
    for incomplete in ({key: value for key, value in PRODUCTION.items() if key != name}, PRODUCTION | {name: ""}):
        started = setup(project, **incomplete)
        assert started.returncode != 0
        assert f"Set the {name} environment variable" in started.stderr


def test_production_has_no_issues(project: Path) -> None:
    checked = python(project, "manage.py", "check", "--deploy", "--fail-level=WARNING", **PRODUCTION)
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


def test_production_shows_no_explorer_and_no_introspection_and_no_debug_pages(project: Path) -> None:
    script = (
        "import django; django.setup(); from django.conf import settings as s;"
        "print(s.DEBUG, s.GRAPHQL_INTROSPECTION, s.GRAPHQL_GRAPHIQL, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE)"
    )
    assert python(project, "-c", script, **PRODUCTION).stdout == "False False False True True\n"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("BROKER_URL", "kafka://x", "unset (PostgreSQL), redis://… or amqp://…"),
        ("LOG_LEVEL", "loud", "one of CRITICAL"),
        ("DATABASE_POOL_MAX", "0", "a whole number from 1 to"),
        ("TRUSTED_PROXIES", "-1", "a whole number from 0 to"),
        ("UNVERIFIED_ACCOUNT_DAYS", "0", "a whole number from 1 to"),
        ("JWT_ACCESS_MINUTES", "0", "a whole number from 1 to 525600"),
        ("JWT_REFRESH_DAYS", "-1", "a whole number from 1 to 3650"),
        ("JWT_REFRESH_DAYS", "99999999999", "a whole number from 1 to 3650"),
        ("GRAPHQL_MAX_PAGE_SIZE", "0", "a whole number from 1 to"),
        ("GRAPHQL_MAX_COST", "abc", "a whole number from 1 to"),
        ("GRAPHQL_MAX_DEPTH", "5 levels", "a whole number from 1 to"),
        ("GRAPHQL_TIMEOUT_SECONDS", "0", "a number from 0.1 to 3600.0"),
        ("GRAPHQL_TIMEOUT_SECONDS", "nan", "a number from 0.1 to 3600.0"),
        ("SECURE_HSTS_SECONDS", "-1", "a whole number from 0 to"),
        ("SECURE_SSL_REDIRECT", "ture", "true or false"),
        ("SECURE_SSL_REDIRECT", "true # comment", "true or false"),
        ("BROKER_URL", "redis://[::1", "unset (PostgreSQL), redis://… or amqp://…"),
        ("EMAIL_URL", "mail.example.com", "smtp+tls://"),
        ("PUBLIC_URL", "api.example.com", "like https://app.example.com"),
        ("NOTICE_DELAY_SECONDS", "-1", "a whole number from 0 to 86400"),
        ("FRONTEND_URL", "app.example.com", "like https://app.example.com"),
        ("FRONTEND_URL", "https://app.example.com/#x", "like https://app.example.com"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example, app.example.com", "like https://app.example.com"),
        ("CORS_ALLOWED_ORIGINS", "https://app.example.com/path", "like https://app.example.com"),
        ("CORS_ALLOWED_ORIGINS", "*", "like https://app.example.com"),
        ("RATE_LIMIT_URL", "memcached://x", "unset (PostgreSQL) or redis://…"),
        ("RATE_LIMIT_USER", "10", "off, or a rate like 10/minute"),
        ("EMAIL_TIMEOUT_SECONDS", "60", "a number from 0.1 to 50.0"),
        ("WORKER_PROCESSES", "0", "a whole number from 1 to"),
        ("WORKER_THREADS", "0", "a whole number from 1 to"),
        ("WORKER_SHUTDOWN_SECONDS", "-1", "a whole number from 0 to"),
        ("PROBE_PORT", "65536", "a whole number from 0 to 65535"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(project: Path, name: str, value: str, allowed: str) -> None:
    started = setup(project, **PRODUCTION | {name: value})
    assert started.returncode != 0
    assert f"ImproperlyConfigured: {name} has to be {allowed}" in started.stderr


def test_values_at_the_edge_are_taken(project: Path) -> None:
    script = (
        "import django; django.setup(); from django.conf import settings as s; import logging;"
        "print(s.JWT_REFRESH_LIFETIME.days, s.GRAPHQL_TIMEOUT_SECONDS, logging.root.level)"
    )
    edges = {"JWT_REFRESH_DAYS": "3650", "GRAPHQL_TIMEOUT_SECONDS": "0.1", "LOG_LEVEL": "warning"}
    assert python(project, "-c", script, **PRODUCTION, **edges).stdout == "3650 0.1 30\n"


def test_values_are_taken_as_they_stand(project: Path) -> None:
    script = (
        "import django; django.setup(); from django.conf import settings as s;"
        "print(s.SECRET_KEY, s.ALLOWED_HOSTS, s.CORS_ALLOWED_ORIGINS, s.SECURE_SSL_REDIRECT, s.GRAPHQL_MAX_DEPTH)"
    )
    values = {
        "SECRET_KEY": "$ECRET-0123456789" * 3,
        "ALLOWED_HOSTS": "a.example, b.example,",
        "CORS_ALLOWED_ORIGINS": " ",
        "SECURE_SSL_REDIRECT": "Off",
        "GRAPHQL_MAX_DEPTH": "",
    }
    printed = python(project, "-c", script, **PRODUCTION | values).stdout
    assert printed == f"{'$ECRET-0123456789' * 3} ['a.example', 'b.example'] [] False 15\n"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"SECRET_KEY": "short"}, "SECRET_KEY needs at least"),
        ({"JWT_SIGNING_KEY": "short"}, "JWT_SIGNING_KEY needs at least"),
        ({"SECRET_KEY": "dev-only-secret-key-that-protects-nothing-at-all-0123456789"}, "SECRET_KEY can be guessed"),
        ({"SECRET_KEY": "django-insecure-0123456789-abcdefghijklmnopqrstuvwxyz-xyz"}, "SECRET_KEY can be guessed"),
        ({"JWT_SIGNING_KEY": "dev-only-jwt-key-that-protects-nothing-at-all"}, "JWT_SIGNING_KEY can be guessed"),
        ({"JWT_SIGNING_KEY": "0123" * 20}, "JWT_SIGNING_KEY can be guessed"),
        ({"JWT_PREVIOUS_KEYS": f"{'ok-' * 20}123456789,short"}, "JWT_PREVIOUS_KEYS needs at least"),
        ({"JWT_PREVIOUS_KEYS": PRODUCTION["SECRET_KEY"]}, "must differ"),
        ({"JWT_SIGNING_KEY_FILE": "pytest.ini"}, "pytest.ini has to hold an Ed25519 key"),
        ({"JWT_SIGNING_KEY_FILE": "nowhere.pem"}, "nowhere.pem has to hold an Ed25519 key"),
        ({"JWT_SIGNING_KEY": PRODUCTION["SECRET_KEY"]}, "must differ"),
    ],
)
def test_production_does_not_start_with_weak_keys(project: Path, changes: dict[str, str], complaint: str) -> None:
    started = setup(project, **PRODUCTION | changes)
    assert started.returncode != 0
    assert complaint in started.stderr


def test_proxies_are_trusted_with_the_scheme_only_when_there_are_some(project: Path) -> None:
    script = "import django; django.setup(); from django.conf import settings; print(settings.SECURE_PROXY_SSL_HEADER)"
    assert python(project, "-c", script, **PRODUCTION).stdout == "None\n"
    assert "X_FORWARDED_PROTO" in python(project, "-c", script, **PRODUCTION, TRUSTED_PROXIES="1").stdout


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


@pytest.mark.parametrize("url", ["", "redis://localhost/1", "rediss://:password@localhost:6380"])
def test_rates_are_counted_by_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RATE_LIMIT_URL", url)
    assert Env().redis_url("RATE_LIMIT_URL") == url


@pytest.mark.parametrize("url", ["amqp://x", "localhost", "redis", "redis://:hush@host:x", "redis://[::1", "://", " "])
def test_another_place_to_count_rates_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RATE_LIMIT_URL", url)
    with pytest.raises(ImproperlyConfigured, match="RATE_LIMIT_URL") as refused:
        Env().redis_url("RATE_LIMIT_URL")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("rate", ["off", "Off", "10/minute", "1/second", "999999999/day", " 5/hour "])
def test_a_rate_that_is_read_can_be_counted(monkeypatch: pytest.MonkeyPatch, rate: str) -> None:
    monkeypatch.setenv("RATE", rate)
    assert (Rate.parse(Env().rate("RATE", "1/day")) is None) is (rate.lower() == "off")


@pytest.mark.parametrize("rate", ["10", "0/minute", "-1/minute", "10/week", "1.5/minute", "10/", "/minute", "٣/day"])
def test_a_rate_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, rate: str) -> None:
    monkeypatch.setenv("RATE", rate)
    with pytest.raises(ImproperlyConfigured, match="RATE has to be off, or a rate like 10/minute"):
        Env().rate("RATE", "off")


def test_only_production_counts_operations_by_default(project: Path) -> None:
    script = (
        "import django; django.setup(); from django.conf import settings as s;"
        "print(s.RATE_LIMIT_LOGIN, s.RATE_LIMIT_USER, s.RATE_LIMIT_ANONYMOUS)"
    )
    assert python(project, "-c", script, **PRODUCTION).stdout == "10/minute 1200/minute 1200/minute\n"
    dev = {**PRODUCTION, "DJANGO_SETTINGS_MODULE": "config.settings.dev"}
    assert python(project, "-c", script, **dev).stdout == "10/minute off off\n"


def test_the_database_has_a_pool_whose_connections_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert (made["CONN_MAX_AGE"], made["CONN_HEALTH_CHECKS"]) == (0, False)
    assert made["ENGINE"] == "apps.core.postgresql"
    pool = {"min_size": 1, "max_size": 7, "timeout": 10, "reconnect_timeout": 5}
    assert made["OPTIONS"] == {"sslmode": "require", "pool": pool, **KEEPALIVES}


def test_a_database_url_may_say_when_a_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://host/name?tcp_user_timeout=5000&connect_timeout=3")
    changed = {"tcp_user_timeout": 5_000, "connect_timeout": 3}
    assert {name: database()["OPTIONS"][name] for name in KEEPALIVES} == KEEPALIVES | changed


@pytest.mark.parametrize("url", ["", "foo", "sqlite:///x", "mysql://u:hush@host/name", "postgres://u:hush@host:x/name"])
def test_a_database_that_is_no_postgresql_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ImproperlyConfigured, match=r"Set the DATABASE_URL .* to postgresql://") as refused:
        database()
    assert "hush" not in str(refused.value)


def test_an_empty_database_url_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert database("postgresql:///ours")["NAME"] == "ours"


def test_production_answers_to_its_own_hosts_only_and_over_https(project: Path) -> None:
    script = (
        "import asyncio, httpx; from config.asgi import application\n"
        "async def ask(origin, path):\n"
        "    transport = httpx.ASGITransport(application)\n"
        "    async with httpx.AsyncClient(transport=transport, base_url=origin) as client:\n"
        "        return (await client.post(path, json={'query': '{ __typename }'})).status_code\n"
        "for origin in ('https://api.example.com', 'https://a.example.org', 'https://example.org',\n"
        "               'http://api.example.com',\n"
        "               'https://evil.example.net', 'http://evil.example.net'):\n"
        "    print(*(asyncio.run(ask(origin, path)) for path in ('/graphql/', '/nothing')))\n"
    )
    # There is no database that could count.
    hosts = {"ALLOWED_HOSTS": "api.example.com,.example.org", "RATE_LIMIT_ANONYMOUS": "off"}
    answers = python(project, "-c", script, **PRODUCTION | hosts).stdout.splitlines()
    assert answers == ["200 404", "200 404", "200 404", "308 301", "400 400", "400 400"]


def test_production_takes_sockets_for_its_own_hosts_over_https_only(project: Path) -> None:
    script = (
        "import asyncio; from config.asgi import application\n"
        "async def knock(scheme, host):\n"
        "    sent = []\n"
        "    messages = iter([{'type': 'websocket.connect'}, {'type': 'websocket.disconnect'}])\n"
        "    async def receive(): return next(messages)\n"
        "    async def send(message): sent.append(message)\n"
        "    scope = {'type': 'websocket', 'path': '/graphql/', 'query_string': b'', 'scheme': scheme,\n"
        "             'headers': [(b'host', host)], 'subprotocols': ['graphql-transport-ws']}\n"
        "    await application(scope, receive, send)\n"
        "    return sent[0]['type'], sent[0].get('status')\n"
        "for knocks in (('wss', b'api.example.com'), ('ws', b'api.example.com'), ('wss', b'evil.example.net')):\n"
        "    print(*asyncio.run(knock(*knocks)))\n"
    )
    answers = python(project, "-c", script, **PRODUCTION).stdout.splitlines()
    assert answers == ["websocket.accept None", "websocket.close None", "websocket.http.response.start 400"]


def test_production_tells_browsers_of_its_own_host_alone_unless_told_otherwise(project: Path) -> None:
    script = (
        "import asyncio, httpx; from config.asgi import application\n"
        "async def ask(path):\n"
        "    transport = httpx.ASGITransport(application)\n"
        "    async with httpx.AsyncClient(transport=transport, base_url='https://api.example.com') as client:\n"
        "        return (await client.get(path)).headers['strict-transport-security']\n"
        "for path in ('/graphql/', '/healthz'):\n"
        "    print(asyncio.run(ask(path)))\n"
    )
    assert python(project, "-c", script, **PRODUCTION).stdout == "max-age=31536000\n" * 2
    more = {"SECURE_HSTS_INCLUDE_SUBDOMAINS": "true", "SECURE_HSTS_PRELOAD": "true", "SECURE_HSTS_SECONDS": "60"}
    expected = "max-age=60; includeSubDomains; preload\n" * 2
    assert python(project, "-c", script, **PRODUCTION | more).stdout == expected
