"""Reading settings from the environment. What could only fail later is refused at once, by its name."""

from contextlib import suppress
from typing import TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

Number = TypeVar("Number", int, float)


class Env(environ.Env):  # type: ignore[misc]  # the package ships no types
    """django-environ's reader, with numbers that have a range."""

    def number(self, name: str, default: Number, *, at_least: Number, at_most: Number = 2**31 - 1) -> Number:
        """The variable as a number of the kind of `default`. Raises ImproperlyConfigured with name and range."""
        text: str = self.str(name, str(default))
        with suppress(ValueError):
            number = type(default)(text)
            if at_least <= number <= at_most:
                return number
        kind = {int: "whole number", float: "number"}[type(default)]
        raise ImproperlyConfigured(f"{name} has to be a {kind} from {at_least} to {at_most}, not {text!r}.")
