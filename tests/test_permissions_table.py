"""Every query, mutation and subscription as everybody: what happens is what the table in docs/permissions.md says."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from graphql import GraphQLObjectType

from apps.comments.tasks import comments_on
from apps.core.client import Client
from apps.core.ids import global_id
from apps.posts.models import PostStatus
from apps.posts.tasks import POST_PUBLISHED
from apps.users import email_tokens
from apps.users.models import EmailTokenPurpose, User
from apps.users.services import session_start
from schema.relay import parse_global_id
from tests.api import Api
from tests.make import PASSWORD, access_token, gid, make_comment, make_post, make_tag, make_user
from tests.selections import TYPES
from tests.streams import heard

# Hundreds of requests over code that other tests have measured: coverage would take as long again.
pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "permissions.md"
CLOSED = "anonymous, closed"
NEW_PASSWORD, NEW_EMAIL = f"new {PASSWORD}", "new@example.com"


def read_table() -> dict[str, dict[str, str]]:
    """What stands in the document: for each field, from who asks to what happens."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in DOCUMENT.read_text().splitlines()]
    [(_, *roles)] = [row for row in cells if row[0] == "field"]
    names = [(re.fullmatch(r"`(\w+\.\w+)`", row[0]), row[1:]) for row in cells]
    rows = [(name[1], happens) for name, happens in names if name]
    table = {name: dict(zip(roles, happens, strict=True)) for name, happens in rows}
    assert len(table) == len(rows), "a field stands there twice"
    return table


TABLE = read_table()


# Whose rows are seen, in the word of the table.
WORDS = {
    ("public",): "public",
    ("public", "own"): "own",
    ("public", "hidden"): "all",
    ("public", "own", "hidden"): "all",
}


@dataclass(frozen=True)
class House:
    """What things are tried on, the owner's, and the client of who tries.

    Of each type the ids of a row that everybody sees, of one that its owner sees, and of one that few see.
    """

    client: Api
    owner: User
    session: str
    refresh_token: str
    mailed: dict[EmailTokenPurpose, str]
    posts: dict[str, str]
    comments: dict[str, str]
    users: dict[str, str]
    tags: dict[str, str]


def make_house(api: Api, role: str) -> House:
    owner, other, locked = make_user(email_verified_at=timezone.now()), make_user(), make_user(is_active=False)
    posts = {
        "public": make_post(author=owner),
        "own": make_post(author=owner, status=PostStatus.DRAFT),
        "hidden": make_post(author=other, status=PostStatus.DRAFT),
    }
    writers = {"public": owner, "own": owner, "hidden": other}
    comments = {kind: make_comment(post=post, author=writers[kind]) for kind, post in posts.items()}
    addresses = dict.fromkeys(EmailTokenPurpose, owner.email) | {EmailTokenPurpose.CHANGE_EMAIL: NEW_EMAIL}
    tokens = session_start(email=owner.email, password=PASSWORD, client=Client())
    return House(
        client=sign_in(api, role, owner),
        owner=owner,
        session=global_id("Session", tokens.session_id),
        refresh_token=tokens.refresh_token,
        mailed={purpose: email_tokens.issue(owner, purpose, address) for purpose, address in addresses.items()},
        posts={kind: gid(post) for kind, post in posts.items()},
        comments={kind: gid(comment) for kind, comment in comments.items()},
        users={"public": gid(owner), "hidden": gid(locked)},
        tags={"public": gid(make_tag())},
    )


def sign_in(api: Api, role: str, owner: User) -> Api:
    if role in {"anonymous", CLOSED}:
        return api
    user = owner if role == "owner" else make_user(role=role)  # there are no groups of strangers
    client = api.with_token(access_token(user))
    User.objects.filter(pk=user.pk).update(is_active=role != "deactivated")
    return client


# Something to try: gives the word that stands in the table.
Scenario = Callable[[House], Awaitable[str]]


class Refused(Exception):
    """The request as a whole was."""


async def ask(house: House, operation: str, **variables: Any) -> Any:
    answer = await house.client(operation, **variables)
    if answer.status == 401:
        assert answer.codes == ["UNAUTHENTICATED"]
        raise Refused
    return answer.data


def shows(rows: str, query: Callable[[list[str]], str]) -> Scenario:
    """Which of these rows of the house `query` shows, which gets the ids of all."""

    async def scenario(house: House) -> str:
        ids: dict[str, str] = getattr(house, rows)
        shown = json.dumps(await ask(house, f"{{ {query([*ids.values()])} }}"))
        return WORDS[tuple(kind for kind, id in ids.items() if f'"{id}"' in shown)]

    return scenario


def one_by_one(field: str) -> Callable[[list[str]], str]:
    return lambda ids: " ".join(f'a{place}: {field}(id: "{id}") {{ id }}' for place, id in enumerate(ids))


def has(rows: str, field: str) -> Scenario:
    """Whether `field` of the public row says something, or says yes."""

    async def scenario(house: House) -> str:
        query = f"query($id: ID!) {{ node(id: $id) {{ ... on {field.replace('.', ' { ')} }} }} }}"
        [value] = (await ask(house, query, id=getattr(house, rows)["public"]))["node"].values()
        if value is None:
            return "null"
        return "no" if value is False else "yes"

    return scenario


def does(mutation: str, input: Callable[[House], dict[str, Any]]) -> Scenario:
    async def scenario(house: House) -> str:
        name = f"{mutation[0].upper()}{mutation[1:]}Input!"
        operation = f"mutation($input: {name}) {{ {mutation}(input: $input) {{ errors {{ code }} }} }}"
        errors = (await ask(house, operation, input=input(house)))[mutation]["errors"]
        return errors[0]["code"] if errors else "yes"

    return scenario


async def asks_who_it_is(house: House) -> str:
    return "yes" if (await ask(house, "{ viewer { id } }"))["viewer"] else "null"


async def revokes_others(house: House) -> str:
    errors = (await ask(house, "mutation { revokeOtherSessions { errors { code } } }"))["revokeOtherSessions"]["errors"]
    return errors[0]["code"] if errors else "yes"


async def hears_of_posts(house: House) -> str:
    """Whose posts are told to who asks. What everybody hears is said last."""
    ids = [house.posts[kind] for kind in ("hidden", "own", "public")]
    told = await heard("subscription { postPublished { id } }", house.client.token, POST_PUBLISHED, ids)
    if told is None:
        raise Refused
    return WORDS[tuple(kind for kind, id in house.posts.items() if id in told)]


async def hears_of_comments(house: House) -> str:
    """On whose posts comments are told to who asks: on others no subscription begins."""
    told: list[str] = []
    for kind, post in house.posts.items():
        operation = f'subscription {{ commentAdded(postId: "{post}") {{ id }} }}'
        topic = comments_on(parse_global_id(post)[1])
        told += await heard(operation, house.client.token, topic, [house.comments[kind]]) or []
    if not told:
        raise Refused
    return WORDS[tuple(kind for kind, id in house.comments.items() if id in told)]


SCENARIOS: dict[str, Scenario] = {
    "Query.node": shows("posts", one_by_one("node")),
    "Query.nodes": shows("posts", lambda ids: f"nodes(ids: {json.dumps(ids)}) {{ id }}"),
    "Query.viewer": asks_who_it_is,
    "Query.user": shows("users", one_by_one("user")),
    "Query.users": shows("users", lambda ids: "users { nodes { id } }"),
    "Query.post": shows("posts", one_by_one("post")),
    "Query.posts": shows("posts", lambda ids: "posts { nodes { id } }"),
    "Query.tags": shows("tags", lambda ids: "tags { nodes { id } }"),
    "Query.comment": shows("comments", one_by_one("comment")),
    "Subscription.postPublished": hears_of_posts,
    "Subscription.commentAdded": hears_of_comments,
    "User.email": has("users", "User.email"),
    "User.emailVerified": has("users", "User.emailVerified"),
    "User.notifyOfComments": has("users", "User.notifyOfComments"),
    "User.notifyOfReplies": has("users", "User.notifyOfReplies"),
    "User.sessions": has("users", "User.sessions { id }"),
    "Post.viewerCanEdit": has("posts", "Post.viewerCanEdit"),
    "Comment.viewerCanEdit": has("comments", "Comment.viewerCanEdit"),
    "Mutation.register": does(
        "register", lambda house: {"email": "new@example.com", "password": PASSWORD, "firstName": "Ann"}
    ),
    "Mutation.login": does("login", lambda house: {"email": house.owner.email, "password": PASSWORD}),
    "Mutation.refreshToken": does("refreshToken", lambda house: {"refreshToken": house.refresh_token}),
    "Mutation.logout": does("logout", lambda house: {"refreshToken": house.refresh_token}),
    "Mutation.verifyEmail": does("verifyEmail", lambda house: {"token": house.mailed[EmailTokenPurpose.VERIFY_EMAIL]}),
    "Mutation.requestEmailVerification": does("requestEmailVerification", lambda house: {"email": house.owner.email}),
    "Mutation.requestPasswordReset": does("requestPasswordReset", lambda house: {"email": house.owner.email}),
    "Mutation.resetPassword": does(
        "resetPassword",
        lambda house: {"token": house.mailed[EmailTokenPurpose.RESET_PASSWORD], "newPassword": NEW_PASSWORD},
    ),
    "Mutation.requestEmailChange": does(
        "requestEmailChange", lambda house: {"password": PASSWORD, "newEmail": NEW_EMAIL}
    ),
    "Mutation.changeEmail": does("changeEmail", lambda house: {"token": house.mailed[EmailTokenPurpose.CHANGE_EMAIL]}),
    "Mutation.revokeSession": does("revokeSession", lambda house: {"id": house.session}),
    "Mutation.revokeOtherSessions": revokes_others,
    "Mutation.deleteAccount": does("deleteAccount", lambda house: {"password": PASSWORD}),
    "Mutation.changePassword": does(
        "changePassword", lambda house: {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    ),
    "Mutation.updateProfile": does("updateProfile", lambda house: {"firstName": "Ann"}),
    "Mutation.createPost": does("createPost", lambda house: {"title": "New", "body": "Text."}),
    "Mutation.updatePost": does(
        "updatePost", lambda house: {"id": house.posts["public"], "version": 1, "title": "Changed"}
    ),
    "Mutation.publishPost": does("publishPost", lambda house: {"id": house.posts["own"]}),
    "Mutation.archivePost": does("archivePost", lambda house: {"id": house.posts["public"]}),
    "Mutation.deletePost": does("deletePost", lambda house: {"id": house.posts["public"]}),
    "Mutation.addComment": does("addComment", lambda house: {"postId": house.posts["public"], "body": "New."}),
    "Mutation.updateComment": does("updateComment", lambda house: {"id": house.comments["public"], "body": "Changed."}),
    "Mutation.deleteComment": does("deleteComment", lambda house: {"id": house.comments["public"]}),
}


@pytest.mark.parametrize(("field", "role"), [(field, role) for field, row in TABLE.items() for role in row])
async def test_a_field_does_for_everybody_what_the_table_says(api: Api, settings: Any, field: str, role: str) -> None:
    settings.PUBLIC_READS = role != CLOSED
    house = await sync_to_async(make_house)(api, role)
    try:
        happens = await SCENARIOS[field](house)
    except Refused:
        happens = "401"
    assert happens == TABLE[field][role]


def test_the_table_has_every_root_field_and_no_field_that_there_is_not() -> None:
    fields = {
        f"{kind.name}.{name}" for kind in TYPES.values() if isinstance(kind, GraphQLObjectType) for name in kind.fields
    }
    roots = {field for field in fields if field.startswith(("Query.", "Mutation.", "Subscription."))}
    assert roots <= TABLE.keys() <= fields
    assert TABLE.keys() == SCENARIOS.keys()
