"""Loaders: each row once, a constant number of statements, and nothing that the viewer may not see."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from apps.comments.models import Comment
from apps.core.client import Client
from apps.core.statements import Tally, tally
from apps.posts import selectors
from apps.posts.models import Post, PostStatus
from apps.users.models import User
from schema.context import Context
from schema.loaders import Batcher, Batchers, ByKey, Counts, Lists, Pages, RootPages
from schema.relay import Order, PageArgs
from tests.make import Make

NEWEST = Order("test:newest", "dated_at", datetime)
FIRST_2 = PageArgs(2, backward=False, after=None, before=None)


def info_of(viewer: User | None = None) -> Any:
    """What loaders read of a resolver's info: the context of a request of its own."""
    return SimpleNamespace(_raw_info=None, context=Context("request", viewer, None, Client))


@contextmanager
def statements(number: int) -> Iterator[Tally]:
    """Fails unless the block takes exactly `number` statements."""
    with tally() as counted:
        yield counted
    assert counted.statements == number


class Source:
    """Where a batcher fetches from; remembers what it was asked."""

    def __init__(self, **values: int) -> None:
        self.values = values
        self.asked: list[list[str]] = []
        self.was_asked = asyncio.Event()

    async def fetch(self, keys: list[str]) -> dict[str, int]:
        self.asked.append(list(keys))
        self.was_asked.set()
        await asyncio.sleep(0)
        return {key: self.values[key] for key in keys if key in self.values}


async def test_a_batcher_gives_values_in_the_order_of_the_keys() -> None:
    source = Source(a=1, b=2)
    assert await Batcher(source.fetch).load(["b", "missing", "a", "b"]) == [2, None, 1, 2]
    assert source.asked == [["b", "missing", "a"]]


async def test_keys_of_one_turn_share_a_fetch_and_are_fetched_once() -> None:
    source = Source(a=1, b=2, c=3)
    batcher = Batcher(source.fetch)
    loads = [batcher.load(["a", "b"]), batcher.load(["b", "c"])]
    assert await asyncio.gather(*loads) == [[1, 2], [2, 3]]
    assert await batcher.load(["a", "c"]) == [1, 3]
    assert source.asked == [["a", "b", "c"]]


async def test_a_key_asked_for_while_its_fetch_runs_waits_for_it() -> None:
    source = Source(a=1)
    batcher = Batcher(source.fetch)
    first = asyncio.ensure_future(batcher.load(["a"]))
    await source.was_asked.wait()
    assert await batcher.load(["a"]) == [1]
    assert await first == [1]
    assert source.asked == [["a"]]


async def test_no_keys_are_no_fetch() -> None:
    source = Source()
    assert await Batcher(source.fetch).load([]) == []
    assert source.asked == []


async def test_a_failed_fetch_fails_everybody_who_asked() -> None:
    async def fetch(keys: list[str]) -> dict[str, int]:
        raise LookupError(",".join(keys))

    batcher = Batcher(fetch)
    results = await asyncio.gather(batcher.load(["a"]), batcher.load(["b"]), return_exceptions=True)
    assert [str(result) for result in results] == ["a,b", "a,b"]


async def test_batchers_are_kept_by_what_they_load_until_a_write_clears_them() -> None:
    source, other = Source(a=1), Source(a=2)
    batchers = Batchers()
    assert await batchers.of("x", source.fetch).load(["a"]) == [1]
    assert await batchers.of("x", other.fetch).load(["a"]) == [1]
    assert await batchers.of("y", other.fetch).load(["a"]) == [2]
    batchers.clear()
    assert await batchers.of("x", other.fetch).load(["a"]) == [2]


@pytest.mark.django_db
async def test_rows_by_key_come_in_order_each_once(make: Make) -> None:
    posts = ByKey(selectors.visible_to)
    one, other = await make.post(), await make.post()
    info = info_of()
    with statements(1):
        assert await posts.load([other.pk, None, 10**15, one.pk, other.pk], info) == [other, None, None, one, other]
    with statements(0):
        assert await posts.load([one.pk], info) == [one]
    with statements(0):
        assert await posts.load([None], info) == [None]


@pytest.mark.django_db
async def test_rows_by_a_column_that_is_text(make: Make) -> None:
    posts = ByKey(selectors.visible_to, column="slug")
    one = await make.post(slug="one'%s")
    with statements(1):
        assert await posts.load(["one'%s", "two"], info_of()) == [one, None]


@pytest.mark.django_db
async def test_requests_share_a_loader_but_no_rows(make: Make) -> None:
    posts = ByKey(selectors.visible_to)
    draft = await make.post(status=PostStatus.DRAFT)
    viewers = [None, draft.author, await make.user(), await make.user(is_staff=True)]
    loads = (posts.load([draft.pk], info_of(viewer)) for viewer in viewers)
    assert await asyncio.gather(*loads) == [[None], [draft], [None], [draft]]


@pytest.mark.django_db
async def test_rows_through_a_foreign_key(make: Make) -> None:
    posts = [await make.post() for _ in range(3)]
    authors = ByKey(lambda viewer: User.objects.all()).through("author_id")
    with statements(1):
        assert await authors(posts, info_of()) == [post.author for post in posts]


@pytest.mark.django_db
async def test_lists_keep_their_order_and_may_be_empty(make: Make) -> None:
    first, second = await make.tag(name="B"), await make.tag(name="A")
    both, none = await make.post(tags=[first, second]), await make.post()
    turned = await make.post(tags=[second, first])
    tags = Lists(selectors.tags_visible_to, parent="taggings__post_id", order=("taggings__position",))
    with statements(1):
        lists = await tags.of_parents([both, none, turned, both], info_of())
    assert lists == [[first, second], [], [second, first], [first, second]]


@pytest.mark.django_db
async def test_counts_are_zero_without_rows_and_keep_narrowed_ones_apart(make: Make) -> None:
    post, empty = await make.post(), await make.post()
    comment = await make.comment(post=post)
    await make.comment(parent=comment)
    counts = Counts(lambda viewer: Comment.objects.all(), parent="post_id")
    info = info_of()
    with statements(1):
        assert await counts.of_parents([empty, post, post], info) == [0, 2, 2]
    with statements(1):
        narrowed = await counts.load([post.pk], info, lambda rows: rows.filter(parent=None), "top")
    assert narrowed == [1]
    with statements(0):
        assert await counts.of_parents([post], info) == [2]


@pytest.mark.django_db
@pytest.mark.parametrize("parents", [1, 7])
async def test_pages_of_any_number_of_parents_take_one_statement(make: Make, parents: int) -> None:
    authors = [await make.user() for _ in range(parents)]
    written = [[await make.post(author=author) for _ in range(3)] for author in authors]
    pages = Pages(selectors.visible_to, parent="author_id")
    parents_and_one = [*authors, await make.user()]
    with statements(1) as counted:
        loaded = await pages.of_parents(parents_and_one, info_of(), FIRST_2, NEWEST)
    assert counted.rows == 3 * parents
    assert [page.nodes for page in loaded] == [[*reversed(posts)][:2] for posts in written] + [[]]
    assert [page.has_next_page for page in loaded] == [True] * parents + [False]
    with statements(1):
        assert await asyncio.gather(*(page.total() for page in loaded)) == [3] * parents + [0]


@pytest.mark.django_db
async def test_pages_with_other_arguments_are_loaded_apart(make: Make) -> None:
    author = await make.user()
    posts = [await make.post(author=author, title=f"Number {number}") for number in range(3)]
    pages, info = Pages(selectors.visible_to, parent="author_id"), info_of()
    last_1 = PageArgs(1, backward=True, after=None, before=None)
    one: Any = {"narrow": lambda rows: rows.filter(title="Number 1"), "key": "Number 1"}
    with statements(3):
        loads = [
            pages.of_parents([author], info, FIRST_2, NEWEST),
            pages.of_parents([author], info, last_1, NEWEST),
            pages.of_parents([author], info, FIRST_2, NEWEST, **one),
            pages.of_parents([author], info, FIRST_2, NEWEST),
        ]
        loaded = [page.nodes for [page] in await asyncio.gather(*loads)]
    assert loaded == [[posts[2], posts[1]], [posts[0]], [posts[1]], [posts[2], posts[1]]]


@pytest.mark.django_db
async def test_pages_of_what_cannot_be_are_empty(make: Make) -> None:
    """A queryset that Django knows to be empty has no SQL to put into the statement."""
    author = await make.user()
    pages = Pages(lambda viewer: Post.objects.none(), parent="author_id")
    with statements(0):
        [page] = await pages.of_parents([author], info_of(), FIRST_2, NEWEST)
    assert (page.nodes, page.has_next_page, page.has_previous_page) == ([], False, False)


@pytest.mark.django_db
async def test_a_root_page_counts_only_when_asked(make: Make) -> None:
    for _ in range(3):
        await make.post()
    with statements(1):
        page = await RootPages(selectors.visible_to).page(info_of(), FIRST_2, NEWEST)
    assert len(page.nodes) == 2
    with statements(1):
        assert await page.total() == 3
    empty = await RootPages(lambda viewer: Post.objects.filter(title="none")).page(info_of(), FIRST_2, NEWEST)
    assert await empty.total() == 0
    none = await RootPages(lambda viewer: Post.objects.none()).page(info_of(), FIRST_2, NEWEST)
    assert (none.nodes, await none.total()) == ([], 0)


@pytest.mark.django_db
async def test_a_page_leaves_the_search_vector_in_the_database(make: Make) -> None:
    author = await make.user()
    await make.post(author=author)
    [page] = await Pages(selectors.visible_to, parent="author_id").of_parents([author], info_of(), FIRST_2, NEWEST)
    [by_key] = await ByKey(selectors.visible_to).load([page.nodes[0].pk], info_of())
    assert by_key is not None
    for row in (page.nodes[0], by_key):
        with pytest.raises(AttributeError, match="search_vector"):
            _ = row.search_vector
