"""Where PUBLIC_READS is false, an anonymous client can sign in and do nothing else: no operation shows it a row."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import override_settings
from graphql import GraphQLField, GraphQLObjectType
from hypothesis import given
from hypothesis import strategies as st

from apps.users import email_tokens
from apps.users.models import EmailTokenPurpose
from schema.root import schema
from tests.api import Api
from tests.make import PASSWORD, Make, gid
from tests.selections import TYPES, root_fields, selection_of
from tests.streams import over_socket

pytestmark = pytest.mark.django_db

OPEN = {
    *("register", "login", "refreshToken", "logout"),
    *("verifyEmail", "requestEmailVerification", "requestPasswordReset", "resetPassword", "changeEmail"),
}
# What a query needs to be valid. The values are nobody's, so that what is let through fails or shows nothing.
ARGUMENTS = {"node": 'id: "x"', "nodes": 'ids: ["x"]', "user": 'id: "x"', "post": 'id: "x"', "comment": 'id: "x"'}
NEW = {"email": "ann@example.com", "password": PASSWORD, "firstName": "Ann"}


@pytest.fixture(autouse=True)
def closed(settings: Any) -> None:
    settings.PUBLIC_READS = False


def mutations() -> dict[str, GraphQLField]:
    kind = TYPES["Mutation"]
    assert isinstance(kind, GraphQLObjectType)
    fields: dict[str, GraphQLField] = kind.fields
    return fields


def mutation(name: str, selection: str) -> str:
    return f"mutation($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {selection} }}"


async def assert_refused(api: Api, operation: str, **variables: Any) -> None:
    answer = await api(operation, **variables)
    assert (answer.status, answer.codes, answer.statements) == (401, ["UNAUTHENTICATED"], 0)
    assert answer.body["errors"][0]["message"] == "Sign in first."
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "data" not in answer.body


@pytest.mark.parametrize("name", root_fields())
async def test_no_query_is_carried_out(api: Api, make: Make, name: str) -> None:
    await make.comment()
    field = f"{name}({ARGUMENTS[name]})" if name in ARGUMENTS else name
    await assert_refused(api, f"{{ {field} {selection_of(root_fields()[name], 0)} }}")


def subscriptions() -> list[str]:
    kind = TYPES["Subscription"]
    assert isinstance(kind, GraphQLObjectType)
    return list(kind.fields)


@pytest.mark.parametrize("name", subscriptions())
async def test_no_subscription_begins(api: Api, make: Make, name: str) -> None:
    field = {"commentAdded": f'commentAdded(postId: "{gid(await make.post())}")'}.get(name, name)
    await assert_refused(api, f"subscription {{ {field} {{ id }} }}")
    async with over_socket(f"subscription {{ {field} {{ id }} }}") as live:
        [error] = await live.refused()
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", sorted(mutations().keys() - OPEN))
async def test_no_mutation_is_carried_out_but_those_that_are_open(api: Api, name: str) -> None:
    if mutations()[name].args:
        await assert_refused(api, mutation(name, "{ errors { code } }"), input={})
    else:
        await assert_refused(api, f"mutation {{ {name} {{ errors {{ code }} }} }}")


@pytest.mark.parametrize(
    ("name", "input"),
    [
        ("register", NEW),
        ("login", {"email": "owner@example.com", "password": f"not {PASSWORD}"}),
        ("refreshToken", {"refreshToken": "x"}),
        ("logout", {"refreshToken": "x"}),
        ("verifyEmail", {"token": "x"}),
        ("requestEmailVerification", {"email": "x"}),
        ("requestPasswordReset", {"email": "x"}),
        ("resetPassword", {"token": "x", "newPassword": PASSWORD}),
        ("changeEmail", {"token": "x"}),
    ],
)
async def test_an_open_mutation_shows_no_row_to_who_has_proved_nothing(
    api: Api, make: Make, name: str, input: dict[str, str]
) -> None:
    await make.comment(author=await make.user(email="owner@example.com"))
    answer = await api(mutation(name, selection_of(mutations()[name], 1)), input=input)
    payload = answer.data[name]
    assert bool(payload.pop("errors")) == (name != "register")
    assert payload == dict.fromkeys(payload)


def test_the_open_mutations_are_those_that_are_tried_here() -> None:
    opened = {
        name
        for name, field in mutations().items()
        if field.args and schema.documents.operation(mutation(name, "{ errors { code } }"), None).is_open
    }
    assert opened == OPEN


@pytest.mark.parametrize(("name", "purpose"), [("verifyEmail", "verify_email"), ("changeEmail", "change_email")])
async def test_whoever_brings_a_token_from_a_mail_sees_no_row(api: Api, make: Make, name: str, purpose: str) -> None:
    user = await make.user(email="owner@example.com")
    token = await sync_to_async(email_tokens.issue)(user, EmailTokenPurpose(purpose), user.email)
    answer = await api(mutation(name, selection_of(mutations()[name], 1)), input={"token": token})
    assert answer.data[name] == {"user": None, "errors": []}


async def test_who_has_signed_in_reads(api: Api, make: Make) -> None:
    post = await make.post()
    await api.payload("register", "", **NEW)
    selection = "accessToken user { firstName posts { nodes { id } } }"
    payload = await api.payload("login", selection, email=NEW["email"], password=PASSWORD)
    assert payload["user"] == {"firstName": "Ann", "posts": {"nodes": []}}
    ann = api.with_token(payload["accessToken"])
    assert (await ann("{ posts { nodes { id } } }")).data["posts"]["nodes"] == [{"id": gid(post)}]
    assert (await ann.payload("register", "user { firstName }", **NEW | {"email": "bob@example.com"}))["user"]


async def test_who_has_signed_out_is_anonymous_for_the_rest_of_the_operation(api: Api, make: Make) -> None:
    user = await make.user()
    tokens = await api.payload("login", "accessToken refreshToken", email=user.email, password=PASSWORD)
    operation = """mutation($token: String!, $new: RegisterInput!) {
      logout(input: {refreshToken: $token}) { success }
      register(input: $new) { user { id } errors { code } }
    }"""
    answer = await api.with_token(tokens["accessToken"])(operation, token=tokens["refreshToken"], new=NEW)
    assert answer.data == {"logout": {"success": True}, "register": {"user": None, "errors": []}}


async def test_the_schema_can_be_read(api: Api) -> None:
    assert (await api('{ __typename __type(name: "Post") { name } }')).data["__type"] == {"name": "Post"}


async def test_other_pages_are_as_they_were(api: Api) -> None:
    assert (await api.client.get("/healthz")).status_code == 200
    # 503 where the explorer is not built.
    assert (await api.client.get("/graphql/", headers={"Accept": "text/html"})).status_code in {200, 503}


async def test_another_operation_of_the_document_keeps_nothing_closed(api: Api) -> None:
    document = "query Open { __typename } query Closed { posts { totalCount } }"
    assert (await api.post({"query": document, "operationName": "Open"})).data == {"__typename": "Query"}
    assert (await api.post({"query": document, "operationName": "Closed"})).status == 401


async def test_without_the_setting_nothing_is_closed(api: Api, make: Make, settings: Any) -> None:
    settings.PUBLIC_READS = True
    await make.post()
    assert (await api("{ posts { totalCount } }")).data == {"posts": {"totalCount": 1}}
    assert (await api.payload("register", "user { firstName }", **NEW))["user"] == {"firstName": "Ann"}


# A selection is a field, or a fragment with further selections: inline, with or without a type, or by name.
FIELDS = {
    'logout(input: {refreshToken: "x"}) { success }': True,
    "__typename": True,
    'archivePost(input: {id: "x"}) { errors { code } }': False,
}
SELECTIONS: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(sorted(FIELDS)),
    lambda inner: st.tuples(
        st.sampled_from(["...", "... on Mutation", "... @include(if: true)", "named"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


@given(st.lists(SELECTIONS, min_size=1, max_size=3))
def test_an_operation_is_open_when_all_its_root_fields_are(selections: list[Any]) -> None:
    fragments: list[str] = []
    aliases = (f"a{number}" for number in range(1_000))
    fields: list[str] = []

    def written(selection: Any) -> str:
        if isinstance(selection, str):
            fields.append(selection)
            return f"{next(aliases)}: {selection}"
        kind, inner = selection
        body = " ".join(map(written, inner))
        if kind != "named":
            return f"{kind} {{ {body} }}"
        fragments.append(f"fragment F{len(fragments)} on Mutation {{ {body} }}")
        spread = f"...F{len(fragments) - 1}"
        return f"{spread} {spread}"

    body = " ".join(map(written, selections))
    # A fragment that is spread twice counts twice.
    with override_settings(GRAPHQL_MAX_ALIASES=10_000):
        operation = schema.documents.operation(" ".join([f"mutation {{ {body} }}", *fragments]), None)
    assert operation.is_open == all(FIELDS[field] for field in fields)
