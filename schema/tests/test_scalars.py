"""How moments are written, on both executors."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import strawberry
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from schema.tests.mounted import mounted
from tests.api import Answer

EDGES = [
    datetime.min,
    datetime.max,
    datetime(1, 1, 1, microsecond=1),
    datetime(999, 12, 31, 23, 59, 59, 999_999),
    datetime(1969, 12, 31, 23, 59, 59, 999_999),
    datetime(1970, 1, 1),
    datetime(2000, 2, 29, microsecond=10),
    datetime(2026, 10, 25, 1, 30, microsecond=100_000, fold=1),
]
ZONES = st.sampled_from([UTC, timezone(timedelta(0)), ZoneInfo("UTC")])
MOMENTS = st.builds(
    lambda moment, zone: moment.replace(tzinfo=zone),
    st.sampled_from(EDGES) | st.datetimes(),
    ZONES,
)


@strawberry.type
class Row:
    at: datetime | None


async def answer(values: list[Any]) -> Answer:
    """The answer to a query for `values`, in a list, and in as many objects."""

    @strawberry.type
    class Query:
        @strawberry.field
        def moments(self) -> list[datetime | None]:
            return values

        @strawberry.field
        def rows(self) -> list[Row]:
            return [Row(at=value) for value in values]

    async with mounted(Query) as api:
        return await api("{ moments rows { at } }")


@pytest.mark.parametrize("engine", ["breadth", "stock"])
@examples(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.none() | MOMENTS, max_size=10))
async def test_moments_are_written_as_isoformat_writes_them(
    settings: Any, engine: str, values: list[datetime | None]
) -> None:
    settings.GRAPHQL_ENGINE = engine
    written = [value and value.isoformat() for value in values]
    assert (await answer(values)).data == {"moments": written, "rows": [{"at": text} for text in written]}


@pytest.mark.parametrize("engine", ["breadth", "stock"])
@pytest.mark.parametrize("value", [date(2026, 1, 31), "2026-01-31T12:00:00+00:00", 1_769_860_800, True])
async def test_what_is_no_moment_is_not_written(settings: Any, engine: str, value: Any) -> None:
    settings.GRAPHQL_ENGINE = engine
    found = await answer([value])
    assert found.body["data"] == {"moments": [None], "rows": [{"at": None}]}
    assert found.codes == ["INTERNAL", "INTERNAL"]
