"""What a result says about itself: how long its longest text may be in JSON."""

from collections.abc import Sequence
from typing import Any

import orjson
import strawberry
from graphql import parse
from hypothesis import given
from hypothesis import strategies as st
from strawberry.scalars import JSON

from schema.engine import BreadthFirstExecutor, batch_field
from schema.engine.execute import MOST_BYTES, Outcome
from schema.engine.tests.support import Info, Request, on_engine

TEXTS = st.lists(st.none() | st.text(st.characters(codec="utf-8") | st.sampled_from('"\\\x00\x7f')), max_size=5)


async def outcome(query: str, value: Any) -> Outcome:
    def values(parents: Sequence[Any], info: Info) -> list[Any]:
        return [value for _ in parents]

    @strawberry.type
    class Query:
        texts: list[str | None] = batch_field(values, description="Texts.")
        json: JSON = batch_field(values, description="Anything.")

    schema = on_engine(Query)._schema
    executor = BreadthFirstExecutor.build(schema, parse(query), context_value=Request())
    assert isinstance(executor, BreadthFirstExecutor)
    result = await executor.execute_operation()
    assert isinstance(result, Outcome)
    return result


@given(TEXTS)
async def test_no_text_is_longer_in_json_than_the_result_says(texts: list[str | None]) -> None:
    said = (await outcome("{ texts }", texts)).longest_text
    longest = max((len(orjson.dumps(text)) - len('""') for text in texts if text is not None), default=0)
    assert longest <= said <= MOST_BYTES * max((len(text) for text in texts if text is not None), default=0)


async def test_a_plain_text_is_not_taken_for_a_longer_one() -> None:
    assert (await outcome("{ texts }", ["x" * 100] * 50)).longest_text == 100


async def test_half_a_surrogate_pair_is_given_to_whoever_asked() -> None:
    result = await outcome("{ texts }", ["\ud800", "x"])
    assert result.data == {"texts": ["\ud800", "x"]}
    assert result.longest_text == MOST_BYTES


async def test_of_a_structure_nobody_knows() -> None:
    assert (await outcome("{ json }", {"any": ["thing"]})).longest_text > 2**32


async def test_a_structure_is_not_overlooked_behind_a_text_that_is_long() -> None:
    assert (await outcome("{ texts json }", ["x" * 1_000])).longest_text > 2**32
