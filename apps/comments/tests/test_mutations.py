from typing import Any

import pytest

from apps.comments.models import DEPTH_MAX, Comment
from apps.posts.models import Post, PostStatus
from tests.api import Api
from tests.make import Make, gid

pytestmark = pytest.mark.django_db

COMMENT = "comment { id body depth deleted editedAt replyCount parent { id } post { id commentCount } author { id } }"
NEVER = gid(Comment(pk=2**63 - 1))
STATE = """query($id: ID!) {
  node(id: $id) { ... on Comment { body deleted replyCount viewerCanEdit post { commentCount } } }
}"""


async def bodies() -> list[str]:
    return [comment.body async for comment in Comment.objects.order_by("id")]


async def chain(make: Make, length: int, **fields: Any) -> list[Comment]:
    """A comment, a reply to it, a reply to that, and so on."""
    comments = [await make.comment(**fields)]
    while len(comments) < length:
        comments.append(await make.comment(parent=comments[-1], **{**fields, "post": comments[0].post}))
    return comments


async def test_add_makes_a_comment_and_a_reply(api: Api, make: Make) -> None:
    post, author = await make.post(), await make.user()
    client = await api.as_(author)
    first = await client.payload("addComment", COMMENT, postId=gid(post), body=" First\nline. ")
    assert first["errors"] == []
    assert first["comment"] == {
        "id": gid(await Comment.objects.aget()),
        "body": "First\nline.",
        "depth": 0,
        "deleted": False,
        "editedAt": None,
        "replyCount": 0,
        "parent": None,
        "post": {"id": gid(post), "commentCount": 1},
        "author": {"id": gid(author)},
    }
    parent = first["comment"]["id"]
    reply = await client.payload("addComment", COMMENT, postId=gid(post), parentId=parent, body="Reply.")
    assert (reply["comment"]["depth"], reply["comment"]["parent"]) == (1, {"id": parent})
    assert reply["comment"]["post"]["commentCount"] == 2
    assert (await api(STATE, id=parent)).data["node"]["replyCount"] == 1


async def test_replies_go_eight_deep_and_no_deeper(api: Api, make: Make) -> None:
    post = await make.post()
    client = await api.as_(await make.user())
    parent, depths = None, []
    for _ in range(DEPTH_MAX + 1):
        payload = await client.payload("addComment", COMMENT, postId=gid(post), parentId=parent, body="x")
        depths.append(payload["comment"]["depth"])
        parent = payload["comment"]["id"]
    assert depths == list(range(9))
    refusals = await client.refused("addComment", postId=gid(post), parentId=parent, body="x")
    assert refusals == [("INVALID", ["parentId"])]
    assert await Comment.objects.acount() == 9


@pytest.mark.parametrize(
    ("body", "code"), [(" ", "REQUIRED"), ("\u200b\n", "REQUIRED"), ("x" * 10_001, "INVALID"), ("\x00", "INVALID")]
)
async def test_a_body_that_is_no_text_is_refused(api: Api, make: Make, body: str, code: str) -> None:
    comment = await make.comment()
    client = await api.as_(comment.author)
    assert await client.refused("addComment", postId=gid(comment.post), body=body) == [(code, ["body"])]
    assert await client.refused("updateComment", id=gid(comment), body=body) == [(code, ["body"])]
    assert await bodies() == [comment.body]


async def test_a_body_of_the_greatest_length_fits(api: Api, make: Make) -> None:
    post = await make.post()
    client = await api.as_(await make.user())
    payload = await client.payload("addComment", COMMENT, postId=gid(post), body="\U0001f600" * 10_000)
    assert len(payload["comment"]["body"]) == 10_000


async def test_add_refuses_places_that_are_none(api: Api, make: Make) -> None:
    post, elsewhere = await make.post(), await make.comment()
    client = await api.as_(await make.user())
    for given, refusal in (
        ({"postId": gid(Post(pk=2**63 - 1))}, ("NOT_FOUND", ["postId"])),
        ({"postId": gid(elsewhere)}, ("INVALID", ["postId"])),
        ({"postId": "garbage"}, ("INVALID", ["postId"])),
        ({"parentId": gid(elsewhere)}, ("INVALID", ["parentId"])),
        ({"parentId": NEVER}, ("INVALID", ["parentId"])),
        ({"parentId": gid(post)}, ("INVALID", ["parentId"])),
        ({"parentId": "garbage"}, ("INVALID", ["parentId"])),
    ):
        assert await client.refused("addComment", **{"postId": gid(post), "body": "x", **given}) == [refusal]
    assert await Comment.objects.acount() == 1


async def test_an_empty_parent_is_no_id_rather_than_no_parent(api: Api, make: Make) -> None:
    post = await make.post()
    client = await api.as_(await make.user())
    refusals = await client.refused("addComment", postId=gid(post), parentId="", body="x")
    assert refusals == [("INVALID", ["parentId"])]
    assert (await client.payload("addComment", COMMENT, postId=gid(post), parentId=None, body="x"))["errors"] == []


@pytest.mark.parametrize("status", [PostStatus.DRAFT, PostStatus.SCHEDULED, PostStatus.ARCHIVED])
async def test_only_a_published_post_takes_comments(api: Api, make: Make, status: PostStatus) -> None:
    post = await make.post(status=status)
    author, stranger = await api.as_(post.author), await api.as_(await make.user())
    assert await stranger.refused("addComment", postId=gid(post), body="x") == [("NOT_FOUND", ["postId"])]
    assert await author.refused("addComment", postId=gid(post), body="x") == [("CONFLICT", ["postId"])]
    assert not await Comment.objects.aexists()


async def test_a_deleted_comment_takes_no_reply(api: Api, make: Make) -> None:
    parent, _ = await chain(make, 2)
    client = await api.as_(parent.author)
    await client.payload("deleteComment", "", id=gid(parent))
    refusals = await client.refused("addComment", postId=gid(parent.post), parentId=gid(parent), body="x")
    assert refusals == [("CONFLICT", ["parentId"])]


async def test_update_changes_the_text_and_says_when(api: Api, make: Make) -> None:
    comment = await make.comment(body="Old.")
    client = await api.as_(comment.author)
    payload = await client.payload("updateComment", COMMENT, id=gid(comment), body="New.")
    assert (payload["comment"]["body"], payload["errors"]) == ("New.", [])
    edited_at = payload["comment"]["editedAt"]
    assert edited_at is not None
    again = await client.payload("updateComment", COMMENT, id=gid(comment), body=" New. ")
    assert again["comment"]["editedAt"] == edited_at, "the same text is no change"


async def test_only_its_author_changes_a_comment_and_the_staff_deletes_it(api: Api, make: Make) -> None:
    comment = await make.comment()
    stranger, staff = await api.as_(await make.user()), await api.as_(await make.user(is_staff=True))
    post_author = await api.as_(comment.post.author)
    for mutation, given in (("updateComment", {"body": "x"}), ("deleteComment", {})):
        assert await api.refused(mutation, id=gid(comment), **given) == [("UNAUTHENTICATED", None)]
        assert await stranger.refused(mutation, id=gid(comment), **given) == [("FORBIDDEN", None)]
        assert await post_author.refused(mutation, id=gid(comment), **given) == [("FORBIDDEN", None)]
        assert await stranger.refused(mutation, id=NEVER, **given) == [("NOT_FOUND", ["id"])]
        assert await stranger.refused(mutation, id=gid(comment.post), **given) == [("INVALID", ["id"])]
    assert await staff.refused("updateComment", id=gid(comment), body="x") == [("FORBIDDEN", None)]
    assert await bodies() == [comment.body]
    payload = await staff.payload("deleteComment", "deletedCommentId", id=gid(comment))
    assert payload == {"deletedCommentId": gid(comment), "errors": []}
    assert await bodies() == []


async def test_add_needs_a_viewer(api: Api, make: Make) -> None:
    post = await make.post()
    assert await api.refused("addComment", postId=gid(post), body="x") == [("UNAUTHENTICATED", None)]


async def test_comments_of_a_post_that_was_taken_back_are_missing(api: Api, make: Make) -> None:
    post = await make.post(status=PostStatus.ARCHIVED)
    comment = await make.comment(post=post)
    commenter, author = await api.as_(comment.author), await api.as_(post.author)
    assert await commenter.refused("updateComment", id=gid(comment), body="x") == [("NOT_FOUND", ["id"])]
    assert await commenter.refused("deleteComment", id=gid(comment)) == [("NOT_FOUND", ["id"])]
    assert await author.refused("updateComment", id=gid(comment), body="x") == [("FORBIDDEN", None)]
    assert await bodies() == [comment.body]


async def test_deleting_a_leaf_removes_it(api: Api, make: Make) -> None:
    parent, leaf = await chain(make, 2)
    client = await api.as_(leaf.author)
    await client.payload("deleteComment", "", id=gid(leaf))
    assert await bodies() == [parent.body]
    state = (await api(STATE, id=gid(parent))).data["node"]
    assert (state["replyCount"], state["post"]["commentCount"], state["deleted"]) == (0, 1, False)
    assert (await api(STATE, id=gid(leaf))).data == {"node": None}
    assert await client.refused("deleteComment", id=gid(leaf)) == [("NOT_FOUND", ["id"])]


async def test_deleting_what_has_replies_leaves_an_empty_place(api: Api, make: Make) -> None:
    root, middle, leaf = await chain(make, 3)
    client = await api.as_(middle.author)
    await client.payload("deleteComment", "", id=gid(middle))
    assert await bodies() == [root.body, "", leaf.body]
    assert (await client(STATE, id=gid(middle))).data["node"] == {
        "body": "",
        "deleted": True,
        "replyCount": 1,
        "viewerCanEdit": False,
        "post": {"commentCount": 2},
    }
    assert (await api(STATE, id=gid(root))).data["node"]["replyCount"] == 0, "deleted replies are not counted"
    replies = "query($id: ID!) { node(id: $id) { ... on Comment { replies { nodes { id deleted } } } } }"
    listed = (await api(replies, id=gid(root))).data["node"]["replies"]["nodes"]
    assert listed == [{"id": gid(middle), "deleted": True}]
    for mutation, given in (("deleteComment", {}), ("updateComment", {"body": "back"})):
        assert await client.refused(mutation, id=gid(middle), **given) == [("NOT_FOUND", ["id"])]


async def test_the_last_reply_takes_empty_ancestors_along(api: Api, make: Make) -> None:
    comments = await chain(make, 5)
    root, first, second, third, leaf = comments
    for comment in (first, second, third):
        await (await api.as_(comment.author)).payload("deleteComment", "", id=gid(comment))
    assert await bodies() == [root.body, "", "", "", leaf.body]
    await (await api.as_(leaf.author)).payload("deleteComment", "", id=gid(leaf))
    assert await bodies() == [root.body]
    assert (await api(STATE, id=gid(root))).data["node"]["post"]["commentCount"] == 1


async def test_an_empty_ancestor_with_another_reply_stays(api: Api, make: Make) -> None:
    root, one = await chain(make, 2)
    two = await make.comment(parent=root)
    await (await api.as_(root.author)).payload("deleteComment", "", id=gid(root))
    await (await api.as_(one.author)).payload("deleteComment", "", id=gid(one))
    assert await bodies() == ["", two.body]
    await (await api.as_(two.author)).payload("deleteComment", "", id=gid(two))
    assert await bodies() == []


async def test_a_thread_can_be_deleted_from_the_root_down_to_nothing(api: Api, make: Make) -> None:
    comments = await chain(make, DEPTH_MAX + 1)
    post = comments[0].post
    for comment in comments:
        payload = await (await api.as_(comment.author)).payload("deleteComment", "", id=gid(comment))
        assert payload["errors"] == []
    assert await bodies() == []
    counted = (await api("query($id: ID!) { post(id: $id) { commentCount } }", id=gid(post))).data
    assert counted == {"post": {"commentCount": 0}}
