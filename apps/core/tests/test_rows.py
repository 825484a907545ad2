"""Rows are what Django would have read, whatever the columns hold; and one statement serves all viewers of a kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    GenericIPAddressField,
    Model,
    TextField,
)
from django.db.models.functions import Now, TruncDate
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from apps.comments.models import Comment
from apps.core.rows import KEYS, Statement, Statements, compiled, fetch, on_djangos_connection
from apps.posts.models import Post, PostStatus, Tag
from apps.users.models import Session, User
from tests.make import Make, make_comment, make_post, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_stays_connected")]

# What PostgreSQL cannot hold: NUL, and halves of surrogate pairs.
STORABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
# A character that has no capitals, by anybody's version of Unicode.
LOWER_CASE = st.characters(exclude_categories=["Cs", "Cn", "Co", "Lu", "Lt"], exclude_characters="\x00").filter(
    lambda character: character.lower() == character
)
EDGES = [
    datetime.min,
    datetime.max,
    datetime(1, 1, 1, microsecond=1),
    datetime(999, 12, 31, 23, 59, 59, 999_999),
    datetime(1883, 11, 18, 12, 3, 58),
    datetime(1969, 12, 31, 23, 59, 59, 999_999),
    datetime(2000, 2, 29, microsecond=10),
    datetime(2026, 3, 29, 1, 30),
    datetime(2026, 10, 25, 1, 30, microsecond=100_000),
]
MOMENTS = st.one_of(st.sampled_from(EDGES), st.datetimes()).map(lambda moment: moment.replace(tzinfo=UTC))
ADDRESSES = st.one_of(
    st.sampled_from(["0.0.0.0", "255.255.255.255", "::", "::1", "::ffff:192.0.2.1", "fe80::1", "2001:db8::"]),  # noqa: S104
    st.ip_addresses().map(str),
)
# Not in the way of the rows that the others belong to.
FIRST_KEY = 1_000_000
NOBODY: User | None = None


# Values


@dataclass(frozen=True, slots=True)
class Owners:
    """Rows that drawn ones belong to."""

    user: User
    post: Post
    comment: Comment


def make_owners() -> Owners:
    user = make_user()
    post = make_post(author=user)
    return Owners(user, post, make_comment(post=post, author=user))


def values_of(field: Field[Any, Any]) -> st.SearchStrategy[Any]:
    """What the column of `field` can hold, as far as its type says."""
    values: st.SearchStrategy[Any]
    if field.choices:
        values = st.sampled_from([value for value, _ in field.choices])
    elif isinstance(field, BooleanField):
        values = st.booleans()
    elif isinstance(field, DateTimeField):
        values = MOMENTS
    elif isinstance(field, GenericIPAddressField):
        values = ADDRESSES
    elif isinstance(field, CharField | TextField):
        values = st.text(LOWER_CASE if field.name == "email" else STORABLE, max_size=field.max_length or 300)
    else:
        least, most = connection.ops.integer_field_range(field.get_internal_type())
        assert least is not None
        assert most is not None
        least = FIRST_KEY if field.primary_key else max(least, 0)
        values = st.one_of(st.sampled_from([least, most]), st.integers(least, most))
    return st.none() | values if field.null else values


def rows_of(model: type[Model]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows of `model` with any values; its constraints come into them with `fitted`."""
    drawn = {field.attname: values_of(field) for field in columns_of(model) if not field.is_relation}
    return st.lists(st.fixed_dictionaries(drawn), min_size=1, max_size=6, unique_by=lambda row: row["id"])


def columns_of(model: type[Model]) -> list[Field[Any, Any]]:
    """Those that are written."""
    return [field for field in model._meta.concrete_fields if not field.generated]


def fitted(model: type[Model], number: int, row: dict[str, Any], owners: Owners) -> dict[str, Any]:
    """`row` within the constraints of its table. `number` tells it from the others."""

    lengths = {field.name: field.max_length for field in columns_of(model)}

    def unique(name: str) -> str:
        return f"{number}:{row[name]}"[: lengths[name]]

    if model is User:
        return row | {"email": unique("email")}
    if model is Session:
        return row | {"user_id": owners.user.pk}
    if model is Tag:
        return row | {"name": unique("name"), "slug": unique("slug")}
    if model is Post:
        published_at = row["published_at"]
        if row["status"] == PostStatus.DRAFT:
            published_at = None
        elif row["status"] != PostStatus.ARCHIVED:
            published_at = published_at or row["created_at"]
        own = {"author_id": owners.user.pk, "published_at": published_at, "slug": unique("slug")}
        return row | own | {"title": row["title"] or " "}
    assert model is Comment
    place: dict[str, Any] = {"depth": 0, "parent_id": None}
    if row["depth"] % 2:
        place = {"depth": row["depth"] % 8 + 1, "parent_id": owners.comment.pk}
    body = "" if row["deleted_at"] else row["body"] or "\n"
    return row | place | {"post_id": owners.post.pk, "author_id": owners.user.pk, "body": body}


def write_and_read(model: type[Model], rows: list[dict[str, Any]]) -> list[Model]:
    """`rows` as Django reads them, instead of those of the example before."""
    stored = model._base_manager.filter(pk__gte=FIRST_KEY)
    stored.delete()
    model._base_manager.bulk_create(model(**row) for row in rows)
    return list(stored.order_by("pk"))


@pytest.fixture
async def owners() -> Owners:
    return await sync_to_async(make_owners)()


# The pool and the table are the same for all examples.
@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("model", [User, Session, Post, Tag, Comment])
async def test_rows_have_djangos_values_whatever_they_are(
    read_pool: None, owners: Owners, model: type[Model], data: st.DataObject
) -> None:
    drawn = data.draw(rows_of(model))
    written = [fitted(model, number, row, owners) for number, row in enumerate(drawn)]
    instances = await sync_to_async(write_and_read)(model, written)
    assert len(instances) == len(written)
    queryset = model._base_manager.filter(pk__gte=FIRST_KEY).order_by("pk")
    on_the_pool: list[Any] = await fetch(queryset)
    with on_djangos_connection():
        on_djangos: list[Any] = await fetch(queryset)
    for instance, *rows in zip(instances, on_the_pool, on_djangos, strict=True):
        for name in (field.attname for field in model._meta.concrete_fields):
            for row in rows:
                assert_same(getattr(row, name), getattr(instance, name))


def assert_same(value: Any, expected: Any) -> None:
    assert type(value) is type(expected)
    assert value == expected
    if isinstance(value, datetime):
        assert value.tzinfo == expected.tzinfo == UTC
        assert orjson.loads(orjson.dumps(value)) == expected.isoformat()


@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(slugs=st.lists(st.text(STORABLE, max_size=60) | st.sampled_from(["", "NULL", '"', "\\", "{,}"]), unique=True))
async def test_keys_of_any_text_find_their_rows(read_pool: None, slugs: list[str]) -> None:
    await sync_to_async(Tag.objects.all().delete)()
    await Tag.objects.abulk_create(Tag(name=str(place), slug=slug) for place, slug in enumerate(slugs))
    statement = compiled(Tag.objects.filter(slug__any_of=KEYS).order_by("pk"))
    assert [tag.slug for tag in await statement.fetch(slugs)] == slugs
    assert [tag.slug for tag in await statement.fetch(slugs[1:])] == slugs[1:]
    with on_djangos_connection():
        assert [tag.slug for tag in await statement.fetch(slugs)] == slugs


async def test_a_row_is_the_row_that_it_was_read_from(read_pool: None, make: Make) -> None:
    post, other = [await make.post() for _ in range(2)]
    queryset = Post.objects.filter(pk=post.pk)
    rows: list[Any] = [post, *await fetch(queryset), *await fetch(queryset, {"title"})]
    assert len(rows) == 3
    for one in rows:
        for same in rows:
            assert one == same
            assert not one != same  # noqa: SIM202  (it is another method)
            assert hash(one) == hash(same)
        for different in (other, post.author, User(pk=post.pk), post.pk, None):
            assert one != different
            assert not one == different  # noqa: SIM201


@pytest.mark.parametrize("make_member", [staticmethod, classmethod])
async def test_a_row_has_the_static_and_the_class_methods_of_its_model(
    read_pool: None, make: Make, monkeypatch: pytest.MonkeyPatch, make_member: Callable[[Any], Any]
) -> None:
    def given(*values: Any) -> tuple[Any, ...]:
        return values

    monkeypatch.setattr(Post, "given", make_member(given), raising=False)
    post: Any = await make.post()
    row: Any
    [row] = await fetch(Post.objects.all(), {"title"})
    assert row.given(1) == post.given(1)


# Statements


def times_compiled(compile: Callable[[], Statement[Any]]) -> int:
    """How often `compile` is called when its statement is asked for three times."""
    statements: Statements[Any] = Statements()
    calls: list[object] = []

    def counted(anyone: User | None) -> Statement[Any]:
        calls.append(anyone)
        return compile()

    for _ in range(3):
        statements.of(NOBODY, "shape", counted)
    return len(calls)


def test_a_statement_that_holds_a_moment_is_not_kept() -> None:
    posts = Post.objects.all()
    for narrowed in (
        posts.filter(dated_at__lte=timezone.now()),
        posts.filter(dated_at__range=(timezone.now() - timedelta(days=1), timezone.now())),
        posts.filter(dated_at__in=[timezone.now()]),
        posts.filter(status="published").exclude(published_at__gt=timezone.now()),
        posts.annotate(day=TruncDate("dated_at")).filter(day=date(2026, 1, 1)),
    ):
        assert times_compiled(lambda narrowed=narrowed: compiled(narrowed)) == 3  # type: ignore[misc]
    for timeless in (posts, posts.filter(title="x"), posts.filter(dated_at__lte=Now()), posts.filter(pk__any_of=KEYS)):
        assert times_compiled(lambda timeless=timeless: compiled(timeless)) == 1  # type: ignore[misc]
    assert times_compiled(lambda: compiled(Post.objects.none())) == 1


def test_a_statement_that_holds_moments_in_a_list_is_not_kept() -> None:
    assert times_compiled(lambda: compiled(Post.objects.filter(dated_at__any_of=[timezone.now()]))) == 3


async def test_a_statement_is_as_late_as_its_request(read_pool: None, make: Make) -> None:
    """What was published between two requests is seen by the second, though both ask for what is out by now."""
    statements: Statements[Post] = Statements()

    def out_by_now(viewer: User | None) -> Statement[Post]:
        return compiled(Post.objects.filter(published_at__lte=timezone.now()))

    async def published() -> list[int]:
        return [row.pk for row in await statements.of(NOBODY, "out", out_by_now).fetch()]

    assert await published() == []
    post = await make.post(published_at=timezone.now())
    assert await published() == [post.pk]


def test_statements_are_forgotten_least_recently_used_first() -> None:
    statements: Statements[Any] = Statements(size=3)
    asked: list[int] = []

    def ask(number: int) -> None:
        def compile(viewer: User | None) -> Statement[Any]:
            asked.append(number)
            return compiled(Post.objects.filter(version=number))

        statements.of(NOBODY, number, compile)

    for number in (1, 2, 3, 1, 4, 1, 3):
        ask(number)
    assert asked == [1, 2, 3, 4]
    ask(2)
    assert asked == [1, 2, 3, 4, 2]
    for number in range(100):
        ask(number)
    assert len(statements._statements) == 3


def test_a_shape_that_cannot_be_kept_is_compiled_each_time() -> None:
    statements: Statements[Any] = Statements()
    shape: Any = ["a list"]
    made = [statements.of(NOBODY, shape, lambda viewer: compiled(Post.objects.all())) for _ in range(2)]
    assert made[0] is not made[1]
