"""Reading settings from the environment. What could only fail later is refused at once, by its name."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

Number = TypeVar("Number", int, float)
# The methods below are named after these types.
Text: TypeAlias = str
Flag: TypeAlias = bool
Items: TypeAlias = list[str]

_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_ORIGIN = re.compile(r"https?://[^/?#@\s]+")
_URL = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")
_RATE = re.compile(r"off|[1-9]\d{0,8}/(second|minute|hour|day)", re.ASCII)


SECRET_MIN_BYTES = 32
SECRET_MIN_CHARACTERS = 10
# This project's own, and those of `django-admin startproject`.
KNOWN_SECRETS = ("dev-only-", "test-only-", "django-insecure-")


def check_secret(name: Text, value: Text) -> None:
    """Raise ImproperlyConfigured for a secret that is short, monotonous or known, without quoting it."""
    if len(value.encode()) < SECRET_MIN_BYTES:
        raise ImproperlyConfigured(f"{name} needs at least {SECRET_MIN_BYTES} bytes.")
    if len(set(value)) < SECRET_MIN_CHARACTERS or value.startswith(KNOWN_SECRETS):
        raise ImproperlyConfigured(f"{name} can be guessed: make one with `secrets.token_urlsafe(50)`.")


class Env(environ.Env):  # type: ignore[misc]  # the package ships no types
    """django-environ's reader of files and URLs, with readers of values that take nothing for something else.

    An empty variable is unset, and a "$" means nothing. Without a default an unset one raises ImproperlyConfigured,
    as does a value that is not of its kind.
    """

    def str(self, name: Text, default: Text | None = None) -> Text:
        value = os.environ.get(name) or default
        if value is None:
            raise ImproperlyConfigured(f"Set the {name} environment variable.")
        return value

    def secret(self, name: Text) -> Text:
        """A value that nobody can guess, as far as can be seen: long, of many characters, and none from an example."""
        value = self.str(name)
        check_secret(name, value)
        return value

    def bool(self, name: Text, default: Flag) -> Flag:
        text = self.str(name, Text(default)).strip().lower()
        if text not in _FLAGS:
            raise ImproperlyConfigured(f"{name} has to be true or false, not {text!r}.")
        return _FLAGS[text]

    def list(self, name: Text, default: Sequence[Text] | None = None) -> Items:
        """What stands between commas, without the white space around it."""
        items = [item.strip() for item in os.environ.get(name, "").split(",") if item.strip()]
        if not items and default is None:
            raise ImproperlyConfigured(f"Set the {name} environment variable.")
        return items or [*(default or ())]

    def number(self, name: Text, default: Number, *, at_least: Number, at_most: Number = 2**31 - 1) -> Number:
        """A number of the kind of `default`."""
        text = self.str(name, Text(default))
        with suppress(ValueError):
            number = type(default)(text)
            if at_least <= number <= at_most:
                return number
        kind = {int: "whole number", float: "number"}[type(default)]
        raise ImproperlyConfigured(f"{name} has to be a {kind} from {at_least} to {at_most}, not {text!r}.")

    def choice(self, name: Text, default: Text, *, among: Sequence[Text]) -> Text:
        """One of the words in `among`."""
        word = self.str(name, default).strip().lower()
        if word not in among:
            raise ImproperlyConfigured(f"{name} has to be one of {', '.join(among)}, not {word!r}.")
        return word

    def origins(self, name: Text) -> Items:
        """Origins as browsers send them, between commas: https://app.example.com."""
        return [self._origin(name, item) for item in self.list(name, default=[])]

    def url(self, name: Text) -> Text:
        """An http or https URL without a slash at its end, or "" when unset."""
        url = self.str(name, "").strip().rstrip("/")
        if url and not _URL.fullmatch(url):
            raise ImproperlyConfigured(f"{name} has to be like https://app.example.com, not {url!r}.")
        return url

    @staticmethod
    def _origin(name: Text, item: Text) -> Text:
        origin = item.rstrip("/").lower()
        if not _ORIGIN.fullmatch(origin):
            raise ImproperlyConfigured(f"{name} has to be like https://app.example.com, not {item!r}.")
        return origin

    def rate(self, name: Text, default: Text) -> Text:
        """ "off", or how often something may be done in what time: "10/minute"."""
        rate = self.str(name, default).strip().lower()
        if not _RATE.fullmatch(rate):
            raise ImproperlyConfigured(f"{name} has to be off, or a rate like 10/minute, not {rate!r}.")
        return rate

    def redis_url(self, name: Text) -> Text:
        """The URL of a Redis, or "" when unset."""
        url = self.str(name, "")
        with suppress(ValueError):  # an address in brackets that is none, or a port that is no number
            parts = urlsplit(url)
            if not url or (parts.scheme in {"redis", "rediss"} and parts.port != 0):
                return url
        raise ImproperlyConfigured(f"{name} has to be unset (PostgreSQL) or redis://…")

    def email_url(self, name: Text, default: Text | None = None) -> dict[Text, Any]:
        """Django's settings for the mail server at that URL."""
        url = self.str(name, default)
        with suppress(ImproperlyConfigured, ValueError):
            settings: dict[Text, Any] = self.email_url_config(url)
            return settings
        raise ImproperlyConfigured(f"{name} has to be smtp+tls://user:password@host:587 or consolemail://.")
