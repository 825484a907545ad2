"""The plans of the main queries, on enough rows for PostgreSQL to prefer an index where there is one that fits.

Each statement is the one that the API sends, explained with its parameters; none may read a whole table of posts,
comments or users.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.comments.models import Comment
from apps.posts.models import Post, Tag
from apps.users.models import User
from tests.api import Api
from tests.make import gid, make_user

pytestmark = pytest.mark.django_db

WATCHED = {"posts_post", "comments_comment", "users_user"}

# In SQL: the ORM would take ten times as long. Nine posts in ten are out; half of the comments are replies.
ROWS = """
INSERT INTO users_user (email, password, first_name, last_name, bio, is_active, is_staff, is_superuser, date_joined)
SELECT n || '@example.com', '!', 'Ada' || n, 'Test', '', true, false, false,
       timestamptz '2026-01-01Z' + n * interval '1m'
FROM generate_series(1, 5000) n;

INSERT INTO posts_tag (name, slug) SELECT 'Tag ' || n, 'tag-' || n FROM generate_series(1, 40) n;

INSERT INTO posts_post (author_id, title, slug, excerpt, body, status, published_at, created_at, updated_at, version)
SELECT (SELECT min(id) FROM users_user) + n % 500,
       md5(n::text) || CASE WHEN n % 400 = 1 THEN ' quagga' ELSE '' END, 'post-' || n, '',
       repeat('A sentence about ' || md5(n::text) || '. ', 10),
       CASE WHEN n % 10 > 0 THEN 'published' ELSE 'draft' END,
       CASE WHEN n % 10 > 0 THEN timestamptz '2026-01-01Z' + n * interval '1m' END,
       timestamptz '2026-01-01Z' + n * interval '1m', timestamptz '2026-02-01Z' + n % 777 * interval '1m', 1
FROM generate_series(1, 4000) n;

INSERT INTO posts_tagging (post_id, tag_id, position)
SELECT id, (SELECT min(id) FROM posts_tag) + (id + position * 7) % 40, position
FROM posts_post, generate_series(0, 1) position;

INSERT INTO comments_comment (post_id, author_id, depth, body, created_at)
SELECT (SELECT min(id) FROM posts_post) + n % 4000, (SELECT min(id) FROM users_user) + n % 2000, 0,
       'A comment of a usual length, more or less.', timestamptz '2026-03-01Z' + n * interval '1m'
FROM generate_series(1, 10000) n;

INSERT INTO comments_comment (post_id, author_id, parent_id, depth, body, created_at)
SELECT post_id, author_id, id, 1, 'A reply.', created_at + interval '1s' FROM comments_comment;

-- As on a disk that seeks for nothing. With the default of 4 a table that autovacuum has just been at, and whose index
-- keeps the entries of earlier tests, is cheaper to read whole than fifty of its rows.
SET LOCAL random_page_cost = 1.1;
-- As VACUUM would: entries that wait to be filed make a GIN index look expensive.
SELECT gin_clean_pending_list('user_search_name'), gin_clean_pending_list('post_search');
ANALYZE users_user, posts_post, posts_tag, posts_tagging, comments_comment;
"""


@dataclass(frozen=True)
class Archive:
    """Thousands of rows, with the statistics that a live server would have, and some of them by name."""

    database: BaseDatabaseWrapper
    author: User
    tag: Tag
    post: Post
    comment: Comment

    @contextmanager
    def explained(self) -> Iterator[list[tuple[str, Any]]]:
        """The plan of every SELECT that is sent, beside its text."""
        plans: list[tuple[str, Any]] = []

        def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("SELECT"):
                with self.database.connection.cursor() as cursor:
                    cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                    [[[plan]]] = cursor.fetchall()
                plans.append((sql, plan["Plan"]))
            return execute(sql, params, many, context)

        with self.database.execute_wrapper(explain):
            yield plans

    async def check(self, api: Api, query: str) -> Any:
        """The data; no statement on the way to it may read a whole table."""
        with self.explained() as plans:
            data = (await api(query)).data
        assert plans
        whole = [(sql, plan) for sql, plan in plans if scanned(plan) & WATCHED]
        assert not whole, query + "".join(f"\n\n{sql}\n" + "\n".join(outline(plan)) for sql, plan in whole)
        return data


@pytest.fixture
def archive(db: None) -> Archive:
    with connection.cursor() as cursor:
        cursor.execute(ROWS)
    post = Post.objects.get(slug="post-5")
    comment = Comment.objects.filter(post=post, parent=None)[0]
    return Archive(connections["default"], post.author, post.tags.all()[0], post, comment)


def outline(plan: Any, depth: int = 0) -> Iterator[str]:
    """`plan` as psql would show it, roughly."""
    target = plan.get("Index Name") or plan.get("Relation Name") or ""
    yield f"{'  ' * depth}{plan['Node Type']} {target} rows={plan['Plan Rows']} cost={plan['Total Cost']}"
    for inner in plan.get("Plans", ()):
        yield from outline(inner, depth + 1)


def scanned(plan: Any) -> set[str]:
    """The tables that `plan` reads from end to end."""
    tables = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return tables.union(*(scanned(inner) for inner in plan.get("Plans", ())))


def sorts(plan: Any) -> int:
    """How many rows PostgreSQL expects to sort for `plan`, at most."""
    here = int(plan["Plan Rows"]) if plan["Node Type"] == "Sort" else 0
    return max([here, *(sorts(inner) for inner in plan.get("Plans", ()))])


Arguments = Callable[[Archive], str]

POST_LISTS: dict[str, Arguments] = {
    "newest": lambda it: "orderBy: NEWEST",
    "oldest": lambda it: "orderBy: OLDEST",
    "recently updated": lambda it: "orderBy: RECENTLY_UPDATED",
    "by title": lambda it: "orderBy: TITLE",
    "by status": lambda it: "filter: {status: PUBLISHED}",
    "by author": lambda it: f'filter: {{author: "{gid(it.author)}"}}',
    "by tag": lambda it: f'filter: {{tag: "{it.tag.slug}"}}',
    "after a date": lambda it: 'filter: {publishedAfter: "2026-01-03T00:00:00Z"}',
    "before a date": lambda it: 'filter: {publishedBefore: "2026-01-01T02:00:00Z"}, orderBy: OLDEST',
    "search": lambda it: 'filter: {search: "quagga"}',
    "best matches": lambda it: 'filter: {search: "quagga"}, orderBy: RELEVANCE',
}


async def viewers(api: Api, archive: Archive) -> list[Api]:
    """Anonymous, the author of some posts, and the staff: what they may see is asked in different ways."""
    staff = await sync_to_async(make_user)(is_staff=True)
    return [api, await api.as_(archive.author), await api.as_(staff)]


async def test_pages_of_posts_come_from_an_index(api: Api, archive: Archive) -> None:
    for seen in await viewers(api, archive):
        for arguments in POST_LISTS.values():
            given = arguments(archive)
            first = await archive.check(
                seen, f"{{ posts(first: 10, {given}) {{ nodes {{ id }} pageInfo {{ endCursor }} }} }}"
            )
            assert first["posts"]["nodes"]
            cursor = first["posts"]["pageInfo"]["endCursor"]
            await archive.check(seen, f'{{ posts(first: 10, after: "{cursor}", {given}) {{ nodes {{ id }} }} }}')
            await archive.check(seen, f"{{ posts(last: 10, {given}) {{ nodes {{ id }} }} }}")


async def test_a_page_far_behind_costs_what_the_first_one_costs(api: Api, archive: Archive) -> None:
    for seen in await viewers(api, archive):
        for order in ("NEWEST", "OLDEST", "RECENTLY_UPDATED", "TITLE"):
            query = f"{{ posts(last: 30, orderBy: {order}) {{ pageInfo {{ startCursor }} }} }}"
            cursor = (await seen(query)).data["posts"]["pageInfo"]["startCursor"]
            with archive.explained() as plans:
                page = (
                    await seen(f'{{ posts(first: 10, orderBy: {order}, after: "{cursor}") {{ nodes {{ id }} }} }}')
                ).data
            assert len(page["posts"]["nodes"]) == 10
            assert not any(scanned(plan) & WATCHED for _, plan in plans)
            assert max(sorts(plan) for _, plan in plans) <= 11


async def test_counts_of_filtered_posts_come_from_an_index(api: Api, archive: Archive) -> None:
    for seen in await viewers(api, archive):
        for name in ("by author", "by tag", "before a date", "search"):
            data = await archive.check(seen, f"{{ posts({POST_LISTS[name](archive)}) {{ totalCount }} }}")
            assert data["posts"]["totalCount"]


async def test_single_rows_come_from_an_index(api: Api, archive: Archive) -> None:
    for seen in await viewers(api, archive):
        post, comment = archive.post, archive.comment
        assert (await archive.check(seen, f'{{ post(id: "{gid(post)}") {{ title author {{ id }} }} }}'))["post"]
        assert (await archive.check(seen, f'{{ post(slug: "{post.slug}") {{ title tags {{ id }} }} }}'))["post"]
        assert (await archive.check(seen, f'{{ comment(id: "{gid(comment)}") {{ post {{ id }} }} }}'))["comment"]
        assert (await archive.check(seen, f'{{ user(id: "{gid(archive.author)}") {{ id }} }}'))["user"]
        assert await archive.check(seen, f'{{ nodes(ids: ["{gid(post)}", "{gid(comment)}"]) {{ id }} }}')


async def test_nested_lists_come_from_an_index(api: Api, archive: Archive) -> None:
    for seen in await viewers(api, archive):
        feed = """{ posts(first: 50) { nodes {
          author { id posts(first: 3) { totalCount nodes { id } } comments(first: 3) { nodes { id } } }
          tags { id } commentCount
          comments(first: 10) { totalCount nodes { author { id } parent { id } replyCount } }
          oldest: comments(first: 10, orderBy: OLDEST) { nodes { id } }
          latest: comments(last: 3) { nodes { id } }
          topLevel: comments(first: 10, topLevel: true) {
            totalCount nodes { replyCount replies(first: 3) { totalCount nodes { id } } }
          }
        } } }"""
        data = await archive.check(seen, feed)
        assert sum(node["commentCount"] for node in data["posts"]["nodes"]) > 100
        of_tag = "... on Tag { posts(first: 10) { totalCount nodes { id } } }"
        query = f'{{ node(id: "{gid(archive.tag)}") {{ {of_tag} }} }}'
        assert (await archive.check(seen, query))["node"]["posts"]["nodes"]


async def test_nested_pages_behind_a_cursor_come_from_an_index(api: Api, archive: Archive) -> None:
    for seen in await viewers(api, archive):
        for field, opening in {
            "posts": f'user(id: "{gid(archive.author)}")',
            "comments": f'user(id: "{gid(archive.author)}")',
        }.items():
            query = f"{{ found: {opening} {{ {field}(first: 2) {{ pageInfo {{ endCursor }} }} }} }}"
            cursor = (await archive.check(seen, query))["found"][field]["pageInfo"]["endCursor"]
            assert cursor
            await archive.check(
                seen, f'{{ {opening} {{ {field}(first: 2, after: "{cursor}") {{ nodes {{ id }} }} }} }}'
            )


async def test_users_come_from_an_index(api: Api, archive: Archive) -> None:
    for seen in await viewers(api, archive):
        assert (await archive.check(seen, "{ users(first: 10) { nodes { id } } }"))["users"]["nodes"]
        data = await archive.check(
            seen, '{ users(first: 10, filter: {search: "ada1234"}) { totalCount nodes { id } } }'
        )
        assert data["users"]["totalCount"] == 1


async def test_reading_a_whole_table_would_be_found(api: Api, archive: Archive) -> None:
    def search_everywhere() -> list[tuple[str, Any]]:
        with archive.explained() as plans:
            list(Post.objects.filter(body__contains="nothing"))
        return plans

    [(_, plan)] = await sync_to_async(search_everywhere)()
    assert scanned(plan) == {"posts_post"}
