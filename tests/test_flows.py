"""Whole stories through the API, on committed rows and with a worker at work."""

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core import mail

from apps.core.db import connection_scope
from apps.core.relay import relay
from apps.users.tasks import mail_confirmation
from tests.api import Api
from tests.brokers import database_broker
from tests.make import PASSWORD
from tests.tasks import empty_queue, queued, worker
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

FEED = """query Feed {
  posts(first: 2) {
    totalCount
    nodes {
      title
      commentCount
      tags { slug }
      author { fullName email }
      comments(first: 5, topLevel: true) {
        nodes { body deleted replyCount replies(first: 5) { nodes { body author { fullName } } } }
      }
    }
  }
}"""


@pytest.fixture(autouse=True)
def queue() -> Iterator[None]:
    with empty_queue():
        yield


async def join(api: Api, name: str) -> Api:
    """Somebody new, signed in."""
    email = f"{name.lower()}@example.com"
    registered = await api.payload("register", "user { id }", email=email, password=PASSWORD, firstName=name)
    assert registered["errors"] == []
    tokens = await api.payload("login", "accessToken", email=email, password=PASSWORD)
    return api.with_token(tokens["accessToken"])


async def done(client: Api, mutation: str, selection: str, **input: Any) -> Any:
    payload = await client.payload(mutation, selection, **input)
    assert payload["errors"] == []
    return payload


async def test_write_discuss_and_take_back(api: Api) -> None:
    ann, bob = await join(api, "Ann"), await join(api, "Bob")
    post = (await done(ann, "createPost", "post { id version status }", title="Hello", body="World."))["post"]
    assert post["status"] == "DRAFT"
    assert (await bob(FEED)).data["posts"] == {"totalCount": 0, "nodes": []}

    await done(ann, "publishPost", "post { status }", id=post["id"])
    first = (await done(bob, "addComment", "comment { id }", postId=post["id"], body="First!"))["comment"]["id"]
    reply = (await done(ann, "addComment", "comment { id }", postId=post["id"], parentId=first, body="Welcome."))[
        "comment"
    ]["id"]
    expected: dict[str, Any] = {
        "title": "Hello",
        "commentCount": 2,
        "tags": [],
        "author": {"fullName": "Ann", "email": None},
        "comments": {
            "nodes": [
                {
                    "body": "First!",
                    "deleted": False,
                    "replyCount": 1,
                    "replies": {"nodes": [{"body": "Welcome.", "author": {"fullName": "Ann"}}]},
                }
            ]
        },
    }
    assert (await bob(FEED)).data["posts"]["nodes"] == [expected]

    await done(bob, "deleteComment", "deletedCommentId", id=first)
    expected["commentCount"] = 1
    expected["comments"]["nodes"][0] |= {"body": "", "deleted": True}
    assert (await api(FEED)).data["posts"]["nodes"] == [expected]

    await done(ann, "deleteComment", "deletedCommentId", id=reply)
    expected |= {"commentCount": 0, "comments": {"nodes": []}}
    assert (await api(FEED)).data["posts"]["nodes"] == [expected]

    await done(ann, "archivePost", "post { status }", id=post["id"])
    assert (await api(FEED)).data["posts"]["totalCount"] == 0
    assert (await ann(FEED)).data["posts"]["nodes"] == [
        expected | {"author": {"fullName": "Ann", "email": "ann@example.com"}}
    ]


async def test_two_devices_and_a_new_password(api: Api) -> None:
    await join(api, "Ann")
    login = {"email": "ann@example.com", "password": PASSWORD}
    phone = await done(api, "login", "accessToken refreshToken", **login)
    laptop = await done(api, "login", "accessToken refreshToken", **login)
    sessions = "{ viewer { sessions { current } } }"
    assert len((await api.with_token(laptop["accessToken"])(sessions)).data["viewer"]["sessions"]) == 3

    await done(api, "logout", "success", refreshToken=phone["refreshToken"])
    assert (await api.with_token(phone["accessToken"])(sessions)).status == 401
    listed = (await api.with_token(laptop["accessToken"])(sessions)).data["viewer"]["sessions"]
    assert sorted(session["current"] for session in listed) == [False, True]

    changed = await done(
        api.with_token(laptop["accessToken"]),
        "changePassword",
        "accessToken",
        currentPassword=PASSWORD,
        newPassword=f"better {PASSWORD}",
    )
    assert (await api.with_token(laptop["accessToken"])(sessions)).status == 401
    listed = (await api.with_token(changed["accessToken"])(sessions)).data["viewer"]["sessions"]
    assert listed == [{"current": True}]


async def test_everybody_who_registers_is_greeted(api: Api) -> None:
    with database_broker(mail_confirmation) as broker, worker(broker):
        for name in ("Ann", "Bob"):
            await join(api, name)
        refused = await api.refused("register", email="ann@example.com", password=PASSWORD, firstName="Ann")
        assert refused == [("UNIQUE", ["email"])]
        async with connection_scope():
            await sync_to_async(relay)()
            await sync_to_async(wait_until)(lambda: len(mail.outbox) == 2 and queued() == [])
    assert sorted(message.to[0] for message in mail.outbox) == ["ann@example.com", "bob@example.com"]
