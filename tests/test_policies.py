"""What policies say of one row is what selectors read."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from apps.comments import policies as comment_policies
from apps.comments import selectors as comment_selectors
from apps.posts import selectors
from apps.posts.models import Post, PostStatus
from apps.posts.policies import can_see_post
from apps.users import roles
from apps.users.models import User
from apps.users.selectors import with_permissions
from tests.make import make_comment, make_post, make_user

pytestmark = pytest.mark.django_db

ROLES = (roles.AUTHOR, "editor", "moderator", "admin")


def everybody() -> list[User | None]:
    """Nobody, one of each role, and of each flag and permission that could make a difference."""
    users = [make_user(role=role) for role in ROLES]
    users += [make_user(is_staff=True), make_user(is_superuser=True), make_user(is_active=False)]
    for name in ("view_post", "change_post", "view_comment"):
        user = make_user()
        user.user_permissions.add(Permission.objects.get(codename=name))
        users.append(user)
    without_any = make_user()
    without_any.groups.clear()
    known = with_permissions(User.objects.all()).in_bulk([user.pk for user in [*users, without_any]])
    return [None, *known.values()]


def test_policies_and_selectors_agree_on_every_post_and_its_comments_for_every_viewer() -> None:
    viewers = everybody()
    dates = {PostStatus.SCHEDULED: timezone.now() + timedelta(days=1)}
    authors = [viewer for viewer in viewers if viewer is not None]
    for status in PostStatus:
        for author in authors:
            fields = {"published_at": dates[status]} if status in dates else {}
            make_comment(post=make_post(author=author, status=status, **fields))
    posts = list(Post.objects.prefetch_related("comments"))
    assert len(posts) == len(PostStatus) * len(authors)
    for viewer in viewers:
        seen = {post.pk for post in posts if can_see_post(viewer, post)}
        assert seen == set(selectors.visible_to(viewer).values_list("pk", flat=True))
        judged = [post for post in posts if comment_policies.can_see_comments_on(viewer, post)]
        comments = {comment.pk for post in judged for comment in post.comments.all()}
        assert comments == set(comment_selectors.visible_to(viewer).values_list("pk", flat=True))
