"""Scalars that need more care than Strawberry's own."""

from datetime import UTC, datetime

import strawberry
from graphql import GraphQLError, ValueNode, value_from_ast_untyped
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


def _parse(value: object, node: ValueNode | None = None) -> datetime:
    if isinstance(value, str):
        try:
            return moment(value)
        except ValueError:
            pass
    raise GraphQLError("A DateTime has to be text like 2026-01-31T12:00:00Z, with its offset from UTC.", node)


def _parse_literal(node: ValueNode, _variables: object = None) -> datetime:
    return _parse(value_from_ast_untyped(node), node)


def _serialize(value: object) -> datetime:
    """The moment as it is: the endpoint's JSON encoder writes it as `datetime.isoformat` would, many times as fast."""
    if not isinstance(value, datetime):
        raise GraphQLError(f"A DateTime has to be a datetime, not a {type(value).__name__}.")
    return value


_serialize.plain = (datetime,)  # type: ignore[attr-defined]  # for the engine: it need not call for each


CONFIG = StrawberryConfig(
    scalar_map={
        datetime: strawberry.scalar(
            name="DateTime",
            description="A moment in ISO 8601. Answers are in UTC, like 2026-01-31T12:00:00.123456+00:00, without a "
            "fraction where it is zero. Inputs need an offset from UTC, any: `+01:00`, or `Z` for none.",
            serialize=_serialize,
            parse_value=_parse,
            parse_literal=_parse_literal,
        )
    }
)
