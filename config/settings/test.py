"""Settings of the test suite. `conftest.py` starts a throw-away PostgreSQL unless DATABASE_URL names a server."""

from config.logging import logging_settings
from config.settings.base import *
from config.settings.base import database

SECRET_KEY = "test-only-secret-key-that-protects-nothing-at-all-0123456789"
JWT_SIGNING_KEY = "test-only-jwt-key-that-protects-nothing-at-all"
ALLOWED_HOSTS = ["*"]

DATABASES = {"default": database("postgres:///broadside")}
# How long a request may wait for its turn is not what the tests of many at once are about.
DATABASES["default"]["OPTIONS"]["pool"]["timeout"] = GRAPHQL_TIMEOUT_SECONDS = 120
DATABASE_LOCK_TIMEOUT_SECONDS = 120

# The cheapest real hasher: argon2 is slow by design, and most tests sign somebody in.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
RATE_LIMIT_LOGIN = "off"
CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
GRAPHQL_GRAPHIQL = True
LOGGING = logging_settings(json_lines=True, level="INFO")
