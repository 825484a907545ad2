"""Settings of `make run`: its own PostgreSQL, mail on the console, keys that protect nothing."""

from datetime import timedelta

from config import embedded_postgres
from config.logging import logging_settings
from config.settings.base import *
from config.settings.base import BASE_DIR, database, env

DEBUG = env.bool("DEBUG", True)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"])
SECRET_KEY = env.str("SECRET_KEY", "dev-only-secret-key-that-protects-nothing-at-all-0123456789")
JWT_SIGNING_KEY = env.str("JWT_SIGNING_KEY", "dev-only-jwt-key-that-protects-nothing-at-all")

DATABASES = {"default": database(embedded_postgres.url(BASE_DIR / "var" / "postgres"))}

NOTICE_DELAY = timedelta(seconds=env.number("NOTICE_DELAY_SECONDS", 5, at_least=0, at_most=86_400))
vars().update(env.email_url("EMAIL_URL", "consolemail://"))
GRAPHQL_GRAPHIQL = env.bool("GRAPHQL_GRAPHIQL", True)
LOGGING = logging_settings(json_lines=False, level=env.str("LOG_LEVEL", "INFO"))
