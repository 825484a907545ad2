"""What the database itself refuses, whoever writes."""

from typing import Any

import pytest
from django.db import DataError
from django.utils import timezone

from apps.posts.models import TAGS_MAX, Post, PostStatus, Tag, Tagging
from tests.constraints import refused
from tests.make import make_post, make_tag, make_user

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("post_status_agrees_with_published_at", {"status": PostStatus.DRAFT, "published_at": NOW}),
        ("post_status_agrees_with_published_at", {"status": PostStatus.SCHEDULED, "published_at": None}),
        ("post_status_agrees_with_published_at", {"status": PostStatus.PUBLISHED, "published_at": None}),
        ("post_status_agrees_with_published_at", {"status": "lost", "published_at": None}),
        ("post_title_is_not_blank", {"title": ""}),
        ("post_body_length", {"body": "x" * 100_001}),
        ("posts_post_version_check", {"version": -1}),
    ],
)
def test_a_post_that_must_not_be(constraint: str, fields: dict[str, Any]) -> None:
    author = make_user()
    values = {"author": author, "title": "T", "slug": "t", "status": "published", "published_at": NOW} | fields
    assert refused(lambda: Post.objects.create(**values)) == constraint
    post = make_post()
    assert refused(lambda: Post.objects.filter(pk=post.pk).update(**fields)) == constraint


@pytest.mark.parametrize(
    "state",
    [
        (PostStatus.DRAFT, None),
        (PostStatus.SCHEDULED, NOW),
        (PostStatus.PUBLISHED, NOW),
        (PostStatus.ARCHIVED, None),
        (PostStatus.ARCHIVED, NOW),
    ],
)
def test_a_post_that_may_be(state: tuple[PostStatus, Any]) -> None:
    make_post(status=state[0], published_at=state[1])


@pytest.mark.parametrize("fields", [{"title": "x" * 201}, {"slug": "x" * 221}, {"excerpt": "x" * 201}])
def test_texts_that_are_too_long(fields: dict[str, str]) -> None:
    post = make_post()
    with pytest.raises(DataError):
        Post.objects.filter(pk=post.pk).update(**fields)


def test_a_second_post_with_a_slug() -> None:
    make_post(slug="taken")
    assert refused(lambda: make_post(slug="taken")) == "post_slug_is_unique"


def test_an_eleventh_tag_a_tag_twice_and_a_place_twice() -> None:
    tags = [make_tag() for _ in range(TAGS_MAX)]
    post = make_post(tags=tags)
    more = make_tag()
    positions = [
        (more, TAGS_MAX, "tagging_has_at_most_ten_positions"),
        (more, -1, "posts_tagging_position_check"),
        (more, 0, "tagging_position_is_unique"),
    ]
    for tag, position, constraint in positions:
        row = Tagging(post=post, tag=tag, position=position)
        assert refused(row.save) == constraint
    other = make_post(tags=tags[:1])
    assert refused(Tagging(post=other, tag=tags[0], position=5).save) == "tagging_is_unique"


def test_tags_with_one_name_or_slug() -> None:
    Tag.objects.create(name="Django", slug="django")
    assert refused(lambda: Tag.objects.create(name="DJANGO", slug="other")) == "tag_name_is_unique"
    assert refused(lambda: Tag.objects.create(name="Other", slug="django")) == "tag_slug_is_unique"
