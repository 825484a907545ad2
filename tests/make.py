"""Rows for tests, with as little said about them as the test needs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from apps.comments.models import Comment
from apps.core.ids import global_id
from apps.posts.models import Post, PostStatus, Tag, Tagging
from apps.posts.services import make_slug
from apps.users import roles, tokens
from apps.users.models import Session, User
from apps.users.selectors import with_permissions

PASSWORD = "correct horse battery staple"
START = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(1)


def gid(row: Any) -> str:
    """The id of `row` in the API."""
    return global_id(type(row).__name__, row.pk)


def access_token(user: User) -> str:
    """A token of a new session of `user`."""
    session = Session.objects.create(user=user, expires_at=timezone.now() + timedelta(days=1))
    return tokens.issue_access(user.pk, session.pk, timezone.now())[0]


def make_user(**fields: Any) -> User:
    """An author with the permissions that they have now, as a request has them; in one more group with `role`."""
    number = next(_numbers)
    values = {"email": f"user{number}@example.com", "first_name": "User", "last_name": f"No{number}"} | fields
    role = values.pop("role", roles.AUTHOR)
    user = User.objects.create_user(password=values.pop("password", PASSWORD), **values)
    roles.join(role, [user.pk])
    return with_permissions(User.objects.all()).get(pk=user.pk)


def make_tag(**fields: Any) -> Tag:
    number = next(_numbers)
    return Tag.objects.create(**{"name": f"Tag {number}", "slug": f"tag-{number}"} | fields)


def make_post(**fields: Any) -> Post:
    """A published post, each a minute younger than the one before; by a new author unless `author` is given."""
    number = next(_numbers)
    tags = fields.pop("tags", ())
    at = START + timedelta(minutes=number)
    values: dict[str, Any] = {"title": f"Post {number}", "body": "Text.", "status": PostStatus.PUBLISHED} | fields
    if values["status"] in {PostStatus.PUBLISHED, PostStatus.SCHEDULED}:
        values.setdefault("published_at", at)
    values.setdefault("author", None)
    values["author"] = values["author"] or make_user()
    values.setdefault("slug", f"{make_slug(values['title'])}-{number}")
    post = Post.objects.create(**{"created_at": at, "updated_at": at} | values)
    Tagging.objects.bulk_create(Tagging(post=post, tag=tag, position=place) for place, tag in enumerate(tags))
    return post


def make_comment(**fields: Any) -> Comment:
    """A comment, each a minute younger than the one before; a reply when `parent` is given."""
    number = next(_numbers)
    parent: Comment | None = fields.get("parent")
    values: dict[str, Any] = {
        "post_id": parent.post_id if parent else None,
        "depth": parent.depth + 1 if parent else 0,
        "body": f"Comment {number}",
        "created_at": START + timedelta(minutes=number),
    } | fields
    if values.get("post") is None and values["post_id"] is None:
        values["post"] = make_post()
    if "post" in values:
        del values["post_id"]
    values["author"] = values.get("author") or make_user()
    return Comment.objects.create(**values)


def make_roles(**_: object) -> None:
    """The groups and what they may do, as the migrations make them."""
    for grant in _grants():
        grant(apps, None)


@cache
def _grants() -> list[Callable[..., None]]:
    migrations = MigrationLoader(None).disk_migrations.values()
    return [each.code for migration in migrations for each in migration.operations if isinstance(each, roles.Grant)]


class Make:
    """The same for async tests."""

    user = staticmethod(sync_to_async(make_user))
    tag = staticmethod(sync_to_async(make_tag))
    post = staticmethod(sync_to_async(make_post))
    comment = staticmethod(sync_to_async(make_comment))
