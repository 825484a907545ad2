"""Hostile values in every argument of every mutation and subscription: a coded refusal, and nothing is stored."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import connection
from django.utils import timezone
from graphql import GraphQLInputObjectType, GraphQLNonNull, get_named_type
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.comments.models import Comment
from apps.core.ids import global_id
from apps.posts.models import Post, Tag
from apps.users.models import SecurityEvent, Session, User
from schema.root import schema
from tests.api import Answer, Api
from tests.make import PASSWORD, Make, gid
from tests.streams import over_events

# Hundreds of requests over code that other tests have measured: coverage would take as long again.
pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]

MUTATIONS = schema._schema.type_map["Mutation"].fields  # type: ignore[attr-defined]  # it is an object type
INPUTS: dict[str, GraphQLInputObjectType] = {
    name: get_named_type(field.args["input"].type) for name, field in MUTATIONS.items() if field.args
}
TABLES = [model for app in ("users", "posts", "comments") for model in apps.get_app_config(app).get_models()]
# A refusal may be worth remembering.
TABLES.remove(SecurityEvent)


@dataclass
class World:
    """A user who is signed in, and rows of theirs that every mutation could change."""

    client: Api
    user: User
    post: Post
    comment: Comment
    tag: Tag
    session: Session
    renewed: int = 0

    def good(self, mutation: str) -> dict[str, Any]:
        """An input that the mutation accepts, but for tokens."""
        values: dict[str, Any] = {
            "id": gid(self.session if "Session" in mutation else self.comment if "Comment" in mutation else self.post),
            "postId": gid(self.post),
            "parentId": gid(self.comment),
            "email": f"new{self.renewed}@example.com",
            "password": PASSWORD,
            "currentPassword": PASSWORD,
            "newPassword": f"new {PASSWORD}",
            "refreshToken": "x",
            "useCookie": False,
            "token": "x",
            "newEmail": f"other{self.renewed}@example.com",
            "firstName": "Ann",
            "lastName": "Lee",
            "bio": "Bio.",
            "notifyOfComments": True,
            "notifyOfReplies": True,
            "title": "Title",
            "body": "Body.",
            "tags": [self.tag.slug],
            "publish": False,
            "publishAt": "2099-01-01T00:00:00Z",
            "version": self.post.version,
        }
        return {name: values[name] for name in INPUTS[mutation].fields}

    async def renew(self) -> None:
        """Make `good` good again after a mutation that was carried out."""
        self.renewed += 1
        await self.post.arefresh_from_db()
        # A new password has ended the session; `user` still holds the old one.
        await self.user.asave(update_fields=["password"])
        self.client = await self.client.as_(self.user)


@pytest.fixture
async def world(api: Api, make: Make) -> World:
    user, tag = await make.user(), await make.tag()
    post = await make.post(author=user, tags=[tag])
    comment = await make.comment(post=post, author=user)
    session = await Session.objects.acreate(user=user, expires_at=timezone.now() + timedelta(days=1))
    return World(await api.as_(user), user, post, comment, tag, session)


def stored() -> list[Any]:
    """All rows of all tables."""
    return [list(model._default_manager.order_by("pk").values()) for model in TABLES]


async def send(client: Api, mutation: str, input: dict[str, Any]) -> Answer:
    query = f"mutation($input: {INPUTS[mutation].name}!) {{ {mutation}(input: $input) {{ errors {{ code field }} }} }}"
    # Not httpx's json: it cannot write lone surrogates, which a client can.
    body = json.dumps({"query": query, "variables": {"input": input}})
    return await client.post(content=body, headers={"Content-Type": "application/json"})


def refusals(answer: Answer) -> list[str]:
    """The codes of an answer that has to be a refusal, of whichever kind."""
    if answer.codes:
        assert not answer.body.get("data")
        return answer.codes
    [payload] = answer.body["data"].values()
    return [error["code"] for error in payload["errors"]]


def fields_of(kind: str) -> list[tuple[str, str]]:
    """Each argument of this type, of each mutation."""
    return [
        (mutation, name)
        for mutation, input in INPUTS.items()
        for name, field in input.fields.items()
        if get_named_type(field.type).name == kind
    ]


def as_given(mutation: str, field: str, value: Any) -> Any:
    return [value] if field == "tags" else value


UNSTORABLE = ["nul\x00", "\x00", "\ud800", "x\udfff", "\udc00\ud800"]
MULTILINE = {"body", "bio"}
SECRETS = {"password", "currentPassword", "newPassword", "refreshToken", "token"}


@pytest.mark.parametrize(("mutation", "field"), fields_of("String"))
async def test_text_that_cannot_be_stored(world: World, mutation: str, field: str) -> None:
    before = await sync_to_async(stored)()
    for value in UNSTORABLE:
        answer = await send(world.client, mutation, world.good(mutation) | {field: as_given(mutation, field, value)})
        assert refusals(answer), value
        assert "INTERNAL" not in refusals(answer)
    assert await sync_to_async(stored)() == before


@pytest.mark.parametrize(("mutation", "field"), fields_of("String"))
async def test_text_of_a_megabyte(world: World, mutation: str, field: str) -> None:
    before = await sync_to_async(stored)()
    for value in ("x" * 1_000_000, "\U0001f600" * 150_000, "a" + "\u0301\u0316" * 150_000):
        answer = await send(world.client, mutation, world.good(mutation) | {field: as_given(mutation, field, value)})
        assert refusals(answer)
        assert set(refusals(answer)) <= {"INVALID", "INVALID_CREDENTIALS", "INVALID_TOKEN"}
        assert len(json.dumps(answer.body)) < 10_000
    assert await sync_to_async(stored)() == before


BLANK = ["", " ", "\t\r\n", "\u00a0", "\u200b", "\u2060\ufeff", "\u200d \u200c", "\u00ad"]
MAY_BE_BLANK = {"lastName", "bio"}


@pytest.mark.parametrize(("mutation", "field"), fields_of("String"))
async def test_blank_text(world: World, mutation: str, field: str) -> None:
    optional = field in MAY_BE_BLANK or (mutation in {"createPost", "updatePost"} and field == "body")
    for value in BLANK:
        before = await sync_to_async(stored)()
        answer = await send(world.client, mutation, world.good(mutation) | {field: as_given(mutation, field, value)})
        assert not answer.codes
        if optional:
            assert refusals(answer) == [], repr(value)
            await world.renew()
            continue
        assert refusals(answer), repr(value)
        assert await sync_to_async(stored)() == before


@pytest.mark.parametrize(("mutation", "field"), fields_of("String"))
async def test_control_characters(world: World, mutation: str, field: str) -> None:
    """Refused in a single line; kept in a body and in a password, where they do no harm."""
    for control in ("\x1b[31m", "\x7f", "\x85", "\u2028", "\x01"):
        value = f"before{control}after"
        before = await sync_to_async(stored)()
        answer = await send(world.client, mutation, world.good(mutation) | {field: as_given(mutation, field, value)})
        assert not answer.codes
        if field in MULTILINE or field in SECRETS:
            assert set(refusals(answer)) <= {"INVALID_CREDENTIALS", "INVALID_TOKEN"}, repr(value)
            await world.renew()
            continue
        assert refusals(answer), repr(value)
        assert await sync_to_async(stored)() == before


BAD_IDS = [
    "",
    " ",
    "x",
    "1",
    "0",
    "-1",
    1,
    0,
    -1,
    2**53,
    "\x00",
    "\ud800",
    "é" * 10,
    "=" * 50,
    "x" * 1_000_000,
    "9" * 5_000,
    *(global_id("Post", key) for key in (0, -1, 2**63, 2**64, 10**100)),
    *(global_id("Comment", key) for key in (0, -1, 2**63)),
    *(global_id(kind, 1) for kind in ("User", "Tag", "Session", "Nothing", "", "post", "Post:1", "Post ")),
    global_id("Post", 10) + "=",
    global_id("Post", 10).rstrip("="),
    f" {global_id('Post', 1)}",
]


@pytest.mark.parametrize(("mutation", "field"), fields_of("ID"))
async def test_ids_that_are_none(world: World, mutation: str, field: str) -> None:
    before = await sync_to_async(stored)()
    for value in BAD_IDS:
        if mutation == "revokeSession" and value == global_id("Session", 1):
            continue
        answer = await send(world.client, mutation, world.good(mutation) | {field: value})
        # Half a surrogate pair does not even pass as JSON.
        assert refusals(answer) == ["BAD_USER_INPUT" if value == "\ud800" else "INVALID"], value
        assert len(json.dumps(answer.body)) < 10_000
    for number in (2**63 - 1, 2**62):
        kind = "Comment" if "Comment" in mutation and field != "postId" else "Post"
        answer = await send(world.client, mutation, world.good(mutation) | {field: global_id(kind, number)})
        assert refusals(answer)[0] in {"NOT_FOUND", "INVALID"}
    assert await sync_to_async(stored)() == before


async def test_ids_that_are_none_keep_subscriptions_from_beginning(world: World) -> None:
    operation = "subscription($id: ID!) { commentAdded(postId: $id) { id } }"
    numbers = [global_id("Post", number) for number in (2**63 - 1, 2**62)]
    for value in [*BAD_IDS, *numbers]:
        async with over_events(operation, world.client.token, id=value) as live:
            [error, *_] = await live.refused()
        code = error["extensions"]["code"]
        assert code in ({"NOT_FOUND"} if value in numbers else {"BAD_USER_INPUT", "QUERY_TOO_COMPLEX"}), value


BAD_DATES = [
    "",
    "now",
    "tomorrow",
    "2020-01-01",
    "2099-13-01T00:00:00Z",
    "2099-02-30T00:00:00Z",
    "2099-01-01T25:00:00Z",
    "2099-01-01T00:00:00",  # no zone: whose midnight?
    "2099-01-01T00:00:00+99:99",
    "2099-01-01T00:00:00+24:00",
    "2099-01-01T00:00:00 Europe/Vienna",
    "2000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "0000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "9" * 5_000,
    "2099-01-01T00:00:00\x00",
    "\ud800",
    1,
    1.5,
    True,
    [],
    {},
]


@pytest.mark.parametrize(("mutation", "field"), fields_of("DateTime"))
async def test_dates_that_are_none_or_past(world: World, mutation: str, field: str) -> None:
    await Post.objects.filter(pk=world.post.pk).aupdate(status="draft", published_at=None)
    before = await sync_to_async(stored)()
    for value in BAD_DATES:
        answer = await send(world.client, mutation, world.good(mutation) | {field: value})
        assert set(refusals(answer)) <= {"INVALID", "BAD_USER_INPUT"}, value
        assert refusals(answer), value
    assert await sync_to_async(stored)() == before


@pytest.mark.parametrize(("mutation", "field"), fields_of("DateTime"))
@pytest.mark.parametrize(
    "value", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999+00:00", "2400-02-29T00:00:00+14:00"]
)
async def test_far_dates_are_kept_or_refused_and_can_be_read(
    world: World, mutation: str, field: str, value: str
) -> None:
    await Post.objects.filter(pk=world.post.pk).aupdate(status="draft", published_at=None)
    answer = await send(world.client, mutation, world.good(mutation) | {field: value})
    assert not answer.codes
    listed = await world.client("{ posts(orderBy: NEWEST) { edges { cursor node { publishedAt } } } }")
    after = listed.data["posts"]["edges"][0]["cursor"]
    assert (await world.client("query($c: String) { posts(after: $c) { nodes { id } } }", c=after)).codes == []


BAD_VERSIONS = [0, -1, 2, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 2**63, 2**64, 10**30, 1.5, "1", True, None, [], {}]


@pytest.mark.parametrize(("mutation", "field"), fields_of("Int"))
async def test_numbers_that_are_no_version(world: World, mutation: str, field: str) -> None:
    before = await sync_to_async(stored)()
    for value in BAD_VERSIONS:
        answer = await send(world.client, mutation, world.good(mutation) | {field: value})
        assert refusals(answer) in (["CONFLICT"], ["BAD_USER_INPUT"]), value
    assert await sync_to_async(stored)() == before


WRONG_TYPES: list[Any] = [1, 1.5, True, {}, {"x": 1}, [[1]], [None]]
ACCEPTED: list[tuple[str, Any]] = [("ID", 1), ("Int", 1), ("Boolean", True)]


@pytest.mark.parametrize("mutation", INPUTS)
async def test_values_of_another_type_and_unknown_and_missing_fields(world: World, mutation: str) -> None:
    before = await sync_to_async(stored)()
    good = world.good(mutation)
    for name, field in INPUTS[mutation].fields.items():
        kind = get_named_type(field.type).name
        for value in WRONG_TYPES:
            if (kind, value) in ACCEPTED:
                continue
            answer = await send(world.client, mutation, good | {name: value})
            assert set(refusals(answer)) == {"BAD_USER_INPUT"}, (name, value)
        if isinstance(field.type, GraphQLNonNull):
            assert set(refusals(await send(world.client, mutation, good | {name: None}))) == {"BAD_USER_INPUT"}
            if field.default_value is not None and name not in {"body", "tags", "publish", "lastName", "useCookie"}:
                without = {key: value for key, value in good.items() if key != name}
                assert refusals(await send(world.client, mutation, without)) == ["BAD_USER_INPUT"]
    assert refusals(await send(world.client, mutation, good | {"isStaff": True})) == ["BAD_USER_INPUT"]
    assert await sync_to_async(stored)() == before


# What a token or an address says enough for.
OPEN = {
    *("register", "login", "refreshToken", "logout"),
    *("verifyEmail", "requestEmailVerification", "requestPasswordReset", "resetPassword", "changeEmail"),
}


@pytest.mark.parametrize("mutation", sorted(set(INPUTS) - OPEN))
async def test_nobody_changes_anything_without_signing_in(api: Api, world: World, mutation: str) -> None:
    before = await sync_to_async(stored)()
    answer = await send(api, mutation, world.good(mutation))
    assert refusals(answer) == ["UNAUTHENTICATED"]
    assert await sync_to_async(stored)() == before


@pytest.mark.parametrize(
    "literal", ['"\\u0000"', '"\\uD800"', '"\\uDC00\\uD800"', '"\\u{D800}"', '"\\u{110000}"', '"\x00"', '"""\x00"""']
)
async def test_literals_that_cannot_be_stored(world: World, literal: str) -> None:
    new_user = ", ".join(f"{name}: {literal}" for name in ("email", "password", "firstName"))
    before = await sync_to_async(stored)()
    for query in (
        f"mutation {{ createPost(input: {{title: {literal}}}) {{ errors {{ code }} }} }}",
        f"mutation {{ updateProfile(input: {{bio: {literal}}}) {{ errors {{ code }} }} }}",
        f"mutation {{ register(input: {{{new_user}}}) {{ errors {{ code }} }} }}",
        f"mutation {{ login(input: {{email: {literal}, password: {literal}}}) {{ errors {{ code }} }} }}",
        f'mutation {{ addComment(input: {{postId: "{gid(world.post)}", body: {literal}}}) {{ errors {{ code }} }} }}',
    ):
        answer = await world.client.post(
            content=json.dumps({"query": query}), headers={"Content-Type": "application/json"}
        )
        assert set(refusals(answer)) <= {"INVALID", "GRAPHQL_PARSE_FAILED", "INVALID_CREDENTIALS"}
        assert refusals(answer)
    assert await sync_to_async(stored)() == before


async def test_searches_and_filters_take_any_text(world: World) -> None:
    query = (
        "query($s: String) { posts(filter: {search: $s}) { totalCount } users(filter: {search: $s}) { totalCount } }"
    )
    for value in ["'", "\\", "%", "_", "&|!():*<->", "a'; DROP TABLE posts_post; --", "-", '"', "\u200b", "x" * 250]:
        answer = await world.client(query, s=value)
        assert answer.codes == [], value
    for value in [*UNSTORABLE, "x" * 251, "x" * 1_000_000]:
        body = json.dumps({"query": query, "variables": {"s": value}})
        answer = await world.client.post(content=body, headers={"Content-Type": "application/json"})
        assert set(answer.codes) == {"BAD_USER_INPUT"}, value[:20]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_json_is_carried_out_or_refused(world: World, data: st.DataObject) -> None:
    mutation = data.draw(st.sampled_from(sorted(INPUTS)))
    good = world.good(mutation)
    name = data.draw(st.sampled_from(sorted(good)))
    answer = await send(world.client, mutation, good | {name: data.draw(JSON)})
    assert not {"INTERNAL", "SERVICE_UNAVAILABLE"} & set(answer.codes)


def test_no_table_is_left_out() -> None:
    tables = set(connection.introspection.table_names())
    assert {model._meta.db_table for model in TABLES} <= tables
    assert {"users_user", "users_session", "users_refreshtoken", "posts_post", "comments_comment"} <= {
        model._meta.db_table for model in TABLES
    }
