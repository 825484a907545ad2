"""Reading posts and tags: fields, filters and orders."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.posts.models import TITLE_MAX, Post, PostStatus, Tag
from apps.users.models import User
from tests.api import Api
from tests.make import START, Make, gid, make_post, make_tag, make_user

pytestmark = pytest.mark.django_db

against_the_api = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NODES = "query($filter: PostFilter, $orderBy: PostOrder) { posts(filter: $filter, orderBy: $orderBy) { nodes { %s } } }"


async def found(api: Api, order_by: str | None = None, **filter: Any) -> list[str]:
    answer = await api(NODES % "id", filter=filter, orderBy=order_by)
    return [node["id"] for node in answer.data["posts"]["nodes"]]


def gids(rows: Iterable[Any]) -> list[str]:
    return [gid(row) for row in rows]


async def test_a_post_shows_what_was_stored(api: Api, make: Make) -> None:
    tags = [await make.tag(name="Second"), await make.tag(name="First")]
    values = {"title": "A title", "body": "A *body*.", "excerpt": "A body.", "version": 3}
    post = await make.post(tags=tags, published_at=START, **values)
    query = """query($id: ID!) { post(id: $id) {
      id title slug excerpt body status publishedAt createdAt updatedAt version viewerCanEdit
      author { id fullName } tags { name slug } commentCount
    } }"""
    assert (await api(query, id=gid(post))).data["post"] == {
        "id": gid(post),
        "title": "A title",
        "slug": post.slug,
        "excerpt": "A body.",
        "body": "A *body*.",
        "status": "PUBLISHED",
        "publishedAt": START.isoformat(),
        "createdAt": post.created_at.isoformat(),
        "updatedAt": post.updated_at.isoformat(),
        "version": 3,
        "viewerCanEdit": False,
        "author": {"id": gid(post.author), "fullName": post.author.get_full_name()},
        "tags": [{"name": tag.name, "slug": tag.slug} for tag in tags],
        "commentCount": 0,
    }


async def test_a_draft_has_no_date_of_publication(api: Api, make: Make) -> None:
    post = await make.post(status=PostStatus.DRAFT)
    author = await api.as_(post.author)
    answer = await author("query($id: ID!) { post(id: $id) { status publishedAt } }", id=gid(post))
    assert answer.data["post"] == {"status": "DRAFT", "publishedAt": None}


@pytest.mark.parametrize("letters", ["Grüße", "Привет, мир", "日本語"])
async def test_a_post_is_found_by_its_slug_in_any_script(api: Api, make: Make, letters: str) -> None:
    post = await make.post(title=letters)
    answer = await api("query($slug: String!) { post(slug: $slug) { id } }", slug=post.slug)
    assert answer.data["post"] == {"id": gid(post)}


@pytest.mark.parametrize(
    "arguments", ["", 'id: "UG9zdDox", slug: "a"', "id: null, slug: null", 'slug: "\\u0000"', f'slug: "{"a" * 251}"']
)
async def test_a_post_is_asked_for_by_exactly_one_storable_key(api: Api, arguments: str) -> None:
    given = f"({arguments})" if arguments else ""
    assert (await api(f"{{ post{given} {{ id }} }}")).codes == ["BAD_USER_INPUT"]


async def test_a_slug_is_compared_as_a_whole(api: Api, make: Make) -> None:
    post = await make.post(slug="some-slug")
    for slug in ("some-slu", "SOME-SLUG", "some-slug-2", "some%", ""):
        assert (await api("query($slug: String!) { post(slug: $slug) { id } }", slug=slug)).data == {"post": None}
    assert (await api('{ post(slug: " some-slug ") { id } }')).data == {"post": {"id": gid(post)}}


@pytest.mark.parametrize(("who", "can"), [("author", True), ("staff", True), ("stranger", False)])
async def test_who_can_edit_a_post_is_told(api: Api, make: Make, who: str, can: bool) -> None:
    post = await make.post()
    viewer = post.author if who == "author" else await make.user(is_staff=who == "staff")
    query = "query($id: ID!) { post(id: $id) { viewerCanEdit } }"
    assert (await (await api.as_(viewer))(query, id=gid(post))).data == {"post": {"viewerCanEdit": can}}


async def test_search_reads_words_phrases_or_and_without(api: Api, make: Make) -> None:
    bread = await make.post(title="Baking bread", body="With an old sourdough starter.")
    cake = await make.post(title="Baking cakes", body="Without any starter.")
    stone = await make.post(title="Stones", body="About sandstone.")
    assert await found(api, search="baking") == gids([cake, bread])
    assert await found(api, search="BAKED") == gids([cake, bread])
    assert await found(api, search="baking -cake") == gids([bread])
    assert await found(api, search='"sourdough starter"') == gids([bread])
    assert await found(api, search='"starter sourdough"') == []
    assert await found(api, search="stone or cake") == gids([stone, cake])
    assert await found(api, search="bread stone") == []
    assert await found(api, search="the") == []
    assert await found(api, search="  ") == gids([stone, cake, bread])


async def test_the_best_match_comes_first(api: Api, make: Make) -> None:
    in_body = await make.post(title="Other", body="A zebra.")
    in_title = await make.post(title="Zebra", body="Other.")
    in_both = await make.post(title="Zebra", body="A zebra, zebra, zebra.")
    await make.post(title="None")
    assert await found(api, "RELEVANCE", search="zebra") == gids([in_both, in_title, in_body])


@pytest.mark.parametrize("search", [None, "", "   "])
async def test_relevance_needs_a_search(api: Api, search: str | None) -> None:
    answer = await api(NODES % "id", filter={"search": search}, orderBy="RELEVANCE")
    assert answer.codes == ["BAD_USER_INPUT"]


@against_the_api
@given(
    search=st.text(st.characters(codec="utf-8"), max_size=300)
    | st.text(st.sampled_from("ab '\"\\&|!():*<->%_-or\t\n"), max_size=60)
)
@example(search="\x00")
@example(search="'")
@example(search="\\")
@example(search='"')
@example(search="the of and")
@example(search="x" * 10_000)
@example(search="a & | ! ( ) <-> :* ")
@example(search="%s %(a)s {} $1")
@example(search="-" * 250)
@example(search="- " * 125)
@example(search='-"' * 125)
@example(search="-(" * 125)
async def test_no_search_breaks_the_api(api: Api, search: str) -> None:
    query = """query($search: String!, $filter: PostFilter) {
      posts(filter: $filter) { totalCount } users(filter: {search: $search}) { totalCount }
      tags(search: $search) { totalCount } post(slug: $search) { id }
      tagged: posts(filter: {tag: $search}) { totalCount }
    }"""
    answer = await api(query, search=search, filter={"search": search})
    assert set(answer.codes) <= {"BAD_USER_INPUT"}
    refused = "\x00" in search or len(search.strip()) > 250
    assert bool(answer.codes) == refused


@pytest.mark.parametrize("field", ["publishedAfter", "publishedBefore"])
@pytest.mark.parametrize(
    "date",
    ["", "x", "2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+01:00", "1e9", "\x00"],
)
async def test_a_date_is_a_moment_or_refused(api: Api, field: str, date: str) -> None:
    assert (await api(NODES % "id", filter={field: date})).codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize(
    "date", ["2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00Z", "2025-12-31T00:01:00-23:59", "2026-01-01T00:00:00.0Z"]
)
async def test_a_date_in_any_offset_is_the_same_moment(api: Api, make: Make, date: str) -> None:
    post = await make.post(published_at=START)
    just_before = (datetime.fromisoformat(date) - timedelta(microseconds=1)).isoformat()
    just_after = (datetime.fromisoformat(date) + timedelta(microseconds=1)).isoformat()
    assert await found(api, publishedAfter=date) == []
    assert await found(api, publishedBefore=date) == []
    assert await found(api, publishedAfter=just_before, publishedBefore=just_after) == [gid(post)]


@pytest.mark.parametrize("year", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_first_and_the_last_moment_are_fit_for_filters(api: Api, year: str) -> None:
    assert await found(api, publishedAfter=year, publishedBefore=year) == []


async def test_the_cursor_of_the_longest_title_is_taken(api: Api, make: Make) -> None:
    first = await make.post(title="\U0001f600" * TITLE_MAX)
    second = await make.post(title="\U0001f601" * TITLE_MAX)
    page = "posts(first: 1, after: $after, orderBy: TITLE) { nodes { id } pageInfo { endCursor } }"
    query = f"query($after: String) {{ {page} }}"
    posts = (await api(query)).data["posts"]
    assert posts["nodes"] == [{"id": gid(first)}]
    assert (await api(query, after=posts["pageInfo"]["endCursor"])).data["posts"]["nodes"] == [{"id": gid(second)}]


@dataclass(frozen=True)
class Shelf:
    authors: list[User]
    tags: list[Tag]
    posts: list[Post]


@pytest.fixture
def shelf(db: None) -> Shelf:
    authors = [make_user() for _ in range(2)]
    tags = [make_tag() for _ in range(2)]
    posts = [
        make_post(
            author=authors[number % 2],
            tags=[tag for place, tag in enumerate(tags) if (number >> place) & 1],
            title="Zebra" if number % 3 else "Quagga",
            status=list(PostStatus)[number % 4],
            published_at=None if number % 4 == 0 else START + timedelta(days=number),
        )
        for number in range(16)
    ]
    return Shelf(authors, tags, posts)


DAYS = st.none() | st.integers(-1, 17)


@against_the_api
@given(
    search=st.sampled_from([None, "zebra", "quagga", "zebra or quagga", "nothing"]),
    tag=st.sampled_from([None, 0, 1, "no-such-tag"]),
    author=st.none() | st.integers(0, 1),
    status=st.none() | st.sampled_from(PostStatus),
    after=DAYS,
    before=DAYS,
    viewer=st.sampled_from(["anonymous", "author", "staff"]),
)
async def test_filters_together_find_what_a_model_of_them_finds(
    api: Api,
    shelf: Shelf,
    search: str | None,
    tag: int | str | None,
    author: int | None,
    status: PostStatus | None,
    after: int | None,
    before: int | None,
    viewer: str,
) -> None:
    slug = shelf.tags[tag].slug if isinstance(tag, int) else tag
    after_date, before_date = (None if day is None else START + timedelta(days=day) for day in (after, before))

    def matches(number: int, post: Post) -> bool:
        date = post.published_at
        return (
            (post.status == PostStatus.PUBLISHED or viewer == "staff" or (viewer == "author" and number % 2 == 0))
            and (search is None or post.title.lower() in search)
            and (tag is None or (isinstance(tag, int) and bool((number >> tag) & 1)))
            and (author is None or number % 2 == author)
            and (status is None or post.status == status)
            and (after_date is None or (date is not None and date > after_date))
            and (before_date is None or (date is not None and date < before_date))
        )

    expected = [post for number, post in enumerate(shelf.posts) if matches(number, post)]
    expected.sort(key=lambda post: (post.published_at or post.created_at, post.pk), reverse=True)
    filter = {
        "search": search,
        "tag": slug,
        "author": None if author is None else gid(shelf.authors[author]),
        "status": status.name if status else None,
        "publishedAfter": after_date.isoformat() if after_date else None,
        "publishedBefore": before_date.isoformat() if before_date else None,
    }
    seen = await viewer_of(api, shelf, viewer)
    query = """query($filter: PostFilter, $author: ID!) {
      posts(filter: $filter) { totalCount nodes { id } }
      user(id: $author) { posts(filter: $filter) { totalCount nodes { id } } }
    }"""
    data = (await seen(query, filter=filter, author=gid(shelf.authors[0]))).data
    assert [node["id"] for node in data["posts"]["nodes"]] == gids(expected)
    assert data["posts"]["totalCount"] == len(expected)
    of_author = [post for post in expected if post.author_id == shelf.authors[0].pk]
    assert [node["id"] for node in data["user"]["posts"]["nodes"]] == gids(of_author)
    assert data["user"]["posts"]["totalCount"] == len(of_author)


async def viewer_of(api: Api, shelf: Shelf, name: str) -> Api:
    if name == "anonymous":
        return api
    if name == "author":
        return await api.as_(shelf.authors[0])
    return await api.as_(await Make.user(is_staff=True))


async def test_an_author_is_a_users_id(api: Api, make: Make) -> None:
    post = await make.post()
    assert await found(api, author=gid(post.author)) == [gid(post)]
    answer = await api(NODES % "id", filter={"author": gid(post)})
    assert answer.codes == ["BAD_USER_INPUT"]


async def test_filters_that_are_null_do_not_filter(api: Api, make: Make) -> None:
    post = await make.post()
    nothing = dict.fromkeys(["search", "tag", "author", "status", "publishedAfter", "publishedBefore"])
    assert await found(api, **nothing) == [gid(post)]
    assert (await api("{ posts(filter: null, orderBy: null) { nodes { id } } }")).data["posts"]["nodes"]


async def test_a_draft_stands_where_it_was_made(api: Api, make: Make) -> None:
    author = await make.user()
    older = await make.post(author=author, published_at=datetime(2026, 3, 1, tzinfo=UTC))
    draft = await make.post(author=author, status=PostStatus.DRAFT, created_at=datetime(2026, 3, 2, tzinfo=UTC))
    newer = await make.post(author=author, published_at=datetime(2026, 3, 3, tzinfo=UTC))
    assert await found(await api.as_(author)) == gids([newer, draft, older])
    assert await found(await api.as_(author), "OLDEST") == gids([older, draft, newer])
    assert await found(await api.as_(author), publishedAfter="2026-01-01T00:00:00Z") == gids([newer, older])


async def test_tags_come_by_name_without_regard_to_case(api: Api, make: Make) -> None:
    for name in ("banana", "Äpfel", "Cherry", "apple", "äther"):
        await make.tag(name=name)
    names = [node["name"] for node in (await api("{ tags { nodes { name } } }")).data["tags"]["nodes"]]
    assert names == ["apple", "banana", "Cherry", "Äpfel", "äther"]


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("PYTHON", ["Python"]),
        ("yth", ["Python"]),
        ("ОДОС", ["Одос"]),
        ("ΟΔΟΣ", ["ΟΔΟΣ"]),
        ("%", ["100%"]),
        ("_", ["snake_case"]),
        ("\\", ["back\\slash"]),
        ("nothing", []),
    ],
)
async def test_tags_are_found_by_a_part_of_their_name(api: Api, make: Make, search: str, names: list[str]) -> None:
    for name in ("Python", "Одос", "ΟΔΟΣ", "100%", "snake_case", "back\\slash"):
        await make.tag(name=name)
    query = "query($search: String!) { tags(search: $search) { totalCount nodes { name } } }"
    tags = (await api(query, search=search)).data["tags"]
    assert [node["name"] for node in tags["nodes"]] == names
    assert tags["totalCount"] == len(names)


async def test_the_posts_of_a_tag_are_its_own(api: Api, make: Make) -> None:
    one, other = await make.tag(), await make.tag()
    both = await make.post(tags=[other, one])
    single = await make.post(tags=[one])
    query = "{ tags { nodes { id posts { totalCount nodes { id tags { id } } } } } }"
    nodes = {node["id"]: node["posts"] for node in (await api(query)).data["tags"]["nodes"]}
    tags = {gid(both): [{"id": gid(other)}, {"id": gid(one)}], gid(single): [{"id": gid(one)}]}
    assert nodes[gid(one)] == {
        "totalCount": 2,
        "nodes": [{"id": gid(post), "tags": tags[gid(post)]} for post in (single, both)],
    }
    assert nodes[gid(other)] == {"totalCount": 1, "nodes": [{"id": gid(both), "tags": tags[gid(both)]}]}
