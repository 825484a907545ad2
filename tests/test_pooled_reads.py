"""With the pool of a running server the API answers as it does without: the same JSON, for the same statements."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.core import pool
from apps.posts.models import Post, PostStatus
from apps.users.models import User
from tests.api import Answer, Api
from tests.make import START, Make, access_token, gid, make_comment, make_post, make_tag, make_user
from tests.reads import prepared
from tests.serving import serving
from tests.statement_table import BUDGETS
from tests.test_statement_budgets import FEED, as_writer, ask
from tests.world import make_world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_stays_connected")]


async def with_and_without_the_pool(ask: Callable[[], Awaitable[list[Answer]]]) -> list[Any]:
    """What `ask` is answered, which is the same with the pool as without: data, errors, statements and rows."""
    assert not pool.is_open()
    expected = await ask()
    async with serving():
        assert pool.is_open()
        found = await ask()
    assert [without_id(answer.body) for answer in found] == [without_id(answer.body) for answer in expected]
    assert [(answer.status, answer.statements, answer.rows) for answer in found] == [
        (answer.status, answer.statements, answer.rows) for answer in expected
    ]
    return [answer.body for answer in found]


def without_id(body: dict[str, Any]) -> str:
    """`body` as it was sent, without the id of its request. Order counts."""
    for error in body.get("errors", []):
        del error["extensions"]["requestId"]
    return json.dumps(body)


@pytest.mark.parametrize("viewer", ["anonymous", "writer", "staff"])
async def test_every_field_of_every_type_reads_the_same(api: Api, make: Make, settings: Any, viewer: str) -> None:
    settings.GRAPHQL_MAX_COST = 1_000_000
    world = await sync_to_async(make_world)(4)
    asking = {
        "anonymous": api,
        "writer": await as_writer(api, world),
        "staff": await api.as_(await make.user(is_staff=True)),
    }[viewer]

    async def everything() -> list[Answer]:
        names = [name for name in BUDGETS if name != "viewer" or viewer != "anonymous"]
        return [await ask(asking, world, name, levels) for name in names for levels in (0, 1)] + [await asking(FEED)]

    bodies = await with_and_without_the_pool(everything)
    assert all("data" in body and "errors" not in body for body in bodies)


def make_various_posts() -> None:
    """Posts that agree in what they are ordered by, and words that ranks, stems and capitals make a difference to."""
    ann, bob = make_user(first_name="Ann"), make_user(first_name="Bob")
    tags = [make_tag(name="Zebra", slug="zebra"), make_tag(name="zeBRA crossing", slug="crossing")]
    for place in range(12):
        make_post(
            author=(ann, bob)[place % 2],
            title=("Zebra", "zebra", "ÉTOILE", "étoile", "100%", "\U0001f600 $1 %s")[place % 6],
            body="zebras run " * (place % 4),
            published_at=START.replace(microsecond=place % 3),
            updated_at=START.replace(microsecond=place % 2),
            tags=tags[: place % 3],
        )
    make_post(author=ann, title="Zebra draft", status=PostStatus.DRAFT)


ARGUMENTS = [
    "",
    *(f"orderBy: {order}" for order in ("NEWEST", "OLDEST", "RECENTLY_UPDATED", "TITLE")),
    *(f'filter: {{search: "{search}"}}, orderBy: RELEVANCE' for search in ("zebra", "run -étoile", "100%", "%s $1")),
    'filter: {search: "zebra or étoile"}, orderBy: TITLE',
    'filter: {tag: "zebra"}, orderBy: OLDEST',
    'filter: {tag: "crossing", status: PUBLISHED, search: "zebra"}',
    "filter: {status: DRAFT}",
    'filter: {publishedAfter: "2026-01-01T00:00:00.000001Z"}',
    'filter: {publishedAfter: "2025-12-31T23:00:00Z", publishedBefore: "2026-01-01T01:00:00.000002+01:00"}',
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
async def test_pages_of_every_filter_and_order_are_the_same(api: Api, make: Make, arguments: str) -> None:
    await sync_to_async(make_various_posts)()
    staff = await api.as_(await make.user(is_staff=True))

    async def walk(page: str, end: str, more: str) -> list[Answer]:
        query = f"""query($cursor: String) {{ posts({page}: $cursor, {arguments}) {{
          totalCount pageInfo {{ startCursor endCursor hasNextPage hasPreviousPage }}
          edges {{ cursor node {{ id title publishedAt updatedAt author {{ firstName }} tags {{ slug }} }} }}
        }} }}"""
        answers, cursor = [await staff(query)], None
        while (info := answers[-1].data["posts"]["pageInfo"])[more]:
            cursor = info[end]
            answers.append(await staff(query, cursor=cursor))
        return answers

    async def there_and_back() -> list[Answer]:
        there = await walk("first: 5, after", "endCursor", "hasNextPage")
        return there + await walk("last: 5, before", "startCursor", "hasPreviousPage")

    bodies = await with_and_without_the_pool(there_and_back)
    ids = [edge["node"]["id"] for body in bodies for edge in body["data"]["posts"]["edges"]]
    assert len(ids) == 2 * len(set(ids)) == 2 * bodies[0]["data"]["posts"]["totalCount"] > 0


@pytest.mark.parametrize(
    "query",
    [
        '{ users(filter: {search: "ANN"}) { totalCount nodes { fullName } } }',
        '{ tags(search: "bra c") { totalCount nodes { slug posts(first: 2) { totalCount nodes { title } } } } }',
        '{ tags(search: "%") { totalCount nodes { slug } } }',
        """{ users { nodes { posts(first: 2, filter: {search: "zebra", tag: "zebra"}, orderBy: RELEVANCE) {
          totalCount edges { cursor node { title } } pageInfo { hasNextPage }
        } } } }""",
        """{ users { nodes { posts(last: 3, filter: {publishedBefore: "2026-01-01T00:00:00.000002Z"}, orderBy: TITLE) {
          totalCount nodes { title } } } } }""",
        '{ posts(filter: {author: "x"}) { nodes { id } } }',
        "{ posts(first: 0) { nodes { id } } }",
        '{ post(slug: "no \\u0000 slug") { id } }',
        '{ a: post(slug: "{NULL}") { id } b: post(slug: "") { id } c: post(slug: "\\"") { id } }',
        'query { nodes(ids: ["VXNlcjo5MjIzMzcyMDM2ODU0Nzc1ODA3"]) { id } }',
    ],
)
async def test_other_lists_and_refusals_are_the_same(api: Api, query: str) -> None:
    await sync_to_async(make_various_posts)()

    async def once() -> list[Answer]:
        return [await api(query)]

    await with_and_without_the_pool(once)


async def test_what_a_mutation_wrote_is_read_by_its_answer_and_by_the_next_query(api: Api, make: Make) -> None:
    everything = "title body status version tags { slug } author { fullName } comments { nodes { body depth } }"
    authors = [await make.user(first_name="Ann", last_name="Lee") for _ in range(2)]
    posts = iter([await make.post(author=author, title="Old") for author in authors])
    await make.tag(slug="new")

    async def story() -> list[Answer]:
        post = next(posts)
        author = await api.as_(post.author)
        post_id = gid(post)

        async def write(mutation: str, fields: str, **input: Any) -> Answer:
            kind = f"{mutation[0].upper()}{mutation[1:]}Input!"
            errors = "errors { code }"
            query = f"mutation($input: {kind}) {{ {mutation}(input: $input) {{ {fields} {errors} }} }}"
            return await author(query, input=input)

        read = f"query($id: ID!) {{ post(id: $id) {{ {everything} }} }}"
        answers = [await author(read, id=post_id)]
        for mutation, fields, input in (
            ("updatePost", f"post {{ {everything} }}", {"id": post_id, "version": 1, "title": "New", "tags": ["new"]}),
            ("updatePost", f"post {{ {everything} }}", {"id": post_id, "version": 1, "title": "Newer"}),
            ("addComment", f"comment {{ body post {{ {everything} }} }}", {"postId": post_id, "body": "First"}),
            ("updateProfile", f"user {{ fullName posts {{ nodes {{ {everything} }} }} }}", {"firstName": "Anna"}),
            ("archivePost", f"post {{ {everything} }}", {"id": post_id}),
        ):
            answers += [await write(mutation, fields, **input), await author(read, id=post_id)]
        return answers

    bodies = await with_and_without_the_pool(story)
    payloads = [payload for body in bodies for payload in body["data"].values()]
    assert payloads[1]["post"]["title"] == payloads[2]["title"] == "New"
    assert payloads[3]["errors"] == [{"code": "CONFLICT"}]
    assert payloads[5]["comment"]["post"] == payloads[6]
    assert [comment["body"] for comment in payloads[6]["comments"]["nodes"]] == ["First"]
    assert payloads[7]["user"]["posts"]["nodes"] == [payloads[8]]
    assert payloads[8]["author"]["fullName"] == "Anna Lee"
    assert payloads[10]["status"] == "ARCHIVED"


@dataclass(frozen=True)
class Person:
    user: User
    token: str
    draft: Post


def make_person(name: str) -> Person:
    user = make_user(email=f"{name}@example.com", first_name=name)
    make_post(author=user)
    draft = make_post(author=user, title=f"Secret of {name}", slug=f"secret-of-{name}", status=PostStatus.DRAFT)
    make_comment(post=draft, author=user, body=f"Note of {name}")
    return Person(user, access_token(user), draft)


# Ways to ask for what is somebody's own.
QUERIES = [
    "{ viewer { email posts { nodes { title } } } }",
    "{ posts(filter: {status: DRAFT}) { totalCount nodes { title author { email } comments { nodes { body } } } } }",
    '{ posts(filter: {search: "secret"}, orderBy: RELEVANCE) { nodes { title author { email } } } }',
    "{ users { nodes { email posts { nodes { title comments { nodes { body } } } } } } }",
    '{ a: post(slug: "secret-of-ann") { title author { email } } b: post(slug: "secret-of-bob") { title } }',
    "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Post { title } ... on User { email posts { totalCount } } } }",
    'mutation { updateProfile(input: {bio: "x"}) { user { email posts { nodes { title } } } errors { code } } }',
    'mutation { addComment(input: {postId: "x", body: ""}) { comment { post { title author { email } } } } }',
]


async def test_viewers_who_ask_at_once_get_nothing_of_each_other(api: Api, settings: Any) -> None:
    settings.READ_POOL_MAX = 3
    ann, bob = await sync_to_async(lambda: [make_person(name) for name in ("ann", "bob")])()
    ids = [gid(row) for person in (ann, bob) for row in (person.user, person.draft)]

    async def send(query: str, viewer: Person | None) -> str:
        body = {"query": query, "variables": {"ids": ids} if "$ids" in query else {}}
        headers = {"Authorization": f"Bearer {viewer.token}"} if viewer else {}
        return (await api.client.post("/graphql/", json=body, headers=headers)).text

    asked = [(query, viewer) for query in QUERIES for viewer in (ann, bob, None, bob, ann)]
    async with serving():
        for _ in range(3):
            answers = await asyncio.gather(*(send(query, viewer) for query, viewer in asked))
            assert len(answers) == 40
            for (query, viewer), text in zip(asked, answers, strict=True):
                for person in (ann, bob):
                    own = {person.user.email, person.draft.title, f"Note of {person.user.first_name}"}
                    seen = {secret for secret in own if secret in text}
                    assert not seen or viewer is person, (query, text)
                if viewer is not None and query != QUERIES[-1]:
                    assert viewer.draft.title in text, (query, text)


async def test_only_what_no_client_has_narrowed_is_planned_once(api: Api, one_connection: None) -> None:
    await sync_to_async(make_world)(2)
    posts = "{ users { nodes { posts%s { totalCount nodes { id } pageInfo { endCursor } } } } }"
    users = (await api(posts % "")).data["users"]["nodes"]
    [cursor, *_] = filter(None, (user["posts"]["pageInfo"]["endCursor"] for user in users))
    once = await prepared()
    assert {custom for _, custom in once.values()} == {0}
    for arguments in ('(filter: {search: "zebra"})', f'(after: "{cursor}")'):
        assert (await api(posts % arguments)).data
    searched = {sql: plans for sql, plans in (await prepared()).items() if "LATERAL" in sql and sql not in once}
    assert len(searched) == 3  # a page and a total of what was searched, and a page behind a cursor
    assert {generic for generic, _ in searched.values()} == {0}
