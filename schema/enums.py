"""Enums of the API, each value with its description."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

E = TypeVar("E", bound=Enum)


def api_enum(enum: type[E], description: str, values: Mapping[E, str]) -> None:
    """Make `enum` usable as a type of the API under its own name; every member needs a description."""
    strawberry.enum(enum, description=description)
    definition: StrawberryEnumDefinition = enum.__strawberry_definition__  # type: ignore[attr-defined]  # set just now
    for value, member in zip(definition.values, enum, strict=True):
        value.description = values[member]
