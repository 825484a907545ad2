"""What services promise beyond the API: nothing half done, slugs, dates, locks."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.errors import DomainError, ErrorCode
from apps.posts import services
from apps.posts.models import SLUG_MAX, Post, PostStatus, Tagging
from tests.make import make_post, make_tag, make_user


def sql(statement: str) -> None:
    """Change the schema for this test; what rows still wait for has to be checked first."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Hello, World!", "hello-world"),
        ("  Spaces   and_underscores ", "spaces-and_underscores"),
        ("Grüße aus Köln", "grüße-aus-köln"),
        ("Привет мир", "привет-мир"),
        ("日本語の題名", "日本語の題名"),
        ("سلام دنیا", "سلام-دنیا"),
        ("\U0001f600 \U0001f389", "post"),
        ("!!!", "post"),
        ("---", "post"),
        ("ﬁne ① ½", "fine-1-12"),
    ],
)
def test_a_slug_keeps_letters_of_any_script(title: str, slug: str) -> None:
    assert services.make_slug(title) == slug


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=400))
def test_any_title_makes_a_slug_that_fits_with_a_random_end(title: str) -> None:
    slug = services.make_slug(title)
    assert 0 < len(slug) <= SLUG_MAX - 7
    assert slug == slug.strip("-_ \n\t")
    assert not any(character.isspace() or character == "/" for character in slug)


@pytest.mark.django_db
def test_the_same_title_again_gets_a_random_end() -> None:
    author = make_user()
    first, second, third = (services.post_create(actor=author, title="Same", body="") for _ in range(3))
    assert first.slug == "same"
    assert len({first.slug, second.slug, third.slug}) == 3
    assert all(post.slug.startswith("same-") and len(post.slug) == len("same-") + 6 for post in (second, third))


@pytest.mark.django_db
def test_the_longest_title_gets_a_slug_twice() -> None:
    """NFKC makes some letters 18: the slug is cut to its column, and a random end still fits."""
    author = make_user()
    for title in ("x" * 200, "\ufdfa" * 200):
        slugs = {services.post_create(actor=author, title=title, body="").slug for _ in range(2)}
        assert len(slugs) == 2
        assert max(map(len, slugs)) <= SLUG_MAX


@pytest.mark.django_db
def test_another_integrity_error_than_a_taken_slug_is_not_retried() -> None:
    author = make_user()
    sql("ALTER TABLE posts_post ADD CONSTRAINT nothing_new CHECK (id < 0) NOT VALID")
    with pytest.raises(IntegrityError, match="nothing_new"):
        services.post_create(actor=author, title="Title", body="")


@pytest.mark.django_db
def test_a_creation_that_fails_at_its_last_statement_leaves_nothing() -> None:
    author, tag = make_user(), make_tag()
    sql("ALTER TABLE posts_tagging ADD CONSTRAINT no_tags CHECK (id < 0) NOT VALID")
    with pytest.raises(IntegrityError, match="no_tags"):
        services.post_create(actor=author, title="Title", body="", tags=[tag.slug])
    assert not Post.objects.exists()


@pytest.mark.django_db
def test_an_update_that_fails_half_way_leaves_everything() -> None:
    """The tags are replaced first; then the post itself is refused by the database."""
    old, new = make_tag(), make_tag()
    post = make_post(title="Old", tags=[old])
    sql("ALTER TABLE posts_post ADD CONSTRAINT version_one CHECK (version = 1)")
    with pytest.raises(IntegrityError, match="version_one"):
        services.post_update(actor=post.author, post_id=post.pk, version=1, title="New", tags=[new.slug])
    post.refresh_from_db()
    assert (post.title, post.version) == ("Old", 1)
    assert list(post.tags.all()) == [old]


@pytest.mark.django_db
def test_a_deletion_that_fails_half_way_leaves_everything() -> None:
    tag = make_tag()
    post = make_post(tags=[tag])
    sql(
        "CREATE FUNCTION keep_posts() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'posts are kept' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    sql("CREATE TRIGGER keep_posts BEFORE DELETE ON posts_post FOR EACH ROW EXECUTE FUNCTION keep_posts()")
    with pytest.raises(IntegrityError, match="posts are kept"):
        services.post_delete(actor=post.author, post_id=post.pk)
    assert list(post.tags.all()) == [tag]


@pytest.mark.django_db
def test_tags_keep_the_order_in_which_they_were_given() -> None:
    tags = [make_tag() for _ in range(10)]
    backwards = [tag.slug for tag in reversed(tags)]
    post = services.post_create(actor=make_user(), title="Title", body="", tags=backwards)
    stored = Tagging.objects.filter(post=post).order_by("position")
    assert [(tagging.position, tagging.tag.slug) for tagging in stored] == list(enumerate(backwards))


@pytest.mark.django_db
def test_a_refused_update_shows_nothing_of_a_hidden_post() -> None:
    """To whoever may not see it, a draft is missing whatever else is wrong with the call."""
    draft = make_post(status=PostStatus.DRAFT)
    stranger = make_user()
    for call in (
        lambda: services.post_update(actor=stranger, post_id=draft.pk, version=99, title=""),
        lambda: services.post_publish(actor=stranger, post_id=draft.pk),
        lambda: services.post_archive(actor=stranger, post_id=draft.pk),
        lambda: services.post_delete(actor=stranger, post_id=draft.pk),
    ):
        with pytest.raises(DomainError) as refusal:
            call()
        assert (refusal.value.code, refusal.value.field) == (ErrorCode.NOT_FOUND, "id")
    assert Post.objects.filter(pk=draft.pk, status=PostStatus.DRAFT, version=1).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "call",
    [
        lambda post: services.post_update(actor=post.author, post_id=post.pk, version=1, title="New"),
        lambda post: services.post_publish(actor=post.author, post_id=post.pk),
        lambda post: services.post_archive(actor=post.author, post_id=post.pk),
        lambda post: services.post_delete(actor=post.author, post_id=post.pk),
    ],
    ids=["update", "publish", "archive", "delete"],
)
def test_the_post_is_locked_before_anything_is_decided(call: Any) -> None:
    post = make_post()
    with CaptureQueriesContext(connection) as queries:
        call(post)
    assert "FOR NO KEY UPDATE" in next(query["sql"] for query in queries if "SAVEPOINT" not in query["sql"])


@pytest.mark.django_db
def test_an_archived_post_comes_back_with_the_date_that_it_had() -> None:
    post = make_post()
    date = post.published_at
    services.post_archive(actor=post.author, post_id=post.pk)
    again = services.post_publish(actor=post.author, post_id=post.pk)
    assert (again.status, again.published_at, again.version) == (PostStatus.PUBLISHED, date, 3)


@pytest.mark.django_db
def test_an_archived_post_can_be_scheduled_anew() -> None:
    post = make_post()
    services.post_archive(actor=post.author, post_id=post.pk)
    then = timezone.now() + timedelta(days=1)
    again = services.post_publish(actor=post.author, post_id=post.pk, publish_at=then)
    assert (again.status, again.published_at) == (PostStatus.SCHEDULED, then)


@pytest.mark.django_db
def test_archiving_what_was_only_scheduled_takes_its_date() -> None:
    post = make_post(status=PostStatus.SCHEDULED, published_at=timezone.now() + timedelta(days=1))
    archived = services.post_archive(actor=post.author, post_id=post.pk)
    assert (archived.status, archived.published_at) == (PostStatus.ARCHIVED, None)
    before = timezone.now()
    published = services.post_publish(actor=post.author, post_id=post.pk)
    assert published.published_at is not None
    assert published.published_at >= before


@pytest.mark.django_db
def test_the_staff_may_change_what_others_wrote() -> None:
    post, staff = make_post(), make_user(is_staff=True)
    updated = services.post_update(actor=staff, post_id=post.pk, version=1, title="Edited")
    assert (updated.title, updated.author_id) == ("Edited", post.author_id)
    services.post_delete(actor=staff, post_id=post.pk)
    assert not Post.objects.exists()
