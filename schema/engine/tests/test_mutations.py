"""Root fields of a mutation run in series."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import strawberry

from schema.engine import batch_field
from schema.engine.tests.support import Info, Request, data, failures, on_engine, run


async def steps(parents: Sequence[Any], info: Info, name: str, fails: bool = False) -> list[Any]:
    return [await step(info, name, fails)]


async def step(info: Info, name: str, fails: bool) -> "Step":
    info.context.notes.append(f"{name} starts")
    await asyncio.sleep(0)
    if fails:
        raise ValueError(f"{name} failed")
    return Step(name=name)


async def afterwards(parents: Sequence[Any], info: Info) -> list[str]:
    await asyncio.sleep(0)
    info.context.notes.extend(f"{parent.name} is done" for parent in parents)
    return ["done" for _ in parents]


@strawberry.type
class Step:
    name: str
    after: str = batch_field(afterwards, description="Says when it is read.")


@strawberry.type
class Mutation:
    batch: Step | None = batch_field(steps, description="May be null.")
    batch_must: Step = batch_field(steps, description="Must not be null.")

    @strawberry.mutation
    async def each(self, info: Info, name: str, fails: bool = False) -> Step | None:
        return await step(info, name, fails)

    @strawberry.mutation
    async def each_must(self, info: Info, name: str, fails: bool = False) -> Step:
        return await step(info, name, fails)


@strawberry.type
class Query:
    nothing: None = None


schema = on_engine(Query, mutation=Mutation)


@pytest.mark.parametrize("field", ["batch", "each"])
async def test_root_fields_of_a_mutation_run_one_after_the_other_with_all_below_them(field: str) -> None:
    request = Request()
    fields = [f'{name}: {field}(name: "{name}") {{ after }}' for name in "abc"]
    found = await data(schema, f"mutation {{ {' '.join(fields)} }}", request)
    assert request.notes == [f"{name} {event}" for name in "abc" for event in ("starts", "is done")]
    assert found == {name: {"after": "done"} for name in "abc"}


@pytest.mark.parametrize("field", ["batch", "each"])
async def test_a_failed_root_field_of_a_mutation_does_not_stop_the_next(field: str) -> None:
    request = Request()
    operation = f'mutation {{ a: {field}(name: "a", fails: true) {{ after }} b: {field}(name: "b") {{ after }} }}'
    result = await run(schema, operation, request)
    assert result.data == {"a": None, "b": {"after": "done"}}
    assert failures(result) == [("a failed", ["a"])]
    assert request.notes == ["a starts", "b starts", "b is done"]


@pytest.mark.parametrize("field", ["batchMust", "eachMust"])
async def test_a_mutation_without_data_is_not_carried_on_with(field: str) -> None:
    request = Request()
    operation = f'mutation {{ a: {field}(name: "a", fails: true) {{ after }} b: {field}(name: "b") {{ after }} }}'
    result = await run(schema, operation, request)
    assert result.data is None
    assert failures(result) == [("a failed", ["a"])]
    assert request.notes == ["a starts"]
