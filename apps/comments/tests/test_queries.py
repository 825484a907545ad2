"""Reading comments: threads, counts and the empty places of deleted ones."""

from datetime import timedelta
from typing import Any

import pytest

from apps.comments.models import DEPTH_MAX, Comment
from apps.posts.models import PostStatus
from tests.api import Api
from tests.make import START, Make, gid

pytestmark = pytest.mark.django_db


async def ask(api: Api, comment: Comment, selection: str) -> Any:
    return (await api(f"query($id: ID!) {{ comment(id: $id) {{ {selection} }} }}", id=gid(comment))).data["comment"]


async def comments_of(api: Api, post: Any, arguments: str = "") -> list[str]:
    query = f"query($id: ID!) {{ post(id: $id) {{ comments{arguments} {{ totalCount nodes {{ id }} }} }} }}"
    found = (await api(query, id=gid(post))).data["post"]["comments"]
    assert found["totalCount"] == len(found["nodes"])
    return [node["id"] for node in found["nodes"]]


async def deleted_with_a_reply(make: Make) -> tuple[Comment, Comment]:
    gone = await make.comment(body="", deleted_at=START)
    return gone, await make.comment(parent=gone)


async def test_a_comment_shows_what_was_stored(api: Api, make: Make) -> None:
    edited = START + timedelta(hours=1)
    comment = await make.comment(body="Hello", created_at=START, edited_at=edited)
    reply = await make.comment(parent=comment)
    fields = """
      id body createdAt editedAt deleted depth viewerCanEdit replyCount
      author { id } post { id } parent { id } replies { nodes { id } }
    """
    assert await ask(api, comment, fields) == {
        "id": gid(comment),
        "body": "Hello",
        "createdAt": START.isoformat(),
        "editedAt": edited.isoformat(),
        "deleted": False,
        "depth": 0,
        "viewerCanEdit": False,
        "replyCount": 1,
        "author": {"id": gid(comment.author)},
        "post": {"id": gid(comment.post)},
        "parent": None,
        "replies": {"nodes": [{"id": gid(reply)}]},
    }
    assert await ask(api, reply, "depth parent { id } post { id } editedAt") == {
        "depth": 1,
        "parent": {"id": gid(comment)},
        "post": {"id": gid(comment.post)},
        "editedAt": None,
    }


async def test_only_the_author_can_edit_a_comment(api: Api, make: Make) -> None:
    comment = await make.comment()
    viewers = {comment.author: True, comment.post.author: False, await make.user(is_staff=True): False}
    for viewer, can in viewers.items():
        assert await ask(await api.as_(viewer), comment, "viewerCanEdit") == {"viewerCanEdit": can}


async def test_a_deleted_comment_with_replies_is_an_empty_place(api: Api, make: Make) -> None:
    gone, reply = await deleted_with_a_reply(make)
    shown = await ask(await api.as_(gone.author), gone, "body deleted viewerCanEdit replyCount")
    assert shown == {"body": "", "deleted": True, "viewerCanEdit": False, "replyCount": 1}
    assert await ask(api, reply, "parent { id deleted }") == {"parent": {"id": gid(gone), "deleted": True}}
    assert await comments_of(api, gone.post) == [gid(reply), gid(gone)]


async def test_deleted_comments_are_listed_but_not_counted_as_comments(api: Api, make: Make) -> None:
    gone, reply = await deleted_with_a_reply(make)
    inner = await make.comment(parent=reply, body="", deleted_at=START)
    await make.comment(parent=inner)
    query = "query($id: ID!) { post(id: $id) { commentCount comments { totalCount } } }"
    assert (await api(query, id=gid(gone.post))).data["post"] == {"commentCount": 2, "comments": {"totalCount": 4}}
    counts = await ask(api, reply, "replyCount replies { totalCount }")
    assert counts == {"replyCount": 0, "replies": {"totalCount": 1}}


async def test_comments_of_a_post_come_newest_or_oldest_first(api: Api, make: Make) -> None:
    post = await make.post()
    comments = [gid(await make.comment(post=post, created_at=START + timedelta(days=day))) for day in (1, 3, 2)]
    newest = [comments[1], comments[2], comments[0]]
    assert await comments_of(api, post) == newest
    assert await comments_of(api, post, "(orderBy: NEWEST)") == newest
    assert await comments_of(api, post, "(orderBy: null, topLevel: null)") == newest
    assert await comments_of(api, post, "(orderBy: OLDEST)") == newest[::-1]


async def test_the_top_level_of_a_post_has_no_replies(api: Api, make: Make) -> None:
    first = await make.comment()
    second = await make.comment(post=first.post)
    reply = await make.comment(parent=first)
    assert await comments_of(api, first.post, "(topLevel: true)") == [gid(second), gid(first)]
    assert await comments_of(api, first.post, "(topLevel: false)") == [gid(reply), gid(second), gid(first)]


async def test_replies_come_oldest_first_and_are_direct_ones(api: Api, make: Make) -> None:
    comment = await make.comment()
    first, second = await make.comment(parent=comment), await make.comment(parent=comment)
    await make.comment(parent=first)
    replies = (await ask(api, comment, "replies { totalCount nodes { id } }"))["replies"]
    assert replies == {"totalCount": 2, "nodes": [{"id": gid(first)}, {"id": gid(second)}]}


async def test_a_thread_is_read_to_its_deepest_reply(api: Api, make: Make) -> None:
    thread = [await make.comment()]
    for _ in range(DEPTH_MAX):
        thread.append(await make.comment(parent=thread[-1]))
    deepest = await ask(api, thread[-1], "depth replies { nodes { id } }")
    assert deepest == {"depth": DEPTH_MAX, "replies": {"nodes": []}}
    up = await ask(api, thread[-1], "parent { parent { parent { parent { parent { id depth } } } } }")
    for _ in range(5):
        up = up["parent"]
    assert up == {"id": gid(thread[3]), "depth": 3}


async def test_a_users_comments_come_newest_first_from_all_posts(api: Api, make: Make) -> None:
    user = await make.user()
    comments = [await make.comment(author=user) for _ in range(3)]
    await make.comment(post=comments[0].post)
    query = "query($id: ID!) { user(id: $id) { comments { totalCount nodes { id post { id } } } } }"
    assert (await api(query, id=gid(user))).data["user"]["comments"] == {
        "totalCount": 3,
        "nodes": [{"id": gid(comment), "post": {"id": gid(comment.post)}} for comment in reversed(comments)],
    }


async def test_lists_of_one_field_with_other_arguments_do_not_mix(api: Api, make: Make) -> None:
    """One level, two types, the same field name: each with its own arguments and its own rows."""
    comment = await make.comment()
    older = await make.post(author=comment.author)
    newer = await make.post(author=comment.author)
    query = """query($ids: [ID!]!) { nodes(ids: $ids) {
      ... on Post { author { posts(first: 1) { nodes { id } } } }
      ... on Comment { author { posts(first: 2, orderBy: OLDEST) { nodes { id } } } }
    } }"""
    nodes = (await api(query, ids=[gid(older), gid(comment)])).data["nodes"]
    assert [node["author"]["posts"]["nodes"] for node in nodes] == [
        [{"id": gid(newer)}],
        [{"id": gid(older)}, {"id": gid(newer)}],
    ]


async def test_comments_on_a_draft_are_its_authors(api: Api, make: Make) -> None:
    draft = await make.post(status=PostStatus.DRAFT)
    comment = await make.comment(post=draft)
    author, commenter = await api.as_(draft.author), await api.as_(comment.author)
    assert await ask(author, comment, "post { id commentCount }") == {"post": {"id": gid(draft), "commentCount": 1}}
    assert await ask(commenter, comment, "id") is None
    assert await ask(api, comment, "id") is None
