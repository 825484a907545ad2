from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from apps.posts import services
from apps.posts.models import Post, PostStatus
from tests.api import Api
from tests.make import Make, gid, make_post


def scheduled(**ahead: Any) -> Post:
    return make_post(status=PostStatus.SCHEDULED, published_at=timezone.now() + timedelta(**ahead))


def published() -> set[int]:
    return set(Post.objects.filter(status=PostStatus.PUBLISHED).values_list("pk", flat=True))


@pytest.mark.django_db
def test_publishes_what_is_due_and_nothing_else() -> None:
    due, later = [scheduled(seconds=-1), scheduled(days=-1)], scheduled(hours=1)
    draft, archived = make_post(status=PostStatus.DRAFT), make_post(status=PostStatus.ARCHIVED, published_at=None)
    assert services.posts_publish_due() == 2
    assert published() == {post.pk for post in due}
    assert services.posts_publish_due() == 0
    for post in due:
        old = post.published_at, post.version, post.updated_at
        post.refresh_from_db()
        assert (post.published_at, post.version) == (old[0], old[1] + 1)
        assert post.updated_at > old[2]
    for post in (later, draft, archived):
        version = post.version
        post.refresh_from_db()
        assert post.version == version


@pytest.mark.django_db(transaction=True)
def test_the_command_runs_once_and_says_what_it_did() -> None:
    scheduled(seconds=-1)
    for expected in ("Published 1 scheduled post.\n", ""):
        printed = StringIO()
        call_command("publish_due", stdout=printed)
        assert printed.getvalue() == expected


@pytest.mark.django_db
async def test_a_post_that_has_become_due_is_out_for_everybody(api: Api, make: Make) -> None:
    past = timezone.now() - timedelta(seconds=1)
    post = await make.post(status=PostStatus.SCHEDULED, published_at=past)
    query = "query($id: ID!) { post(id: $id) { status } }"
    assert (await api(query, id=gid(post))).data == {"post": None}
    await sync_to_async(services.posts_publish_due)()
    assert (await api(query, id=gid(post))).data == {"post": {"status": "PUBLISHED"}}


@pytest.mark.django_db(transaction=True)
def test_a_version_read_before_the_publication_is_stale() -> None:
    post = scheduled(seconds=-1)
    services.posts_publish_due()
    with pytest.raises(Exception, match="version 2"), transaction.atomic():
        services.post_update(actor=post.author, post_id=post.pk, version=1, title="New")
