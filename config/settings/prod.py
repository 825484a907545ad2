"""Settings of a deployment: everything secret is required, nothing has a default that would be unsafe."""

from django.core.exceptions import ImproperlyConfigured

from config.logging import logging_settings
from config.settings.base import *
from config.settings.base import (
    BASE_DIR,
    JWT_PREVIOUS_KEYS,
    JWT_SIGNING_KEY_FILE,
    TRUSTED_PROXIES,
    database,
    env,
)
from config.settings.env import check_secret

SECRET_KEY = env.secret("SECRET_KEY")
JWT_SIGNING_KEY = "" if JWT_SIGNING_KEY_FILE else env.secret("JWT_SIGNING_KEY")
for previous in JWT_PREVIOUS_KEYS:
    check_secret("JWT_PREVIOUS_KEYS", previous)
if SECRET_KEY in {JWT_SIGNING_KEY, *JWT_PREVIOUS_KEYS}:
    raise ImproperlyConfigured("SECRET_KEY and JWT_SIGNING_KEY must differ.")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")

DATABASES = {"default": database()}

vars().update(env.email_url("EMAIL_URL"))
RATE_LIMIT_USER = env.rate("RATE_LIMIT_USER", "1200/minute")
RATE_LIMIT_ANONYMOUS = env.rate("RATE_LIMIT_ANONYMOUS", "1200/minute")
GRAPHQL_INTROSPECTION = env.bool("GRAPHQL_INTROSPECTION", False)
LOGGING = logging_settings(json_lines=True, level=env.str("LOG_LEVEL", "INFO"))

STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", True)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = env.number("SECURE_HSTS_SECONDS", 31_536_000, at_least=0)
# They bind every other host of the domain, for as long; so nobody is warned of their absence.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
REFRESH_COOKIE_SECURE = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
