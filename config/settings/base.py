"""What every deployment shares. `.env.example` documents each variable that is read here."""

import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.settings.env import Env

BASE_DIR = Path(__file__).resolve().parents[2]

env = Env()
# The tests count on the defaults.
if os.environ.get("DJANGO_SETTINGS_MODULE") != "config.settings.test":
    env.read_env(BASE_DIR / ".env")


# A network that drops what goes through it tells nobody. By itself Linux asks after an idle connection in two hours
# and waits a quarter of one for what it sent, while whoever sent it keeps a thread and a connection. Here it gives up
# 30 to 40 seconds after the server's machine was last heard of. How long a statement runs is no matter: it is the other
# machine's kernel that answers. Asking also keeps firewalls, which forget what is idle, from forgetting connections.
KEEPALIVES = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


def database(default_url: str = "") -> dict[str, Any]:
    """The settings of the one database: `DATABASE_URL`, or `default_url` when that is unset or empty.

    Connections come from psycopg's pool. CONN_MAX_AGE has to stay 0 beside it: under ASGI anything else leaks a
    connection per thread. CONN_HEALTH_CHECKS stays off: our backend looks at connections by itself, for nothing.
    What DATABASE_URL says behind its question mark wins over KEEPALIVES.
    """
    pool = {
        "min_size": 1,
        "max_size": env.number("DATABASE_POOL_MAX", 10, at_least=1),
        "timeout": 10,
        # The pause between attempts to connect doubles until this many seconds are over, and the next request starts
        # anew. With the pool's own 300 s it grows into minutes, in which nobody notices that PostgreSQL is back.
        "reconnect_timeout": 5,
    }
    url = env.str("DATABASE_URL", "") or default_url
    server: dict[str, Any] = {}
    if url.startswith(("postgresql://", "postgres://")):
        with suppress(ValueError):  # a port that is no number
            server = env.db_url_config(url)
    if not server.get("NAME"):
        raise ImproperlyConfigured(
            "Set the DATABASE_URL environment variable to postgresql://user:password@host:port/name"
        )
    options = {"pool": pool, **KEEPALIVES, **server.pop("OPTIONS", {})}
    # A socket's folder can only be given as ?host=…, but `dbshell` and our own tools look here.
    server["HOST"] = options.pop("host", server["HOST"])
    engine = {"ENGINE": "apps.core.postgresql", "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}
    return {**server, **engine, "OPTIONS": options}


def broker(url: str) -> dict[str, Any]:
    """django-dramatiq's settings for a `BROKER_URL`; unset means that PostgreSQL carries the messages."""
    brokers = {
        "": "apps.core.broker.DatabaseBroker",
        "redis": "apps.core.broker.RedisBroker",
        "rediss": "apps.core.broker.RedisBroker",
        "amqp": "apps.core.broker.RabbitmqBroker",
        "amqps": "apps.core.broker.RabbitmqBroker",
    }
    scheme = None
    with suppress(ValueError):  # an address in brackets that is none
        scheme = urlsplit(url).scheme
    if scheme not in brokers or bool(url) != bool(scheme):
        raise ImproperlyConfigured("BROKER_URL has to be unset (PostgreSQL), redis://… or amqp://…")
    return {
        "BROKER": brokers[scheme],
        "OPTIONS": {"url": url} if url else {},
        # What comes before a task goes from the first to the last, what comes after it the other way.
        "MIDDLEWARE": [
            "apps.core.worker.strangers.Strangers",
            "apps.core.worker.tasklog.TaskLog",
            "dramatiq.middleware.AgeLimit",
            "apps.core.worker.settling.Retries",
            "dramatiq.middleware.CurrentMessage",
            "dramatiq.middleware.AsyncIO",
            "django_dramatiq.middleware.DbConnectionsMiddleware",
            # The limit is for the task alone: in the middle of what comes after, it would lose the message.
            "dramatiq.middleware.TimeLimit",
        ],
    }


DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
AUTH_USER_MODEL = "users.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "apps.core",
    "apps.users",
    "apps.posts",
    "apps.comments",
    "django_dramatiq",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
]

# Only the admin, links in mails and the health checks pass through here: GraphQL and static files are mounted in
# config.asgi.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

PASSWORD_HASHERS = [
    "apps.users.hashing.Argon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "first_name", "last_name")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "apps.users.validators.NotTooLong"},
    {"NAME": "apps.users.validators.SessionsEndWithThePassword"},
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"

# Seconds for each answer of the mail server. A task that sends has a minute.
EMAIL_TIMEOUT = env.number("EMAIL_TIMEOUT_SECONDS", 20.0, at_least=0.1, at_most=50.0)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Broadside <noreply@localhost>")

# Where the links in mails lead: FRONTEND_URL/verify-email#token=…. Empty: mails show the token itself.
FRONTEND_URL = env.url("FRONTEND_URL")
# Where this server is reached, for the links in mails that lead to itself. Empty: mails have none.
PUBLIC_URL = env.url("PUBLIC_URL")
# How long a comment waits for others to be mailed together.
NOTICE_DELAY = timedelta(seconds=env.number("NOTICE_DELAY_SECONDS", 300, at_least=0, at_most=86_400))
# Whether an account can be used before its address is confirmed.
EMAIL_VERIFICATION = env.choice("EMAIL_VERIFICATION", "optional", among=("optional", "required"))
# How long security events are kept; the database keeps them for 90 at least, by its own clock.
SECURITY_EVENT_DAYS = env.number("SECURITY_EVENT_DAYS", 365, at_least=91)
# How old an account gets that nobody confirms or uses, where EMAIL_VERIFICATION is required.
UNVERIFIED_ACCOUNT_DAYS = env.number("UNVERIFIED_ACCOUNT_DAYS", 30, at_least=1)
# What becomes of the posts and comments of a deleted account.
ACCOUNT_DELETION = env.choice("ACCOUNT_DELETION", "keep", among=("keep", "erase"))

# How many proxies stand in front: 0 takes the peer's address, n the n-th from the right of X-Forwarded-For. Who has
# fewer there has come in past a proxy: again the peer's address counts.
TRUSTED_PROXIES = env.number("TRUSTED_PROXIES", 0, at_least=0)
CORS_ALLOWED_ORIGINS = env.origins("CORS_ALLOWED_ORIGINS")
# Whether the cookie of a refresh token is for https alone. A laptop has none.
REFRESH_COOKIE_SECURE = False
# People work in the admin, and go home.
SESSION_COOKIE_AGE = 12 * 3_600

# Counts attempts and operations; "" is PostgreSQL. See apps/core/throttling for what a rate means.
RATE_LIMIT_URL = env.redis_url("RATE_LIMIT_URL")
RATE_LIMIT_LOGIN = env.rate("RATE_LIMIT_LOGIN", "10/minute")
# Operations of one viewer, and of all who come from one address without a token.
RATE_LIMIT_USER = env.rate("RATE_LIMIT_USER", "off")
RATE_LIMIT_ANONYMOUS = env.rate("RATE_LIMIT_ANONYMOUS", "off")

# EdDSA with the Ed25519 key in this file, or else HS256 with JWT_SIGNING_KEY.
JWT_SIGNING_KEY_FILE = env.str("JWT_SIGNING_KEY_FILE", "")
# What signed before: it still verifies.
JWT_PREVIOUS_KEYS = env.list("JWT_PREVIOUS_KEYS", default=[])
JWT_PREVIOUS_KEY_FILES = env.list("JWT_PREVIOUS_KEY_FILES", default=[])
JWT_ISSUER = "broadside"
JWT_AUDIENCE = "broadside-api"
JWT_ACCESS_LIFETIME = timedelta(minutes=env.number("JWT_ACCESS_MINUTES", 15, at_least=1, at_most=525_600))
JWT_REFRESH_LIFETIME = timedelta(days=env.number("JWT_REFRESH_DAYS", 1, at_least=1, at_most=3_650))

# False closes the API to anonymous clients, but for what they sign in with.
PUBLIC_READS = env.bool("PUBLIC_READS", True)

GRAPHQL_MAX_PAGE_SIZE = env.number("GRAPHQL_MAX_PAGE_SIZE", 100, at_least=1)
# Characters. A client sends long values as variables.
GRAPHQL_MAX_DOCUMENT_LENGTH = env.number("GRAPHQL_MAX_DOCUMENT_LENGTH", 100_000, at_least=1)
GRAPHQL_MAX_TOKENS = env.number("GRAPHQL_MAX_TOKENS", 5_000, at_least=1)
GRAPHQL_MAX_DEPTH = env.number("GRAPHQL_MAX_DEPTH", 15, at_least=1)
GRAPHQL_MAX_ALIASES = env.number("GRAPHQL_MAX_ALIASES", 50, at_least=1)
GRAPHQL_MAX_COST = env.number("GRAPHQL_MAX_COST", 50_000, at_least=1)
GRAPHQL_MAX_RESPONSE_BYTES = env.number("GRAPHQL_MAX_RESPONSE_BYTES", 20_000_000, at_least=1)
GRAPHQL_MAX_BODY_BYTES = env.number("GRAPHQL_MAX_BODY_BYTES", 2_000_000, at_least=1)
GRAPHQL_TIMEOUT_SECONDS = env.number("GRAPHQL_TIMEOUT_SECONDS", 30.0, at_least=0.1, at_most=3_600.0)
# How long a WebSocket may wait with its `connection_init`, and how many operations it may have at work.
GRAPHQL_SOCKET_INIT_SECONDS = env.number("GRAPHQL_SOCKET_INIT_SECONDS", 10.0, at_least=0.1, at_most=3_600.0)
GRAPHQL_SOCKET_MAX_OPERATIONS = env.number("GRAPHQL_SOCKET_MAX_OPERATIONS", 50, at_least=1)
# How many subscriptions a process has, and how many one viewer, or an address without one, has there.
GRAPHQL_MAX_SUBSCRIPTIONS = env.number("GRAPHQL_MAX_SUBSCRIPTIONS", 2_000, at_least=1)
GRAPHQL_MAX_SUBSCRIPTIONS_PER_VIEWER = env.number("GRAPHQL_MAX_SUBSCRIPTIONS_PER_VIEWER", 50, at_least=1)
# Carries events from the worker to the servers; "" is PostgreSQL. See apps/core/events.py.
PUBSUB_URL = env.redis_url("PUBSUB_URL")
# "breadth" resolves each field once for all objects of a level, "stock" object by object as graphql-core does.
GRAPHQL_ENGINE = env.choice("GRAPHQL_ENGINE", "breadth", among=("breadth", "stock"))
# How long a write, or the admin, waits for what somebody else has locked.
DATABASE_LOCK_TIMEOUT_SECONDS = env.number("DATABASE_LOCK_TIMEOUT_SECONDS", 10.0, at_least=0.1, at_most=3_600.0)
# The connections that reads run on, beside those of DATABASE_POOL_MAX for everything else.
READ_POOL_MAX = env.number("READ_POOL_MAX", 10, at_least=1)
READ_POOL_TIMEOUT_SECONDS = env.number("READ_POOL_TIMEOUT_SECONDS", 10.0, at_least=0.1, at_most=3_600.0)
# How many statements of one request may run at a time.
READ_CONCURRENCY = env.number("READ_CONCURRENCY", 4, at_least=1)
GRAPHQL_INTROSPECTION = env.bool("GRAPHQL_INTROSPECTION", True)
GRAPHQL_GRAPHIQL = env.bool("GRAPHQL_GRAPHIQL", False)

# What `manage.py scheduler` runs.
SCHEDULE = "config.schedule.JOBS"
DRAMATIQ_BROKER = broker(env.str("BROKER_URL", ""))
# `manage.py worker`. A thread that is at work has one of the process's DATABASE_POOL_MAX connections.
WORKER_PROCESSES = env.number("WORKER_PROCESSES", 1, at_least=1)
WORKER_THREADS = env.number("WORKER_THREADS", 8, at_least=1)
# How long a worker that is told to stop waits for its tasks. Kubernetes kills after 30 seconds.
WORKER_SHUTDOWN_SECONDS = env.number("WORKER_SHUTDOWN_SECONDS", 20, at_least=0)
# Where worker, relay and scheduler say how they are, to whoever comes to their machine's address; 0: nowhere.
PROBE_PORT = env.number("PROBE_PORT", 0, at_least=0, at_most=65_535)
PROBE_HOST = env.str("PROBE_HOST", "0.0.0.0")  # noqa: S104  (probes of Kubernetes do not come from within)

STRAWBERRY_DJANGO = {"FIELD_DESCRIPTION_FROM_HELP_TEXT": True}
