"""Viewers who ask at the same time, through the same loaders, never see each other's rows."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import pytest
from django.db.backends.signals import connection_created

from apps.posts.models import Post, PostStatus
from apps.users.models import Session, User
from tests.api import Api
from tests.make import access_token, gid, make_comment, make_post, make_user

QUERY = """{
  viewer { id email sessions { id current } posts { totalCount nodes { id } } }
  posts(first: 50) {
    totalCount
    nodes { id status viewerCanEdit author { id email sessions { id } } commentCount comments { nodes { id } } }
  }
  users(first: 50) { nodes { id email emailVerified sessions { id } posts { totalCount nodes { id } } } }
}"""
VIEWERS = 6


@dataclass(frozen=True)
class Person:
    user: User
    token: str
    sessions: set[str]
    published: Post
    draft: Post


@pytest.fixture
def people(request: pytest.FixtureRequest) -> list[Person]:
    """Each with two sessions, a published post, and a draft with a comment from the time when it was out."""
    marker = request.node.get_closest_marker("django_db")
    request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")
    return [make_person() for _ in range(VIEWERS)]


def make_person() -> Person:
    user = make_user()
    tokens = [access_token(user) for _ in range(2)]
    published = make_post(author=user)
    draft = make_post(author=user, status=PostStatus.DRAFT)
    make_comment(post=draft, author=user)
    sessions = {gid(session) for session in Session.objects.filter(user=user)}
    return Person(user, tokens[0], sessions, published, draft)


async def ask(api: Api, token: str | None) -> Any:
    """Without the client's look at the log, which holds the lines of all that runs at the same time."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = await api.client.post("/graphql/", json={"query": QUERY}, headers=headers)
    body = response.json()
    assert "errors" not in body, body
    return body["data"]


def check(data: Any, people: list[Person], viewer: Person | None) -> None:
    """That `data` is what `viewer` may see: the own rows, and of the others what is public."""
    published = {gid(person.published) for person in people}
    own = {gid(viewer.published), gid(viewer.draft)} if viewer else set()
    posts = {post["id"]: post for post in data["posts"]["nodes"]}
    assert posts.keys() == published | own
    assert data["posts"]["totalCount"] == len(posts)
    assert {id for id, post in posts.items() if post["viewerCanEdit"]} == own
    assert {id for id, post in posts.items() if post["comments"]["nodes"]} == ({gid(viewer.draft)} if viewer else set())
    for user in [*data["users"]["nodes"], *(post["author"] for post in posts.values())]:
        is_viewer = viewer is not None and user["id"] == gid(viewer.user)
        assert user["email"] == (viewer.user.email if viewer and is_viewer else None)
        assert (user["sessions"] is not None) == is_viewer
        if "posts" in user:
            assert user["posts"]["totalCount"] == len(user["posts"]["nodes"]) == (2 if is_viewer else 1)
    if viewer is None:
        assert data["viewer"] is None
        return
    assert data["viewer"]["email"] == viewer.user.email
    assert {session["id"] for session in data["viewer"]["sessions"]} == viewer.sessions
    assert sum(session["current"] for session in data["viewer"]["sessions"]) == 1
    assert {post["id"] for post in data["viewer"]["posts"]["nodes"]} == own


async def ask_at_once(api: Api, people: list[Person]) -> None:
    viewers = [None, *people, None, *reversed(people)]
    answers = await asyncio.gather(*(ask(api, viewer.token if viewer else None) for viewer in viewers))
    for viewer, data in zip(viewers, answers, strict=True):
        check(data, people, viewer)


@pytest.mark.django_db
async def test_viewers_in_one_thread_see_their_own_rows_only(api: Api, people: list[Person]) -> None:
    await ask_at_once(api, people)


@contextmanager
def threads_with_connections() -> Iterator[set[int]]:
    threads: set[int] = set()

    def note(**_: object) -> None:
        threads.add(get_ident())

    connection_created.connect(note, weak=False, dispatch_uid=note)
    try:
        yield threads
    finally:
        connection_created.disconnect(dispatch_uid=note)


@pytest.mark.django_db(transaction=True)
async def test_viewers_in_parallel_threads_see_their_own_rows_only(api: Api, people: list[Person]) -> None:
    with threads_with_connections() as threads:
        for _ in range(3):
            await ask_at_once(api, people)
    assert len(threads) > 1


@pytest.mark.django_db
async def test_a_request_sees_nothing_of_the_request_before_it(api: Api, people: list[Person]) -> None:
    first, second = people[:2]
    for viewer in (first, None, second, first):
        check(await ask(api, viewer.token if viewer else None), people, viewer)
