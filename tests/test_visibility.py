"""Drafts, scheduled and archived posts are for their author, editors and the staff, through whatever door one comes."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from apps.comments.models import Comment
from apps.comments.tasks import comments_on
from apps.core.ids import global_id
from apps.posts.models import Post, PostStatus, Tag
from apps.posts.tasks import POST_PUBLISHED
from apps.users.models import User
from tests.api import Answer, Api
from tests.make import gid, make_comment, make_post, make_tag, make_user
from tests.selections import ways_in, ways_to
from tests.streams import heard

# Hundreds of requests over code that other tests have measured: coverage would take as long again.
pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]

ALL = set(PostStatus)
PUBLIC = {PostStatus.PUBLISHED}
SEES = {
    "anonymous": PUBLIC,
    "stranger": PUBLIC,
    "commenter": PUBLIC,
    "moderator": PUBLIC,
    "author": ALL,
    "editor": ALL,
    "admin": ALL,
    "staff": ALL,
}
MISSING = 10**15


@dataclass(frozen=True)
class House:
    """A post in each state, with a comment and a reply by the same commenter, all under one tag."""

    author: User
    commenter: User
    stranger: User
    moderator: User
    editor: User
    admin: User
    staff: User
    tag: Tag
    posts: dict[PostStatus, Post]
    comments: dict[PostStatus, Comment]
    replies: dict[PostStatus, Comment]

    def hidden(self) -> list[PostStatus]:
        return [status for status in self.posts if status not in PUBLIC]


@pytest.fixture
def house(db: None) -> House:
    author, commenter, stranger, staff = make_user(), make_user(), make_user(), make_user(is_staff=True)
    moderator, editor, admin = (make_user(role=role) for role in ("moderator", "editor", "admin"))
    tag = make_tag()
    dates = {PostStatus.SCHEDULED: {"published_at": timezone.now() + timedelta(days=1)}}
    posts = {
        status: make_post(author=author, status=status, title="Zebra", tags=[tag], **dates.get(status, {}))
        for status in PostStatus
    }
    comments = {status: make_comment(post=post, author=commenter) for status, post in posts.items()}
    replies = {status: make_comment(parent=comment, author=commenter) for status, comment in comments.items()}
    return House(author, commenter, stranger, moderator, editor, admin, staff, tag, posts, comments, replies)


async def viewer_of(api: Api, house: House, name: str) -> Api:
    return api if name == "anonymous" else await api.as_(getattr(house, name))


def states(house: House, ids: list[str]) -> set[PostStatus]:
    """The states of the posts that the ids of posts or comments belong to; each has to be there once."""
    rows = [*house.posts.items(), *house.comments.items(), *house.replies.items()]
    status_of = {gid(row): status for status, row in rows}
    assert len(ids) == len(set(ids))
    return {status_of[id] for id in ids}


def found(nodes: list[Any]) -> list[str]:
    return [node["id"] for node in nodes if node]


async def one_by_one(api: Api, query: str, values: list[str]) -> list[str]:
    return found([(await api(query, v=value)).data["found"] for value in values])


async def through_post_by_id(api: Api, house: House) -> list[str]:
    ids = [gid(post) for post in house.posts.values()]
    return await one_by_one(api, "query($v: ID!) { found: post(id: $v) { id } }", ids)


async def through_post_by_slug(api: Api, house: House) -> list[str]:
    slugs = [post.slug for post in house.posts.values()]
    return await one_by_one(api, "query($v: String!) { found: post(slug: $v) { id } }", slugs)


async def through_node(api: Api, house: House) -> list[str]:
    ids = [gid(post) for post in house.posts.values()]
    return await one_by_one(api, "query($v: ID!) { found: node(id: $v) { id } }", ids)


async def through_nodes(api: Api, house: House) -> list[str]:
    ids = [gid(post) for post in house.posts.values()]
    return found((await api("query($v: [ID!]!) { nodes(ids: $v) { id } }", v=ids)).data["nodes"])


async def through_comment(api: Api, house: House) -> list[str]:
    ids = [gid(comment) for comment in house.comments.values()]
    return await one_by_one(api, "query($v: ID!) { found: comment(id: $v) { id } }", ids)


async def through_node_of_comment(api: Api, house: House) -> list[str]:
    ids = [gid(comment) for comment in house.replies.values()]
    return await one_by_one(api, "query($v: ID!) { found: node(id: $v) { id } }", ids)


async def through_nodes_of_comments(api: Api, house: House) -> list[str]:
    ids = [gid(comment) for comment in house.comments.values()]
    query = "query($v: [ID!]!) { nodes(ids: $v) { ... on Comment { post { id } } } }"
    return [node["post"]["id"] for node in (await api(query, v=ids)).data["nodes"] if node]


async def through_parents(api: Api, house: House) -> list[str]:
    ids = [gid(reply) for reply in house.replies.values()]
    query = "query($v: [ID!]!) { nodes(ids: $v) { ... on Comment { parent { id } } } }"
    return [node["parent"]["id"] for node in (await api(query, v=ids)).data["nodes"] if node]


async def through_replies(api: Api, house: House) -> list[str]:
    ids = [gid(comment) for comment in house.comments.values()]
    query = """query($v: [ID!]!) {
      nodes(ids: $v) { ... on Comment { replies { totalCount nodes { id } edges { node { id } } } } }
    }"""
    return [id for node in (await api(query, v=ids)).data["nodes"] if node for id in listed(node["replies"])]


async def through_comments_of_posts(api: Api, house: House) -> list[str]:
    query = "{ posts { nodes { comments { totalCount nodes { id } edges { node { id } } } } } }"
    return [id for post in (await api(query)).data["posts"]["nodes"] for id in listed(post["comments"])]


def through_posts(filter: str = "", order_by: str = "NEWEST") -> Callable[[Api, House], Awaitable[list[str]]]:
    async def look(api: Api, house: House) -> list[str]:
        given = filter.replace("AUTHOR", gid(house.author)).replace("TAG", house.tag.slug)
        query = f"""{{
          posts(filter: {{ {given} }}, orderBy: {order_by}) {{ totalCount nodes {{ id }} edges {{ node {{ id }} }} }}
        }}"""
        return listed((await api(query)).data["posts"])

    return look


def listed(connection: Any) -> list[str]:
    ids = found(connection["nodes"])
    assert connection["totalCount"] == len(ids)
    assert [edge["node"]["id"] for edge in connection["edges"]] == ids
    return ids


async def through_posts_of_user(api: Api, house: House) -> list[str]:
    query = "query($v: ID!) { user(id: $v) { posts { totalCount nodes { id } edges { node { id } } } } }"
    return listed((await api(query, v=gid(house.author))).data["user"]["posts"])


async def through_search_of_user(api: Api, house: House) -> list[str]:
    query = """query($v: ID!) {
      user(id: $v) {
        posts(filter: {search: "zebra"}, orderBy: RELEVANCE) { totalCount nodes { id } edges { node { id } } }
      }
    }"""
    return listed((await api(query, v=gid(house.author))).data["user"]["posts"])


async def through_posts_of_tag(api: Api, house: House) -> list[str]:
    query = """query($v: ID!) {
      node(id: $v) { ... on Tag { posts { totalCount nodes { id } edges { node { id } } } } }
    }"""
    return listed((await api(query, v=gid(house.tag))).data["node"]["posts"])


async def through_tags_of_posts(api: Api, house: House) -> list[str]:
    query = "{ posts { nodes { tags { posts { totalCount nodes { id } edges { node { id } } } } } } }"
    first, *others = [tag["posts"] for post in (await api(query)).data["posts"]["nodes"] for tag in post["tags"]]
    assert all(other == first for other in others)
    return listed(first)


async def through_comments_of_user(api: Api, house: House) -> list[str]:
    query = "query($v: ID!) { user(id: $v) { comments { totalCount nodes { id } edges { node { id } } } } }"
    return listed((await api(query, v=gid(house.commenter))).data["user"]["comments"])


async def through_posts_of_comments(api: Api, house: House) -> list[str]:
    query = "query($v: ID!) { user(id: $v) { comments { nodes { post { id commentCount } } } } }"
    nodes = (await api(query, v=gid(house.commenter))).data["user"]["comments"]["nodes"]
    assert {node["post"]["commentCount"] for node in nodes} == {2}
    return list({node["post"]["id"] for node in nodes})


async def through_posts_published(api: Api, house: House) -> list[str]:
    # What everybody sees is said last.
    statuses = sorted(house.posts, key=lambda status: status in PUBLIC)
    ids = [gid(house.posts[status]) for status in statuses]
    return await heard("subscription { postPublished { id } }", api.token, POST_PUBLISHED, ids) or []


async def through_comments_added(api: Api, house: House) -> list[str]:
    found: list[str] = []
    for status, post in house.posts.items():
        operation = f'subscription {{ commentAdded(postId: "{gid(post)}") {{ id }} }}'
        ids = [gid(house.comments[status]), gid(house.replies[status])]
        found += await heard(operation, api.token, comments_on(post.pk), ids) or []
    return found


DOORS = {
    "post by id": through_post_by_id,
    "post by slug": through_post_by_slug,
    "node": through_node,
    "nodes": through_nodes,
    "comment": through_comment,
    "node of a comment": through_node_of_comment,
    "post of comments from nodes": through_nodes_of_comments,
    "posts": through_posts(),
    "posts, oldest first": through_posts(order_by="OLDEST"),
    "posts by title": through_posts(order_by="TITLE"),
    "posts last changed": through_posts(order_by="RECENTLY_UPDATED"),
    "search": through_posts('search: "zebra"', "RELEVANCE"),
    "posts by author": through_posts('author: "AUTHOR"'),
    "posts by tag": through_posts('tag: "TAG"'),
    "posts of user": through_posts_of_user,
    "search in posts of user": through_search_of_user,
    "posts of tag": through_posts_of_tag,
    "tags of posts": through_tags_of_posts,
    "comments of posts": through_comments_of_posts,
    "parents": through_parents,
    "replies": through_replies,
    "comments of user": through_comments_of_user,
    "post of comments": through_posts_of_comments,
    "posts published": through_posts_published,
    "comments added": through_comments_added,
}
# By these no request comes that could be looked at.
STREAMS = ("posts published", "comments added")


@pytest.mark.parametrize("viewer", SEES)
async def test_every_door_shows_what_the_viewer_may_see(api: Api, house: House, viewer: str) -> None:
    seen = await viewer_of(api, house, viewer)
    shown = {name: states(house, await look(seen, house)) for name, look in DOORS.items()}
    assert shown == dict.fromkeys(DOORS, SEES[viewer])


async def test_every_way_to_posts_and_comments_is_a_door(api: Api, house: House) -> None:
    """A field that is new, and gives rows of theirs, needs a door above."""
    asked: list[str] = []

    async def keep(request: httpx.Request) -> None:
        asked.append(json.loads(request.content)["query"])

    api.client.event_hooks["request"].append(keep)
    for name, look in DOORS.items():
        if name not in STREAMS:
            await look(api, house)
    asked += ["subscription { postPublished { id } }", 'subscription { commentAdded(postId: "") { id } }']
    assert ways_to("Post", "Comment") - set().union(*map(ways_in, asked)) == set()


@pytest.mark.parametrize("status", PostStatus)
@pytest.mark.parametrize("viewer", SEES)
async def test_a_filter_by_status_opens_no_door(api: Api, house: House, viewer: str, status: PostStatus) -> None:
    seen = await viewer_of(api, house, viewer)
    query = f"{{ posts(filter: {{status: {status.name}}}) {{ totalCount nodes {{ status }} }} }}"
    nodes = [{"status": status.name}] if status in SEES[viewer] else []
    assert (await seen(query)).data["posts"] == {"totalCount": len(nodes), "nodes": nodes}


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("query($v: ID!) { post(id: $v) { id } }", "posts"),
        ("query($v: ID!) { node(id: $v) { id } }", "posts"),
        ("query($v: ID!) { nodes(ids: [$v, $v]) { id } }", "posts"),
        ("query($v: ID!) { comment(id: $v) { id } }", "comments"),
        ("query($v: ID!) { node(id: $v) { id ... on Comment { post { id } replies { totalCount } } } }", "comments"),
        ("query($v: ID!) { node(id: $v) { id ... on Comment { parent { id } } } }", "replies"),
    ],
)
@pytest.mark.parametrize("viewer", ["anonymous", "stranger", "commenter", "moderator"])
async def test_hidden_equals_missing(api: Api, house: House, viewer: str, query: str, row: str) -> None:
    seen = await viewer_of(api, house, viewer)
    rows = getattr(house, row)
    missing = await seen(query, v=global_id(type(rows[PostStatus.DRAFT]).__name__, MISSING))
    for status in house.hidden():
        assert told(await seen(query, v=gid(rows[status]))) == told(missing)


async def test_a_hidden_slug_equals_a_missing_one(api: Api, house: House) -> None:
    query = "query($v: String!) { post(slug: $v) { id title } }"
    missing = await api(query, v="there-is-no-such-slug")
    for status in house.hidden():
        assert told(await api(query, v=house.posts[status].slug)) == told(missing)


@pytest.mark.parametrize(
    ("mutation", "input"),
    [
        ("updatePost", {"id": "POST", "version": 1, "title": "Mine"}),
        ("publishPost", {"id": "POST"}),
        ("archivePost", {"id": "POST"}),
        ("deletePost", {"id": "POST"}),
        ("addComment", {"postId": "POST", "body": "Hello"}),
        ("updateComment", {"id": "COMMENT", "body": "Changed"}),
        ("deleteComment", {"id": "COMMENT"}),
    ],
)
@pytest.mark.parametrize("viewer", ["stranger", "commenter", "moderator"])
async def test_writing_to_the_hidden_equals_writing_to_the_missing(
    api: Api, house: House, viewer: str, mutation: str, input: dict[str, Any]
) -> None:
    seen = await viewer_of(api, house, viewer)

    async def attempt(post: str, comment: str) -> Any:
        ids = {"POST": post, "COMMENT": comment}
        return await seen.payload(mutation, "", **{name: ids.get(str(value), value) for name, value in input.items()})

    missing = await attempt(global_id("Post", MISSING), global_id("Comment", MISSING))
    assert [error["code"] for error in missing["errors"]] == ["NOT_FOUND"]
    for status in house.hidden():
        assert await attempt(gid(house.posts[status]), gid(house.comments[status])) == missing


async def test_replying_to_a_hidden_comment_equals_replying_to_a_missing_one(api: Api, house: House) -> None:
    stranger = await api.as_(house.stranger)
    post = gid(house.posts[PostStatus.PUBLISHED])

    async def reply(parent: str) -> Any:
        return await stranger.payload("addComment", "", postId=post, parentId=parent, body="Hello")

    missing = await reply(global_id("Comment", MISSING))
    assert missing["errors"]
    for status in house.hidden():
        assert await reply(gid(house.comments[status])) == missing


async def test_a_post_that_is_taken_back_takes_its_comments_along(api: Api, house: House) -> None:
    query = "query($v: ID!) { user(id: $v) { comments { totalCount nodes { id } } } }"
    before = (await api(query, v=gid(house.commenter))).data["user"]["comments"]
    assert (before["totalCount"], len(before["nodes"])) == (2, 2)
    author = await api.as_(house.author)
    await author.payload("archivePost", "post { id }", id=gid(house.posts[PostStatus.PUBLISHED]))
    after = (await api(query, v=gid(house.commenter))).data["user"]["comments"]
    assert after == {"totalCount": 0, "nodes": []}


@pytest.mark.parametrize("viewer", ["anonymous", "stranger", "admin", "staff"])
async def test_another_users_session_equals_a_missing_one(api: Api, house: House, viewer: str) -> None:
    await api.as_(house.author)
    session = await sync_to_async(house.author.sessions.get)()
    seen = await viewer_of(api, house, viewer)
    query = "query($v: ID!) { node(id: $v) { id ... on Session { ip } } }"
    missing = await seen(query, v=global_id("Session", MISSING))
    assert missing.data == {"node": None}
    assert told(await seen(query, v=gid(session))) == told(missing)


async def test_a_locked_account_is_listed_to_admins_and_the_staff_alone(api: Api, house: House) -> None:
    await sync_to_async(User.objects.filter(pk=house.commenter.pk).update)(is_active=False)
    query = "{ users { totalCount nodes { id } } }"
    for name, number in {"anonymous": 6, "stranger": 6, "editor": 6, "moderator": 6, "admin": 7, "staff": 7}.items():
        users = (await (await viewer_of(api, house, name))(query)).data["users"]
        assert (users["totalCount"], len(users["nodes"])) == (number, number)
        assert (gid(house.commenter) in found(users["nodes"])) == (name in {"admin", "staff"})


def told(answer: Answer) -> Any:
    """All that a client learns from an answer, but for the id of its own request."""
    for error in answer.body.get("errors", []):
        del error["extensions"]["requestId"]
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status, headers, answer.body
