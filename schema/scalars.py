"""Scalars that need more care than Strawberry's own."""

from datetime import UTC, datetime

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig


def moment(text: str) -> datetime:
    """The moment that `text` names in ISO 8601, in UTC: PostgreSQL refuses offsets beyond 16 hours, Python does not.

    Raises ValueError for anything else, and for a time without an offset, which is a different moment everywhere.
    """
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("the offset from UTC is missing")
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError("the year is out of range") from None


def _parse(value: object) -> datetime:
    if isinstance(value, str):
        try:
            return moment(value)
        except ValueError:
            pass
    raise GraphQLError("A DateTime has to be text like 2026-01-31T12:00:00Z, with its offset from UTC.")


CONFIG = StrawberryConfig(
    scalar_map={
        datetime: strawberry.scalar(
            name="DateTime",
            description="A moment in ISO 8601 with its offset from UTC, like 2026-01-31T12:00:00Z.",
            serialize=datetime.isoformat,
            parse_value=_parse,
        )
    }
)
