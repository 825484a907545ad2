"""Ids and cursors: what the API made comes back as it was, and anything else is the caller's mistake."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.core.ids import global_id
from schema.errors import RequestError, RequestErrorCode
from schema.relay import MAX_KEY, Order, PageArgs, key_of, parse_global_id
from schema.root import LOADERS
from schema.scalars import moment
from tests.api import Api

T = TypeVar("T")

KINDS: dict[type, Order] = {
    datetime: Order("test:date", "dated_at", datetime),
    str: Order("test:title", "title", str),
    float: Order("test:rank", "rank", float),
}
VALUES: dict[type, st.SearchStrategy[Any]] = {
    datetime: st.datetimes(timezones=st.just(UTC)),
    str: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    float: st.floats(allow_nan=False, allow_infinity=False),
}
KEYS = st.integers(1, MAX_KEY)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=6,
)
many = settings(max_examples=200, deadline=None)
some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encoded(value: object) -> str:
    return urlsafe_b64encode(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)).decode()


def raw(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


def unless_refused(parse: Callable[[str], T], text: str) -> T | None:
    """What `parse` makes of `text`; None when it says BAD_USER_INPUT."""
    try:
        return parse(text)
    except RequestError as error:
        if error.code is not RequestErrorCode.BAD_USER_INPUT:
            raise
        return None


def read_or_refuse(order: Order, cursor: str) -> None:
    """A cursor is refused as BAD_USER_INPUT, or it holds what a row of this order could have."""
    if (read := unless_refused(order.read, cursor)) is None:
        return
    value, key = read
    assert type(value) is order.kind
    assert 0 < key <= MAX_KEY
    assert not isinstance(value, datetime) or value.tzinfo is UTC
    assert not isinstance(value, str) or "\x00" not in value


@pytest.mark.parametrize("kind", KINDS)
@many
@given(data=st.data(), key=KEYS)
def test_a_cursor_gives_back_the_place_that_it_was_made_of(kind: type, data: st.DataObject, key: int) -> None:
    value = data.draw(VALUES[kind])
    order = KINDS[kind]
    assert order.read(order.cursor(SimpleNamespace(order_key=value, pk=key))) == (value, key)


@pytest.mark.parametrize("kind", KINDS)
@many
@given(cursor=st.text())
def test_any_text_as_a_cursor_is_refused(kind: type, cursor: str) -> None:
    read_or_refuse(KINDS[kind], cursor)


@pytest.mark.parametrize("kind", KINDS)
@many
@given(value=JSON)
def test_any_json_as_a_cursor_is_refused(kind: type, value: object) -> None:
    read_or_refuse(KINDS[kind], encoded_or_text(value))


@pytest.mark.parametrize("kind", KINDS)
@many
@given(value=JSON | st.datetimes().map(str), key=JSON | st.integers())
def test_any_place_in_a_cursor_is_read_or_refused(kind: type, value: object, key: object) -> None:
    read_or_refuse(KINDS[kind], encoded_or_text([KINDS[kind].name, value, key]))


def encoded_or_text(value: object) -> str:
    """As JSON; integers that orjson does not write are written by hand."""
    try:
        return encoded(value)
    except TypeError:
        return raw(repr(value).replace("'", '"'))


@pytest.mark.parametrize(
    ("kind", "cursor"),
    [
        (float, raw('["test:rank", NaN, 1]')),
        (float, raw('["test:rank", Infinity, 1]')),
        (float, raw('["test:rank", "0.5", 1]')),
        (float, raw('["test:rank", true, 1]')),
        (datetime, raw('["test:date", "2026-01-01T00:00:00", 1]')),
        (datetime, raw('["test:date", "0001-01-01T00:00:00+01:00", 1]')),
        (datetime, raw('["test:date", "9999-12-31T23:59:59-01:00", 1]')),
        (datetime, raw('["test:date", 5, 1]')),
        (datetime, raw('["test:date", null, 1]')),
        (str, raw('["test:title", "a\\u0000", 1]')),
        (str, raw('["test:title", "\\ud800", 1]')),
        (str, raw('["test:title", "a", 0]')),
        (str, raw('["test:title", "a", -1]')),
        (str, raw('["test:title", "a", 9223372036854775808]')),
        (str, raw('["test:title", "a", 1e3]')),
        (str, raw('["test:title", "a", true]')),
        (str, raw('["test:title", "a", "1"]')),
        (str, raw('["test:title", "a"]')),
        (str, raw('["test:title", "a", 1, 1]')),
        (str, raw('{"test:title": 1, "a": 2, "b": 3}')),
        (str, raw('["test:rank", "a", 1]')),
        (str, raw("[" * 100_000)),
        (str, ""),
        (str, "é"),
        (str, "="),
        (str, "null"),
    ],
)
def test_a_cursor_that_no_row_can_have_is_refused(kind: type, cursor: str) -> None:
    with pytest.raises(RequestError) as refusal:
        KINDS[kind].read(cursor)
    assert refusal.value.code is RequestErrorCode.BAD_USER_INPUT


def test_a_cursor_in_another_offset_names_the_same_moment() -> None:
    order = KINDS[datetime]
    there = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert order.read(encoded([order.name, there.isoformat(), 7])) == (datetime(2026, 1, 1, tzinfo=UTC), 7)
    assert order.read(encoded([order.name, "2026-01-01T23:59:00+23:59", 7])) == (datetime(2026, 1, 1, tzinfo=UTC), 7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_a_cursor_of_another_order_is_called_that(kind: type, other: type) -> None:
    values = {datetime: datetime(2026, 1, 1, tzinfo=UTC), str: "a", float: 0.5}
    cursor = KINDS[other].cursor(SimpleNamespace(order_key=values[other], pk=1))
    if kind is other:
        assert KINDS[kind].read(cursor) == (values[kind], 1)
        return
    with pytest.raises(RequestError, match="another list or another order"):
        KINDS[kind].read(cursor)


@many
@given(type_name=st.sampled_from(sorted(LOADERS)), key=KEYS)
def test_a_global_id_gives_back_what_it_was_made_of(type_name: str, key: int) -> None:
    assert parse_global_id(global_id(type_name, key)) == (type_name, key)
    assert key_of(type_name, global_id(type_name, key)) == key


@many
@given(value=st.text() | st.binary().map(lambda data: b64encode(data).decode()))
@example(value=b64encode(b"Post:1").decode())
def test_any_text_as_a_global_id_is_refused_unless_the_api_could_have_made_it(value: str) -> None:
    parsed = unless_refused(parse_global_id, value)
    assert parsed is None or global_id(*parsed) == value


NOT_IDS = [
    "",
    "1",
    "Post:1",
    *(
        b64encode(text.encode()).decode()
        for text in (
            "Post",
            "Post:",
            "Post:0",
            "Post:-1",
            "Post:01",
            "Post:+1",
            "Post: 1",
            "Post:1 ",
            "Post:1\n",
            "Post:1_0",
            "Post:1.0",
            "Post:1e3",
            "Post:\u0661",
            "Post:\uff11",
            "Post:\u00b2",
            "Post:1\x00",
            "Post:9223372036854775808",
            "Post:" + "9" * 5_000,
            "Post:1:1",
        )
    ),
    "UG9zdDoxMQ",  # Post:11 without its padding, and so on
    "UG9zdDoxMQ===",
    "UG9zdDoxMQ==\n",
    " UG9zdDoxMQ==",
    "UG9zdDoxMQ==\u00e9",
    "UG9zdDoxMR==",
    "\ud800",
    b64encode(b"\xff:1").decode(),
]


@pytest.mark.parametrize("value", NOT_IDS)
def test_what_no_row_can_have_as_an_id_is_refused(value: str) -> None:
    with pytest.raises(RequestError) as refusal:
        key_of("Post", value)
    assert refusal.value.code is RequestErrorCode.BAD_USER_INPUT


def test_the_id_of_another_type_is_refused() -> None:
    with pytest.raises(RequestError, match="the id of a User, not of a Post"):
        key_of("Post", global_id("User", 1))
    with pytest.raises(RequestError, match="not of a Post"):
        key_of("Post", global_id("", 1))


@many
@given(
    first=st.none() | st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 102),
    last=st.none() | st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 102),
)
def test_a_page_size_is_within_its_bounds_or_refused(first: int | None, last: int | None) -> None:
    fits = [size is None or 1 <= size <= 100 for size in (first, last)]
    if (first is not None and last is not None) or not all(fits):
        with pytest.raises(RequestError):
            PageArgs.parse(first, None, last, None)
        return
    page = PageArgs.parse(first, None, last, None)
    assert page.size == (first or last or 20)
    assert page.backward == (last is not None)


@many
@given(text=st.text() | st.datetimes(timezones=st.timezones() | st.none()).map(str))
def test_a_moment_is_in_utc_or_refused(text: str) -> None:
    try:
        parsed = moment(text)
    except ValueError:
        return
    assert parsed.tzinfo is UTC
    assert parsed == datetime.fromisoformat(text)


CONNECTIONS = ["posts", "users", "tags"]


@pytest.mark.django_db
@pytest.mark.parametrize("argument", ["after", "before"])
@some
@given(
    cursor=st.text(st.characters(codec="utf-8"))
    | JSON.map(encoded_or_text)
    | st.tuples(st.just("post:newest"), st.datetimes(timezones=st.timezones()).map(str), KEYS).map(encoded)
    | st.tuples(st.just("tag:name"), st.text(st.characters(codec="utf-8")), KEYS).map(encoded)
)
@example(cursor=encoded(["post:newest", "2026-01-01T00:00:00+16:00", 1]))
@example(cursor=encoded(["post:newest", "0001-01-01T00:00:00+00:00", MAX_KEY]))
@example(cursor=encoded(["tag:name", "\\%_'\"", 1]))
async def test_no_cursor_breaks_the_api(api: Api, argument: str, cursor: str) -> None:
    fields = " ".join(f"{name}({argument}: $cursor) {{ nodes {{ id }} }}" for name in CONNECTIONS)
    answer = await api(f"query($cursor: String!) {{ {fields} }}", cursor=cursor)
    assert set(answer.codes) <= {"BAD_USER_INPUT"}


@pytest.mark.django_db
@some
@given(id=st.text(st.characters(codec="utf-8")) | st.sampled_from([id for id in NOT_IDS if id != "\ud800"]))
async def test_no_id_breaks_the_api(api: Api, id: str) -> None:
    query = """query($id: ID!) {
      node(id: $id) { id } nodes(ids: [$id]) { id } post(id: $id) { id } user(id: $id) { id } comment(id: $id) { id }
      posts(filter: {author: $id}) { nodes { id } }
    }"""
    answer = await api(query, id=id)
    assert set(answer.codes) == {"BAD_USER_INPUT"}


@pytest.mark.django_db
@pytest.mark.parametrize("type_name", sorted(LOADERS))
async def test_an_id_of_another_type_is_refused_by_every_field(api: Api, type_name: str) -> None:
    for field in {"post": "Post", "user": "User", "comment": "Comment"}.items():
        answer = await api(f"query($id: ID!) {{ {field[0]}(id: $id) {{ id }} }}", id=global_id(type_name, MAX_KEY))
        assert answer.codes == ([] if field[1] == type_name else ["BAD_USER_INPUT"])
    assert (await api("query($id: ID!) { node(id: $id) { id } }", id=global_id(type_name, MAX_KEY))).codes == []
    assert (await api("query($id: ID!) { node(id: $id) { id } }", id=global_id("Tagging", 1))).codes == [
        "BAD_USER_INPUT"
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("name", CONNECTIONS)
@pytest.mark.parametrize("sizes", ["first: 0", "first: -1", "first: 1000000000", "last: 0", "last: 101", "last: -5"])
async def test_a_size_out_of_bounds_is_refused(api: Api, name: str, sizes: str) -> None:
    answer = await api(f"{{ {name}({sizes}) {{ nodes {{ id }} }} }}")
    assert answer.codes == ["BAD_USER_INPUT"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", CONNECTIONS)
async def test_both_sizes_are_refused_and_a_null_counts_as_none(api: Api, name: str) -> None:
    assert (await api(f"{{ {name}(first: 1, last: 1) {{ nodes {{ id }} }} }}")).codes == ["BAD_USER_INPUT"]
    assert (await api(f"{{ {name}(first: 1, last: null, after: null) {{ nodes {{ id }} }} }}")).codes == []
