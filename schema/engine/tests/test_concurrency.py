"""What runs side by side, what runs in series, and what is left when a request ends early."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Annotated, Any, Union, cast

import pytest
import strawberry
from strawberry.extensions import ParserCache

from schema.engine import BreadthFirstExecutor, batch_field
from schema.engine.planner import Plans
from schema.engine.tests.support import Info, Request, data, failures, on_engine, run
from schema.engine.values import gathered


async def meeting(info: Info, sets: str, awaits: str) -> str:
    info.context.events[sets].set()
    await info.context.events[awaits].wait()
    return f"{sets} met {awaits}"


async def meetings(parents: Sequence[Any], info: Info, sets: str, awaits: str) -> list[str]:
    return [await meeting(info, sets, awaits)] * len(parents)


async def waiting(info: Info, name: str) -> int:
    """Until it is cancelled."""
    info.context.notes.append(f"{name} starts")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)  # tidying up takes its time, too
        info.context.notes.append(f"{name} is cancelled")
        raise
    return 0


async def waits(parents: Sequence[Any], info: Info, name: str = "batch") -> list[int]:
    return [await waiting(info, name)]


async def owners(parents: Sequence[Any], info: Info) -> list[Any]:
    await asyncio.sleep(0)
    return [Red(number=parent.number) for parent in parents]


@strawberry.interface
class Thing:
    number: int
    owner: "Red" = batch_field(owners, description="Something of the same number.")
    meet: str = batch_field(meetings, description="Sets an event, and waits for another.")
    wait: int = batch_field(waits, description="Waits for ever.")

    @strawberry.field
    async def meet_each(self, info: Info, sets: str, awaits: str) -> str:
        return await meeting(info, sets, awaits)

    @strawberry.field
    async def meet_others(self, info: Info) -> str:
        return await meeting(info, str(self.number), str(3 - self.number))

    @strawberry.field
    async def wait_each(self, info: Info) -> int:
        return await waiting(info, f"each {self.number}")

    @strawberry.field
    def wait_many(self, info: Info) -> list[int]:
        coroutines: Any = [waiting(info, f"item {item} of {self.number}") for item in range(2)]
        return list(coroutines)


@strawberry.type
class Red(Thing):
    pass


@strawberry.type
class Blue(Thing):
    pass


Either = Annotated[Union[Red, Blue], strawberry.union("Either")]  # noqa: UP007  (Strawberry wants it like this)


@strawberry.type
class Query:
    meet: str = batch_field(meetings, description="Sets an event, and waits for another.")
    wait: int = batch_field(waits, description="Waits for ever.")

    @strawberry.field
    def things(self) -> list[Either]:
        return [Red(number=1), Blue(number=2)]

    @strawberry.field
    async def reds(self) -> list[Red]:
        return [Red(number=1), Red(number=2)]


schema = on_engine(Query)
A, B = '(sets: "a", awaits: "b")', '(sets: "b", awaits: "a")'
A_MET, B_MET = "a met b", "b met a"


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        pytest.param(f"{{ a: meet{A} b: meet{B} }}", {"a": A_MET, "b": B_MET}, id="root fields"),
        pytest.param(
            f"{{ reds {{ a: meet{A} b: meet{B} }} }}", {"reds": [{"a": A_MET, "b": B_MET}] * 2}, id="batch fields"
        ),
        pytest.param(
            f"{{ reds {{ a: meetEach{A} b: meetEach{B} }} }}",
            {"reds": [{"a": A_MET, "b": B_MET}] * 2},
            id="fields of an object",
        ),
        pytest.param(
            f"{{ reds {{ a: meetEach{A} b: meet{B} }} }}",
            {"reds": [{"a": A_MET, "b": B_MET}] * 2},
            id="fields of an object and batch fields",
        ),
        pytest.param(
            "{ reds { meetOthers } }",
            {"reds": [{"meetOthers": "1 met 2"}, {"meetOthers": "2 met 1"}]},
            id="objects of a level",
        ),
        pytest.param(
            f"{{ things {{ ... on Red {{ a: meet{A} }} ... on Blue {{ b: meet{B} }} }} }}",
            {"things": [{"a": A_MET}, {"b": B_MET}]},
            id="types of a union",
        ),
        pytest.param(
            f"{{ reds {{ a: meet{A} owner {{ owner {{ b: meet{B} }} }} }} }}",
            {"reds": [{"a": A_MET, "owner": {"owner": {"b": B_MET}}}] * 2},
            id="a field and what is below its sibling",
        ),
    ],
)
async def test_what_waits_for_each_other_runs_side_by_side(operation: str, expected: Any) -> None:
    assert await data(schema, operation) == expected


ALL_THAT_WAITS = "{ wait reds { wait waitEach waitMany owner { wait } } things { ... on Thing { wait waitMany } } }"


async def cancelled_after(turns: int, request: Request) -> asyncio.Task[Any]:
    task = asyncio.create_task(run(schema, ALL_THAT_WAITS, request))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    return task


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("turns", [*range(1, 14), 30])
async def test_a_cancelled_request_leaves_nothing_running(turns: int) -> None:
    request = Request()
    task = await cancelled_after(turns, request)
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()  # a coroutine that nobody has begun complains when it is collected
    assert asyncio.all_tasks() == {asyncio.current_task()}
    started = [note.removesuffix(" starts") for note in request.notes if note.endswith("starts")]
    assert sorted(request.notes) == sorted(
        f"{name} {event}" for name in started for event in ("starts", "is cancelled")
    )
    assert turns < 30 or len(started) == 15


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("again", [0, 1, 2, 3])
@pytest.mark.parametrize("turns", range(1, 14))
async def test_a_request_that_is_cancelled_twice_leaves_nothing_unbegun(turns: int, again: int) -> None:
    task = await cancelled_after(turns, Request())
    for _ in range(again):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait(asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())} or {task})
    gc.collect()


class Unhelpful(type):
    """What may be awaited is asked of a class; classes of this kind fail when they are asked anything."""

    def __getattr__(cls, name: str) -> Any:
        raise ValueError("ask something else")


class Nonsense(metaclass=Unhelpful):
    pass


def too_many(parents: Sequence[Any], info: Info) -> list[Any]:
    return [waiting(info, "one too many") for _ in range(len(parents) + 1)]


async def too_many_later(parents: Sequence[Any], info: Info) -> list[Any]:
    await asyncio.sleep(0)
    return too_many(parents, info)


@strawberry.type
class Failing:
    wait: int = batch_field(waits, description="Waits for ever.")
    too_many: int | None = batch_field(too_many, description="A coroutine more than there are parents.")
    too_many_later: int | None = batch_field(too_many_later, description="The same, later.")

    @strawberry.field
    def nonsense(self) -> str:
        return cast("str", Nonsense())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("{ tooMany }", "too_many gave 2 values for 1 parents"),
        ("{ tooManyLater }", "too_many_later gave 2 values for 1 parents"),
        ("{ wait nonsense }", "ask something else"),
    ],
)
async def test_when_a_resolver_gives_nonsense_no_coroutine_is_left_unbegun(operation: str, message: str) -> None:
    request = Request()
    result = await run(on_engine(Failing), operation, request)
    assert failures(result)[0][0] == message
    del result  # its errors hold the frames that they were raised in
    gc.collect()
    assert request.notes == []


async def failing(parents: Sequence[Any], info: Info) -> list[Any]:
    raise ValueError("at once")


async def lasting(parents: Sequence[Any], info: Info) -> list[int]:
    for _ in range(5):
        await asyncio.sleep(0)
    info.context.called("lasting", parents)
    return [parent.number for parent in parents]


@strawberry.type
class Pair:
    number: int
    failing: int = batch_field(failing, description="Fails before the other has its values.")
    lasting: int = batch_field(lasting, description="Takes longer.")


@strawberry.type
class Pairs:
    failing: int = batch_field(failing, description="Fails before the other has its values.")

    @strawberry.field
    def pairs(self) -> list[Pair | None]:
        return [Pair(number=1), Pair(number=2)]

    @strawberry.field
    def must(self) -> Pair:
        return Pair(number=3)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("{ pairs { failing lasting } }", {"pairs": [None, None]}),
        ("{ must { lasting } failing }", None),
    ],
)
async def test_when_a_sibling_fails_nothing_runs_on_after_the_result(operation: str, expected: Any) -> None:
    result = await run(on_engine(Pairs), operation)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert result.data == expected
    assert {message for message, _ in failures(result)} == {"at once"}


async def echoes(parents: Sequence[Any], info: Info, text: str) -> list[Any]:
    for _ in range(len(text) % 3):
        await asyncio.sleep(0)
    name = info.context.name
    info.context.called(text, parents)
    return [ValueError(f"{name} failed") if parent.number == int(name) % 4 else f"{name} {text}" for parent in parents]


@strawberry.type
class Echo:
    number: int
    echo: str | None = batch_field(echoes, description="The request and the text, and an error for one parent.")
    again: "Echo" = batch_field(lambda parents, info: parents, description="Itself.")


@strawberry.type
class Echoes:
    @strawberry.field
    async def echoes(self, info: Info, count: int) -> list[Echo]:
        await asyncio.sleep(0)
        return [Echo(number=number) for number in range(count)]


async def test_fifty_requests_at_the_same_time_do_not_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = "query ($count: Int!, $text: String!) { echoes(count: $count) { echo(text: $text) again { number } } }"
    schema = on_engine(Echoes, extensions=[ParserCache])
    # Those of other tests may have filled the process's own to its bound.
    monkeypatch.setattr(BreadthFirstExecutor, "plans", Plans())
    requests = [Request(name=str(number)) for number in range(50)]
    results = await asyncio.gather(
        *(run(schema, operation, each, count=3 + place % 2, text="x" * place) for place, each in enumerate(requests))
    )
    assert len(BreadthFirstExecutor.plans) == 1
    for place, (request, result) in enumerate(zip(requests, results, strict=True)):
        count, text = 3 + place % 2, "x" * place
        bad = place % 4
        assert request.calls == [(text, list(range(count)))]
        assert failures(result) == ([(f"{place} failed", ["echoes", bad, "echo"])] if bad < count else [])
        assert result.data == {
            "echoes": [
                {"echo": None if number == bad else f"{place} {text}", "again": {"number": number}}
                for number in range(count)
            ]
        }


async def test_what_was_told_to_stop_is_told_once() -> None:
    """Whoever tidies up, a connection to a database say, is not interrupted in it by its siblings' end."""
    told: list[int] = []
    waits = [asyncio.Event() for _ in range(3)]

    async def tidy(number: int) -> None:
        waits[number].set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append(number)
            for _ in range(10 * number):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    told.append(number)
            raise

    task = asyncio.ensure_future(gathered(tidy, range(3)))
    for event in waits:
        await event.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(told) == [0, 1, 2]
