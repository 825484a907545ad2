"""Connections walked to the end both ways, while rows come and go: none is skipped, none is repeated."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.comments.models import Comment
from apps.posts.models import Post, Tag
from apps.users.models import User
from tests.api import Answer, Api
from tests.make import START, gid, make_comment, make_post, make_tag, make_user

pytestmark = pytest.mark.django_db

TITLES = ["Äpfel", "äpfel", "Apple", "apple", "ZOO", "zoo", "ÉCLAIR", "éclair", "Ночь", "ночь", "beta_%"]
ROWS = len(TITLES)
_numbers = count()
PAGE = "{ edges { cursor node { id } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"


@dataclass(frozen=True)
class Scene:
    """What the lists are about, and how to add a row to each; the place decides what it ties with."""

    author: User
    tag: Tag
    post: Post
    comment: Comment

    def add_post(self, place: int) -> Post:
        title = f"{TITLES[place % ROWS]}{' zebra' * (place % 2)}"
        at = START + timedelta(days=place % 3)
        changed = START + timedelta(days=10 + place % 4)
        return make_post(
            author=self.author, tags=[self.tag], title=title, body="A zebra.", published_at=at, updated_at=changed
        )

    def add_comment(self, place: int) -> Comment:
        return make_comment(post=self.post, author=self.author, created_at=START + timedelta(days=place % 3))

    def add_reply(self, place: int) -> Comment:
        return make_comment(parent=self.comment, author=self.author, created_at=START + timedelta(days=1 + place % 3))

    def add_user(self, place: int) -> User:
        return make_user(date_joined=START + timedelta(days=place % 3))

    def add_tag(self, place: int) -> Tag:
        number = next(_numbers)
        return make_tag(name=f"{TITLES[place % ROWS]} {number}", slug=f"slug-{number}")


@dataclass(frozen=True)
class List:
    """A list of the API: where it stands, what it takes beside the page, and the order that it promises."""

    field: str
    add: Callable[[Scene, int], Any]
    key: Callable[[Any], Any] | None
    descending: bool = True
    others: str = ""
    inside: str = ""

    def query(self, scene: Scene, arguments: str) -> str:
        given = ", ".join(part for part in (arguments, self.others) if part)
        query = f"{self.field}({given}) {PAGE}"
        for opening in reversed(self.inside.split(" > ") if self.inside else []):
            query = f"{opening} {{ {query} }}"
        for name in ("author", "tag", "post", "comment"):
            query = query.replace(f"ID_{name}", f'"{gid(getattr(scene, name))}"')
        return f"{{ {query} }}"

    def connection(self, data: Any) -> Any:
        while self.field not in data:
            [data] = data.values()
        return data[self.field]


def lowered(row: Any) -> str:
    return str(getattr(row, "title", None) or row.name).lower()


def published(row: Any) -> Any:
    return row.published_at


def updated(row: Any) -> Any:
    return row.updated_at


def created(row: Any) -> Any:
    return row.created_at


def joined(row: Any) -> Any:
    return row.date_joined


POST_ORDERS: dict[str, tuple[Callable[[Any], Any] | None, bool, str]] = {
    "NEWEST": (published, True, ""),
    "OLDEST": (published, False, ""),
    "RECENTLY_UPDATED": (updated, True, ""),
    "TITLE": (lowered, False, ""),
    "RELEVANCE": (None, True, 'filter: {search: "zebra"}, '),
}
OF_AUTHOR = "user(id: ID_author)"
LISTS = {
    **{
        f"posts {order}": List("posts", Scene.add_post, key, descending, f"{filter}orderBy: {order}")
        for order, (key, descending, filter) in POST_ORDERS.items()
    },
    **{
        f"posts of a user {order}": List(
            "posts", Scene.add_post, key, descending, f"{filter}orderBy: {order}", OF_AUTHOR
        )
        for order, (key, descending, filter) in POST_ORDERS.items()
    },
    "posts under a tag": List("posts", Scene.add_post, published, others='filter: {tag: "the-tag"}'),
    "posts of a tag": List("posts", Scene.add_post, published, inside="node(id: ID_tag) > ... on Tag"),
    "comments of a post": List("comments", Scene.add_comment, created, inside="post(id: ID_post)"),
    "oldest comments of a post": List(
        "comments", Scene.add_comment, created, False, "orderBy: OLDEST", "post(id: ID_post)"
    ),
    "top level of a post": List("comments", Scene.add_comment, created, True, "topLevel: true", "post(id: ID_post)"),
    "comments of a user": List("comments", Scene.add_comment, created, inside=OF_AUTHOR),
    "replies": List("replies", Scene.add_reply, created, False, inside="comment(id: ID_comment)"),
    "users": List("users", Scene.add_user, joined),
    "tags": List("tags", Scene.add_tag, lowered, False),
}
every_list = pytest.mark.parametrize("name", LISTS)


@pytest.fixture
def scene(db: None) -> Scene:
    author, other = make_user(), make_user()
    post = make_post(author=other)
    return Scene(author, make_tag(slug="the-tag"), post, make_comment(post=post, author=other))


async def fill(scene: Scene, listed: List) -> None:
    """Rows with many ties, made in an order that is not the list's."""
    for place in range(ROWS):
        await sync_to_async(listed.add)(scene, place * 7 + 3)


async def page(api: Api, scene: Scene, listed: List, arguments: str) -> Any:
    """One page, whose parts have to agree with each other."""
    found = listed.connection((await api(listed.query(scene, arguments))).data)
    assert [edge["node"] for edge in found["edges"]] == found["nodes"]
    cursors = [edge["cursor"] for edge in found["edges"]] or [None]
    assert (found["pageInfo"]["startCursor"], found["pageInfo"]["endCursor"]) == (cursors[0], cursors[-1])
    return found


def ids(found: Any) -> list[str]:
    return [node["id"] for node in found["nodes"]]


async def walk(
    api: Api, scene: Scene, listed: List, size: int, *, forward: bool, between: Callable[[list[str]], Any] | None = None
) -> list[str]:
    """The ids of all pages, in the list's order; `between` is told what was read, before each page but the first."""
    size_name, cursor_name = ("first", "after") if forward else ("last", "before")
    ahead, behind = ("hasNextPage", "hasPreviousPage") if forward else ("hasPreviousPage", "hasNextPage")
    walked: list[str] = []
    cursor: str | None = None
    for _ in range(100):
        arguments = f'{size_name}: {size}, {cursor_name}: "{cursor}"' if cursor else f"{size_name}: {size}"
        found = await page(api, scene, listed, arguments)
        info = found["pageInfo"]
        walked = [*walked, *ids(found)] if forward else [*ids(found), *walked]
        assert info[behind] == (cursor is not None)
        assert len(found["nodes"]) == size or not info[ahead]
        if not info[ahead]:
            return walked
        cursor = info["endCursor" if forward else "startCursor"]
        if between:
            await sync_to_async(between)(walked)
    raise AssertionError("the walk does not come to an end")


def promised(listed: List, whole: list[str]) -> list[str]:
    """The same rows in the order that the list promises, by the order key and then by id."""
    assert listed.key is not None
    key = listed.key
    rows = {gid(row): row for model in (Post, Comment, User, Tag) for row in model.objects.all()}
    return sorted(whole, key=lambda row_id: (key(rows[row_id]), rows[row_id].pk), reverse=listed.descending)


@every_list
async def test_pages_walked_both_ways_make_up_the_list_in_its_order(api: Api, scene: Scene, name: str) -> None:
    listed = LISTS[name]
    await fill(scene, listed)
    whole = ids(await page(api, scene, listed, "first: 100"))
    assert len(set(whole)) == len(whole) >= ROWS
    if listed.key is not None:
        assert whole == await sync_to_async(promised)(listed, whole)
    for size in (2, 5):
        assert await walk(api, scene, listed, size, forward=True) == whole
        assert await walk(api, scene, listed, size, forward=False) == whole


@every_list
async def test_there_is_more_exactly_when_there_is(api: Api, scene: Scene, name: str) -> None:
    listed = LISTS[name]
    await fill(scene, listed)
    whole = ids(await page(api, scene, listed, "first: 100"))
    number = len(whole)
    for size, more in ((number - 1, True), (number, False), (number + 1, False)):
        first = await page(api, scene, listed, f"first: {size}")
        assert ids(first) == whole[:size]
        assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (more, False)
        last = await page(api, scene, listed, f"last: {size}")
        assert ids(last) == whole[-size:]
        assert (last["pageInfo"]["hasNextPage"], last["pageInfo"]["hasPreviousPage"]) == (False, more)


@every_list
async def test_a_page_lies_between_after_and_before(api: Api, scene: Scene, name: str) -> None:
    listed = LISTS[name]
    await fill(scene, listed)
    found = await page(api, scene, listed, "first: 100")
    whole, cursors = ids(found), [edge["cursor"] for edge in found["edges"]]
    window = f'after: "{cursors[1]}", before: "{cursors[8]}"'
    assert ids(await page(api, scene, listed, window)) == whole[2:8]
    first = await page(api, scene, listed, f"first: 3, {window}")
    assert ids(first) == whole[2:5]
    assert first["pageInfo"]["hasNextPage"]
    last = await page(api, scene, listed, f"last: 3, {window}")
    assert ids(last) == whole[5:8]
    assert last["pageInfo"]["hasPreviousPage"]
    for size in ("first: 6", "last: 6"):
        all_between = (await page(api, scene, listed, f"{size}, {window}"))["pageInfo"]
        assert (all_between["hasPreviousPage"], all_between["hasNextPage"]) == (True, True)
    empty = await page(api, scene, listed, f'after: "{cursors[4]}", before: "{cursors[5]}"')
    assert ids(empty) == []
    crossed = await page(api, scene, listed, f'after: "{cursors[8]}", before: "{cursors[1]}"')
    assert ids(crossed) == []


@every_list
@pytest.mark.parametrize("forward", [True, False])
async def test_rows_that_stay_are_read_once_while_others_come_and_go(
    api: Api, scene: Scene, name: str, forward: bool
) -> None:
    listed = LISTS[name]
    await fill(scene, listed)
    whole = ids(await page(api, scene, listed, "first: 100"))
    gone: set[str] = set()
    kept = {gid(row) for row in (scene.author, scene.tag, scene.post, scene.comment)}

    def disturb(walked: list[str]) -> None:
        """Delete the row that the cursor stands on and one that is still to come; add rows before and behind it."""
        last_read = walked[-1] if forward else walked[0]
        to_come = [id for id in whole if id not in walked and id not in kept]
        for id in {last_read, *to_come[1:2]} - kept:
            delete(id)
            gone.add(id)
        for place in range(3):
            listed.add(scene, place + len(gone))

    walked = await walk(api, scene, listed, 3, forward=forward, between=disturb)
    assert gone
    assert len(set(walked)) == len(walked)
    stayed = [id for id in whole if id not in gone]
    assert [id for id in walked if id in stayed] == stayed


def delete(id: str) -> None:
    for model in (Comment, Post, User, Tag):
        for row in model.objects.all():
            if gid(row) == id:
                row.delete()


@every_list
async def test_an_empty_page_has_no_cursors(api: Api, scene: Scene, name: str) -> None:
    listed = LISTS[name]
    await fill(scene, listed)
    cursor = (await page(api, scene, listed, "last: 1"))["pageInfo"]["endCursor"]
    behind = await page(api, scene, listed, f'first: 5, after: "{cursor}"')
    assert behind == {
        "edges": [],
        "nodes": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": True, "startCursor": None, "endCursor": None},
    }


async def test_nested_pages_have_cursors_of_their_own(api: Api, scene: Scene) -> None:
    posts = [await sync_to_async(make_post)(author=scene.author) for _ in range(3)]
    for number, post in enumerate(posts):
        for place in range(number + 1):
            await sync_to_async(make_comment)(post=post, created_at=START + timedelta(minutes=place))
    query = """query($author: ID!) { user(id: $author) { posts(orderBy: OLDEST) { nodes {
      id comments(first: 2) { nodes { id } pageInfo { hasNextPage endCursor } }
    } } } }"""
    nodes = (await api(query, author=gid(scene.author))).data["user"]["posts"]["nodes"]
    assert [node["id"] for node in nodes] == [gid(post) for post in posts]
    assert [len(node["comments"]["nodes"]) for node in nodes] == [1, 2, 2]
    assert [node["comments"]["pageInfo"]["hasNextPage"] for node in nodes] == [False, False, True]
    assert len({node["comments"]["pageInfo"]["endCursor"] for node in nodes}) == 3


async def refused(api: Api, query: str) -> Answer:
    answer = await api(query)
    assert answer.codes == ["BAD_USER_INPUT"]
    return answer


async def test_a_cursor_of_another_order_or_list_is_refused(api: Api, scene: Scene) -> None:
    await fill(scene, LISTS["posts NEWEST"])
    found = await page(api, scene, LISTS["posts NEWEST"], "first: 1")
    cursor = found["pageInfo"]["endCursor"]
    for name, listed in LISTS.items():
        if "NEWEST" not in name and listed.add is Scene.add_post and not name.endswith("tag"):
            await refused(api, listed.query(scene, f'after: "{cursor}"'))
    await refused(api, f'{{ users(before: "{cursor}") {{ nodes {{ id }} }} }}')


@pytest.mark.parametrize("sizes", ["first: 0", "first: -1", "first: 1000000000", "last: 0", "first: 1, last: 1"])
async def test_nested_sizes_out_of_bounds_are_refused(api: Api, scene: Scene, sizes: str) -> None:
    for listed in LISTS.values():
        if listed.inside:
            await refused(api, listed.query(scene, sizes))
