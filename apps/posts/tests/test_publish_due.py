import os
import signal
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from apps.posts import services
from apps.posts.models import Post, PostStatus
from tests.api import Api
from tests.database import database_url
from tests.make import Make, gid, make_post
from tests.waiting import wait_until


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
    for expected in ("Published 1 scheduled posts.\n", ""):
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


@pytest.mark.django_db(transaction=True)
def test_with_every_it_goes_on_until_it_is_stopped() -> None:
    scheduled(seconds=-1)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "publish_due", "--every=0.05"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.dev", "DATABASE_URL": database_url()},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: len(published()) == 1)
        scheduled(seconds=-1)
        wait_until(lambda: len(published()) == 2)
        # A supervisor and the kernel may both say it, and more than once.
        for _ in range(200):
            process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert printed == "Published 1 scheduled posts.\n" * 2


@pytest.mark.parametrize("pause", ["0", "-1", "nan", "inf", "x"])
def test_a_pause_that_is_none_is_refused(pause: str) -> None:
    with pytest.raises(CommandError, match="--every"):
        call_command("publish_due", "--every", pause)


def test_goes_on_while_the_database_is_away(tmp_path: Path) -> None:
    url = f"postgresql://nobody@:1/nothing?host={quote(str(tmp_path), safe='/')}"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.dev", "DATABASE_URL": url}
    command = [sys.executable, "manage.py", "publish_due", "--every", "0.1"]
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stderr=stderr)
        try:
            wait_until(lambda: process.poll() is not None or errors.read_text().count("does not answer") > 1)
            assert process.poll() is None, errors.read_text()
        finally:
            process.kill()
            process.wait()
