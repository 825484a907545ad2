"""Writes of posts."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.text import slugify

from apps.core import outbox
from apps.core.db import violated_constraint
from apps.core.errors import DomainError, ErrorCode, forbidden, not_found
from apps.core.text import Form, excerpt, is_storable
from apps.posts import tasks
from apps.posts.models import (
    BODY_MAX,
    EXCERPT_MAX,
    SLUG_MAX,
    TAGS_MAX,
    TITLE_MAX,
    Post,
    PostStatus,
    Tag,
    Tagging,
)
from apps.posts.policies import can_delete_post, can_edit_post, can_write_posts
from apps.posts.selectors import visible_to
from apps.users.models import User
from apps.users.policies import signed_in

SLUG_SUFFIX_BYTES = 3
DUE_BATCH = 100


@transaction.atomic
def post_create(
    *,
    actor: User | None,
    title: str,
    body: str,
    tags: Sequence[str] = (),
    publish: bool = False,
    publish_at: datetime | None = None,
) -> Post:
    """A new post by `actor`: a draft, or published, or scheduled when `publish_at` is given.

    `tags` are slugs of existing tags, in the order in which they will be shown.
    Raises DomainError UNAUTHENTICATED, FORBIDDEN, REQUIRED or INVALID.
    """
    author = signed_in(actor)
    if not can_write_posts(author):
        raise forbidden("This account may not write posts.")
    form = Form()
    title = form.text("title", title, maximum=TITLE_MAX, single_line=True)
    body = form.text("body", body, maximum=BODY_MAX, required=False)
    found = form.run(lambda: _tags(tags), default=())
    form.run(lambda: _check_is_later(publish_at), default=None)
    form.check()

    post = Post(author=author, title=title, body=body, excerpt=excerpt(body, EXCERPT_MAX))
    is_news = (publish or publish_at is not None) and _set_published(post, publish_at)
    insert_with_free_slug(post)
    _set_tags(post, found)
    if is_news:
        announce(post)
    return post


@transaction.atomic
def post_update(
    *,
    actor: User | None,
    post_id: int,
    version: int,
    title: str | None = None,
    body: str | None = None,
    tags: Sequence[str] | None = None,
) -> Post:
    """Change what is given; None leaves a field as it is. The slug stays, so that links keep working.

    Locks the post. Raises DomainError UNAUTHENTICATED, NOT_FOUND, FORBIDDEN, REQUIRED or INVALID, and CONFLICT when
    `version` is not the stored one: somebody else has changed it meanwhile.
    """
    post = _editable(actor, post_id)
    if post.version != version:
        raise DomainError(ErrorCode.CONFLICT, f"This post has changed: it is at version {post.version}.", "version")
    if title is None and body is None and tags is None:
        return post
    form = Form()
    if title is not None:
        post.title = form.text("title", title, maximum=TITLE_MAX, single_line=True)
    if body is not None:
        post.body = form.text("body", body, maximum=BODY_MAX, required=False)
        post.excerpt = excerpt(post.body, EXCERPT_MAX)
    found = form.run(lambda: _tags(tags or ()), default=())
    form.check()
    if tags is not None:
        post.taggings.all().delete()
        _set_tags(post, found)
    return _save(post)


@transaction.atomic
def post_publish(*, actor: User | None, post_id: int, publish_at: datetime | None = None) -> Post:
    """Publish now, or at `publish_at`. An archived post comes back with the date that it had.

    Publishing what is published already changes nothing. Locks the post.
    Raises DomainError UNAUTHENTICATED, NOT_FOUND, FORBIDDEN, INVALID, and CONFLICT for rescheduling what is out.
    """
    post = _editable(actor, post_id)
    _check_is_later(publish_at)
    if post.status == PostStatus.PUBLISHED:
        if publish_at is not None:
            raise DomainError(ErrorCode.CONFLICT, "This post is published already; archive it first.", "publish_at")
        return post
    if _set_published(post, publish_at):
        announce(post)
    return _save(post)


@transaction.atomic
def post_archive(*, actor: User | None, post_id: int) -> Post:
    """Take a post back: only its author and who may see all see it then. Twice is as good as once. Locks the post.

    Raises DomainError UNAUTHENTICATED, NOT_FOUND or FORBIDDEN.
    """
    post = _editable(actor, post_id)
    if post.status == PostStatus.ARCHIVED:
        return post
    if post.status == PostStatus.SCHEDULED:
        post.published_at = None
    post.status = PostStatus.ARCHIVED
    return _save(post)


@transaction.atomic
def post_delete(*, actor: User | None, post_id: int) -> None:
    """Delete a post with its comments, for good. Locks it. Raises as `post_archive` does."""
    _locked(actor, post_id, can_delete_post).delete()


def posts_publish_due() -> int:
    """Publish the scheduled posts whose time has come by the database's clock, and give their number.

    In batches, each a transaction of its own; one statement where there is nothing to do. It may run beside itself, and
    leaves what somebody has locked for the next time.
    """
    published = 0
    while count := _publish_due():
        published += count
    return published


@transaction.atomic
def _publish_due() -> int:
    due = Post.objects.filter(status=PostStatus.SCHEDULED, published_at__lte=Now())
    locked = due.only("pk").order_by("published_at").select_for_update(no_key=True, skip_locked=True)
    keys = [post.pk for post in locked[:DUE_BATCH]]
    if keys:
        Post.objects.filter(pk__in=keys).update(status=PostStatus.PUBLISHED, updated_at=Now(), version=F("version") + 1)
        outbox.send_all(tasks.post_published, [(key,) for key in keys])
    return len(keys)


def announce(post: Post) -> None:
    """Have subscribers told that `post` has just been published, once the transaction commits. One statement."""
    outbox.send(tasks.post_published, post.pk)


def posts_end_with(user: User, erase: bool) -> None:
    """What becomes of a user's posts when the account ends: what is not published goes, or all with their comments.

    Locks them.
    """
    posts = Post.objects.filter(author=user)
    doomed = posts if erase else posts.exclude(status=PostStatus.PUBLISHED)
    keys = [post.pk for post in doomed.only("pk").select_for_update().order_by("pk")]
    Post.objects.filter(pk__in=keys).delete()


def make_slug(title: str) -> str:
    """The slug that a post with this title gets when it is free. Letters of any script stay."""
    longest = SLUG_MAX - 1 - 2 * SLUG_SUFFIX_BYTES
    return slugify(title, allow_unicode=True)[:longest].strip("-_") or "post"


def tags_held(slugs: Sequence[str]) -> dict[str, Tag]:
    """The tags with these slugs, as far as they exist; nobody can delete them before the transaction ends.

    Django's select_for_update would also make the writers of one tag wait for each other.
    """
    held = "SELECT * FROM posts_tag WHERE slug = ANY(%s) ORDER BY id FOR KEY SHARE"
    return {tag.slug: tag for tag in Tag.objects.raw(held, [[*slugs]])}


def insert_with_free_slug(post: Post) -> None:
    """Store the new `post` under the slug of its title, or that with a random end when it is taken, also by a race."""
    slug = make_slug(post.title)
    post.slug = slug
    while True:
        try:
            with transaction.atomic():
                return post.save(force_insert=True)
        except IntegrityError as error:
            if violated_constraint(error) != "post_slug_is_unique":
                raise
            post.slug = f"{slug}-{secrets.token_hex(SLUG_SUFFIX_BYTES)}"


def _editable(actor: User | None, post_id: int) -> Post:
    return _locked(actor, post_id, can_edit_post)


def _locked(actor: User | None, post_id: int, policy: Callable[[User, Post], bool]) -> Post:
    """The post, locked; refused unless `actor` may see it and `policy` allows what is about to be done."""
    actor = signed_in(actor)
    post = visible_to(actor).select_for_update(no_key=True).filter(pk=post_id).first()
    if post is None:
        raise not_found("Post", "id")
    if not policy(actor, post):
        raise forbidden("You may not do this to a post of somebody else.")
    return post


def _save(post: Post) -> Post:
    post.version += 1
    post.updated_at = timezone.now()
    post.save(update_fields=["title", "body", "excerpt", "status", "published_at", "version", "updated_at"])
    return post


def _set_published(post: Post, publish_at: datetime | None) -> bool:
    """Whether it is out now, and was never before."""
    post.status = PostStatus.SCHEDULED if publish_at else PostStatus.PUBLISHED
    was_out = post.published_at is not None and post.published_at <= timezone.now()
    if publish_at or not was_out:
        post.published_at = publish_at or timezone.now()
    return publish_at is None and not was_out


def _check_is_later(publish_at: datetime | None) -> None:
    if publish_at is not None and publish_at <= timezone.now():
        raise DomainError(ErrorCode.INVALID, "Must be in the future; leave it out to publish now.", "publish_at")


def _tags(slugs: Sequence[str]) -> list[Tag]:
    """The tags in the order of `slugs`, held.

    Raises DomainError INVALID for an unknown one, a second time, or too many.
    """
    if len(slugs) > TAGS_MAX:
        raise DomainError(ErrorCode.INVALID, f"A post has at most {TAGS_MAX} tags.", "tags")
    if len(set(slugs)) != len(slugs):
        raise DomainError(ErrorCode.INVALID, "Each tag can be given once.", "tags")
    if not slugs:
        return []
    found = tags_held([slug for slug in slugs if is_storable(slug)])
    unknown = [slug for slug in slugs if slug not in found]
    if unknown:
        raise DomainError(ErrorCode.INVALID, f"There is no tag with the slug {unknown[0][:60]!r}.", "tags")
    return [found[slug] for slug in slugs]


def _set_tags(post: Post, tags: Sequence[Tag]) -> None:
    Tagging.objects.bulk_create(Tagging(post=post, tag=tag, position=place) for place, tag in enumerate(tags))
