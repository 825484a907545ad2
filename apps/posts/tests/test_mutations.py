from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.comments.models import Comment
from apps.posts.models import Post, PostStatus, Tagging
from tests.api import Api
from tests.make import Make, gid

pytestmark = pytest.mark.django_db

POST = "post { id title slug excerpt body status publishedAt version tags { slug } viewerCanEdit author { id } }"
NEVER = gid(Post(pk=2**63 - 1))


def in_a_day() -> str:
    return (timezone.now() + timedelta(days=1)).isoformat()


async def test_create_makes_a_draft(api: Api, make: Make) -> None:
    author, tags = await make.user(), [await make.tag(), await make.tag()]
    payload = await (await api.as_(author)).payload(
        "createPost", POST, title=" A  title ", body="One\n\ntwo.", tags=[tag.slug for tag in reversed(tags)]
    )
    stored = await Post.objects.aget()
    assert payload["errors"] == []
    assert payload["post"] == {
        "id": gid(stored),
        "title": "A  title",
        "slug": "a-title",
        "excerpt": "One two.",
        "body": "One\n\ntwo.",
        "status": "DRAFT",
        "publishedAt": None,
        "version": 1,
        "tags": [{"slug": tags[1].slug}, {"slug": tags[0].slug}],
        "viewerCanEdit": True,
        "author": {"id": gid(author)},
    }


async def test_create_publishes_when_told(api: Api, make: Make) -> None:
    before = timezone.now()
    client = await api.as_(await make.user())
    payload = await client.payload("createPost", POST, title="Title", publish=True)
    assert payload["post"]["status"] == "PUBLISHED"
    assert before <= datetime.fromisoformat(payload["post"]["publishedAt"]) <= timezone.now()
    assert (await api("{ posts { nodes { title body } } }")).data["posts"]["nodes"] == [{"title": "Title", "body": ""}]


@pytest.mark.parametrize("publish", [True, False])
async def test_create_schedules_when_given_a_date(api: Api, make: Make, publish: bool) -> None:
    client, then = await api.as_(await make.user()), in_a_day()
    payload = await client.payload("createPost", POST, title="Title", publish=publish, publishAt=then)
    assert payload["post"]["status"] == "SCHEDULED"
    assert datetime.fromisoformat(payload["post"]["publishedAt"]) == datetime.fromisoformat(then)
    assert (await api("{ posts { nodes { id } } }")).data["posts"]["nodes"] == []


@pytest.mark.parametrize(
    ("input", "refusals"),
    [
        ({"title": " "}, [("REQUIRED", ["title"])]),
        ({"title": "\u200b"}, [("REQUIRED", ["title"])]),
        ({"title": "x" * 201}, [("INVALID", ["title"])]),
        ({"title": "two\nlines"}, [("INVALID", ["title"])]),
        ({"body": "x" * 100_001}, [("INVALID", ["body"])]),
        ({"tags": ["unknown"]}, [("INVALID", ["tags"])]),
        ({"tags": [""]}, [("INVALID", ["tags"])]),
        ({"tags": ["Django"]}, [("INVALID", ["tags"])]),
        ({"tags": ["django", "django"]}, [("INVALID", ["tags"])]),
        ({"tags": [f"t{number}" for number in range(11)]}, [("INVALID", ["tags"])]),
        ({"publishAt": "2020-01-01T00:00:00Z"}, [("INVALID", ["publishAt"])]),
        (
            {"title": "", "body": "x" * 100_001, "tags": ["no"], "publishAt": "2020-01-01T00:00:00Z"},
            [("REQUIRED", ["title"]), ("INVALID", ["body"]), ("INVALID", ["tags"]), ("INVALID", ["publishAt"])],
        ),
    ],
)
async def test_create_refuses_and_stores_nothing(
    api: Api, make: Make, input: dict[str, Any], refusals: list[tuple[str, list[str]]]
) -> None:
    await make.tag(slug="django")
    client = await api.as_(await make.user())
    assert await client.refused("createPost", **{"title": "Title", **input}) == refusals
    assert not await Post.objects.aexists()


async def test_the_greatest_lengths_fit(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    tags = [(await make.tag()).slug for _ in range(10)]
    payload = await client.payload("createPost", POST, title="\U0001f600" * 200, body="ä" * 100_000, tags=tags)
    assert payload["errors"] == []
    assert await Tagging.objects.acount() == 10
    assert len(payload["post"]["excerpt"]) <= 200


async def test_update_changes_what_is_given_and_keeps_the_slug(api: Api, make: Make) -> None:
    old, new = await make.tag(), await make.tag()
    post = await make.post(title="Old", slug="old", body="Body.", tags=[old])
    client = await api.as_(post.author)
    expected: dict[str, Any] = {
        "title": "Old",
        "slug": "old",
        "body": "Body.",
        "version": 1,
        "tags": [{"slug": old.slug}],
    }
    for given, changes in (
        ({"title": "New"}, {"title": "New"}),
        ({"body": "Other."}, {"body": "Other.", "excerpt": "Other."}),
        ({"body": ""}, {"body": "", "excerpt": ""}),
        ({"tags": [new.slug, old.slug]}, {"tags": [{"slug": new.slug}, {"slug": old.slug}]}),
        ({"tags": []}, {"tags": []}),
    ):
        payload = await client.payload("updatePost", POST, id=gid(post), version=expected["version"], **given)
        assert payload["errors"] == []
        expected |= {**changes, "version": expected["version"] + 1}
        assert expected.items() <= payload["post"].items()
    stored = await Post.objects.aget()
    assert (stored.title, stored.slug, stored.version, stored.published_at) == ("New", "old", 6, post.published_at)
    assert stored.updated_at > post.updated_at


@pytest.mark.parametrize("version", [0, 1, 3, -1, 2**31 - 1, -(2**31)])
async def test_update_with_a_stale_version_is_a_conflict_and_changes_nothing(
    api: Api, make: Make, version: int
) -> None:
    post = await make.post(version=2, tags=[await make.tag()])
    client = await api.as_(post.author)
    payload = await client.payload(
        "updatePost", "post { id }", id=gid(post), version=version, title="Mine", body="Mine", tags=[]
    )
    [error] = payload["errors"]
    assert (error["code"], error["field"], payload["post"]) == ("CONFLICT", ["version"], None)
    assert "version 2" in error["message"]
    stored = await Post.objects.aget()
    assert (stored.title, stored.body, stored.version, stored.updated_at) == (
        post.title,
        post.body,
        2,
        post.updated_at,
    )
    assert await Tagging.objects.acount() == 1


@pytest.mark.parametrize(
    ("given", "refusals"),
    [
        ({"title": ""}, [("REQUIRED", ["title"])]),
        ({"title": "x" * 201, "body": "fine"}, [("INVALID", ["title"])]),
        ({"tags": ["no-such"], "title": "fine"}, [("INVALID", ["tags"])]),
        ({"title": "", "tags": ["x"] * 11}, [("REQUIRED", ["title"]), ("INVALID", ["tags"])]),
    ],
)
async def test_update_refuses_and_changes_nothing(
    api: Api, make: Make, given: dict[str, Any], refusals: list[tuple[str, list[str]]]
) -> None:
    post = await make.post(tags=[await make.tag()])
    client = await api.as_(post.author)
    assert await client.refused("updatePost", id=gid(post), version=1, **given) == refusals
    stored = await Post.objects.aget()
    assert (stored.title, stored.body, stored.version) == (post.title, post.body, 1)
    assert await Tagging.objects.acount() == 1


async def test_publish_puts_a_draft_out(api: Api, make: Make) -> None:
    post = await make.post(status=PostStatus.DRAFT)
    client = await api.as_(post.author)
    payload = await client.payload("publishPost", POST, id=gid(post))
    assert (payload["post"]["status"], payload["post"]["version"]) == ("PUBLISHED", 2)
    again = await client.payload("publishPost", POST, id=gid(post))
    assert again == payload, "publishing twice changes nothing"


async def test_publish_schedules_and_reschedules_and_publishes_early(api: Api, make: Make) -> None:
    post = await make.post(status=PostStatus.DRAFT)
    client = await api.as_(post.author)
    for days in (1, 2):
        then = timezone.now() + timedelta(days=days)
        payload = await client.payload("publishPost", POST, id=gid(post), publishAt=then.isoformat())
        assert payload["post"]["status"] == "SCHEDULED"
        assert datetime.fromisoformat(payload["post"]["publishedAt"]) == then
    payload = await client.payload("publishPost", POST, id=gid(post))
    assert payload["post"]["status"] == "PUBLISHED"
    assert datetime.fromisoformat(payload["post"]["publishedAt"]) <= timezone.now()


async def test_publish_refuses(api: Api, make: Make) -> None:
    post = await make.post()
    client = await api.as_(post.author)
    assert await client.refused("publishPost", id=gid(post), publishAt=in_a_day()) == [("CONFLICT", ["publishAt"])]
    past = "2020-01-01T00:00:00+00:00"
    assert await client.refused("publishPost", id=gid(post), publishAt=past) == [("INVALID", ["publishAt"])]
    stored = await Post.objects.aget()
    assert (stored.status, stored.version, stored.published_at) == ("published", 1, post.published_at)


async def test_archive_takes_a_post_back_and_publish_brings_it(api: Api, make: Make) -> None:
    post = await make.post()
    client = await api.as_(post.author)
    query = "query($id: ID!) { post(id: $id) { status } }"
    payload = await client.payload("archivePost", POST, id=gid(post))
    assert (payload["post"]["status"], payload["post"]["version"]) == ("ARCHIVED", 2)
    assert await client.payload("archivePost", POST, id=gid(post)) == payload, "archiving twice changes nothing"
    assert (await api(query, id=gid(post))).data == {"post": None}
    assert (await client(query, id=gid(post))).data == {"post": {"status": "ARCHIVED"}}
    payload = await client.payload("publishPost", POST, id=gid(post))
    assert datetime.fromisoformat(payload["post"]["publishedAt"]) == post.published_at
    assert (await api(query, id=gid(post))).data == {"post": {"status": "PUBLISHED"}}


async def test_delete_takes_the_comments_along(api: Api, make: Make) -> None:
    post = await make.post(tags=[await make.tag()])
    comment = await make.comment(post=post)
    await make.comment(parent=comment)
    other = await make.comment()
    client = await api.as_(post.author)
    payload = await client.payload("deletePost", "deletedPostId", id=gid(post))
    assert payload == {"deletedPostId": gid(post), "errors": []}
    assert [row.pk async for row in Post.objects.all()] == [other.post_id]
    assert [row.pk async for row in Comment.objects.all()] == [other.pk]
    assert await client.refused("deletePost", id=gid(post)) == [("NOT_FOUND", ["id"])]


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("updatePost", {"version": 1, "title": "Mine"}),
    ("publishPost", {}),
    ("archivePost", {}),
    ("deletePost", {}),
]


@pytest.mark.parametrize(("mutation", "input"), CHANGES)
async def test_a_change_needs_a_viewer_who_may_make_it(
    api: Api, make: Make, mutation: str, input: dict[str, Any]
) -> None:
    post = await make.post()
    draft = await make.post(status=PostStatus.DRAFT)
    stranger = await api.as_(await make.user())
    assert await api.refused(mutation, id=gid(post), **input) == [("UNAUTHENTICATED", None)]
    assert await stranger.refused(mutation, id=gid(post), **input) == [("FORBIDDEN", None)]
    assert await stranger.refused(mutation, id=gid(draft), **input) == [("NOT_FOUND", ["id"])]
    assert await stranger.refused(mutation, id=NEVER, **input) == [("NOT_FOUND", ["id"])]
    assert await stranger.refused(mutation, id=gid(post.author), **input) == [("INVALID", ["id"])]
    assert [(row.title, row.status, row.version) async for row in Post.objects.order_by("id")] == [
        (post.title, "published", 1),
        (draft.title, "draft", 1),
    ]


@pytest.mark.parametrize(("mutation", "input"), CHANGES)
async def test_the_staff_may_change_any_post(api: Api, make: Make, mutation: str, input: dict[str, Any]) -> None:
    post = await make.post(status=PostStatus.DRAFT)
    staff = await api.as_(await make.user(is_staff=True))
    assert (await staff.payload(mutation, "", id=gid(post), **input))["errors"] == []


async def test_create_needs_a_viewer(api: Api) -> None:
    assert await api.refused("createPost", title="Title") == [("UNAUTHENTICATED", None)]


async def test_dates_in_any_zone_are_the_same_moment(api: Api, make: Make) -> None:
    client = await api.as_(await make.user())
    payload = await client.payload("createPost", POST, title="T", publishAt="2099-12-31T23:30:00-05:30")
    published_at = datetime.fromisoformat(payload["post"]["publishedAt"])
    assert published_at == datetime(2100, 1, 1, 5, 0, tzinfo=UTC)


async def test_an_update_of_nothing_changes_nothing(api: Api, make: Make) -> None:
    post = await make.post(version=3)
    author = await api.as_(post.author)
    nothing = {"title": None, "body": None, "tags": None}
    updated = await author.payload("updatePost", "post { version }", id=gid(post), version=3, **nothing)
    assert updated == {"post": {"version": 3}, "errors": []}
