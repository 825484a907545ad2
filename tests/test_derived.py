"""What is stored although it follows from other data: it is verified, and put right."""

from collections.abc import Sequence

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.comments.models import DEPTH_MAX, Comment
from apps.core.db import conninfo
from apps.core.derived import verified
from apps.core.text import excerpt, is_storable
from apps.posts.models import EXCERPT_MAX, Post
from tests.make import START, make_comment, make_post, make_user

pytestmark = pytest.mark.django_db

# Of each comment: which of those before it is its parent, if any, whether it was deleted, and how deep it claims to be.
THREADS = st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(1, DEPTH_MAX)), max_size=25)
BODIES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=1_000).filter(is_storable)


def wrong(*, repair: bool = False) -> dict[str, tuple[int, int]]:
    """How much was found to be wrong and how much still is, of what is not all right."""
    return {each.name: (each.found, each.left) for each in verified(repair=repair) if each.found}


def write_thread(plan: Sequence[tuple[int, bool, int]]) -> list[Comment]:
    """Comments as the plan says, past the services; none too deep to be stored."""
    author, post = make_user(), make_post()
    comments: list[Comment] = []
    real_depths: list[int] = []
    for parent, is_deleted, depth in plan:
        # A number beyond the comments so far is a comment on the post itself.
        fits = parent < len(comments) and real_depths[parent] < DEPTH_MAX
        above = comments[parent] if fits else None
        real_depths.append(real_depths[parent] + 1 if fits else 0)
        body, deleted_at = ("", START) if is_deleted else ("Text.", None)
        claimed = depth if above else 0
        row = Comment(post=post, author=author, parent=above, depth=claimed, body=body, deleted_at=deleted_at)
        row.save()
        comments.append(row)
    return comments


@settings(max_examples=60, deadline=None)
@given(THREADS)
def test_any_thread_is_put_right_and_loses_no_words(plan: list[tuple[int, bool, int]]) -> None:
    with transaction.atomic():
        written = write_thread(plan)
        living = {comment.pk for comment in written if comment.deleted_at is None}

        for found, left in wrong(repair=True).values():
            assert (found > 0, left) == (True, 0)

        assert wrong() == {}
        stored = {comment.pk: comment for comment in Comment.objects.all()}
        assert {pk for pk, comment in stored.items() if comment.deleted_at is None} == living
        for comment in stored.values():
            assert comment.depth == (stored[comment.parent_id].depth + 1 if comment.parent_id else 0)
            answered = any(other.parent_id == comment.pk for other in stored.values())
            assert comment.deleted_at is None or answered
        transaction.set_rollback(True)


@settings(max_examples=40, deadline=None)
@given(BODIES, BODIES)
def test_any_excerpt_is_put_right_and_nothing_else_of_its_post(body: str, stored: str) -> None:
    with transaction.atomic():
        post = make_post(body=body, excerpt=stored[:EXCERPT_MAX])
        is_right = post.excerpt == excerpt(body, EXCERPT_MAX)

        assert wrong(repair=True) == ({} if is_right else {"excerpts of posts": (1, 0)})

        again = Post.objects.get(pk=post.pk)
        assert (again.body, again.excerpt) == (body, excerpt(body, EXCERPT_MAX))
        assert (again.version, again.updated_at) == (post.version, post.updated_at)
        transaction.set_rollback(True)


def test_the_command_reports_and_repairs_only_when_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    posts = [make_post(body="Text.") for _ in range(7)]
    keys = ", ".join(str(post.pk) for post in posts[:5])
    with pytest.raises(CommandError, match=r"7 rows wrong\.") as refusal:
        call_command("check_data")
    assert refusal.value.returncode == 1
    assert f"excerpts of posts: 7 wrong (of the rows {keys}, …)\n" in capsys.readouterr().out
    assert set(Post.objects.values_list("excerpt", flat=True)) == {""}

    call_command("check_data", "--repair")

    assert f"excerpts of posts: 7 wrong, 7 repaired (of the rows {keys}, …)\n" in capsys.readouterr().out
    assert set(Post.objects.values_list("excerpt", flat=True)) == {"Text."}
    call_command("check_data")


def test_what_cannot_be_repaired_is_left_and_told(caplog: pytest.LogCaptureFixture) -> None:
    comment = make_comment()
    for _ in range(DEPTH_MAX + 1):
        comment = make_comment(post=comment.post, parent=comment, depth=DEPTH_MAX)
    with pytest.raises(CommandError, match="1 row wrong"):
        call_command("check_data", "--repair")
    told = [(line.getMessage(), vars(line)["wrong"], vars(line)["repaired"]) for line in caplog.records]
    assert ("depths of comments", DEPTH_MAX + 1, DEPTH_MAX) in told


@pytest.mark.django_db(transaction=True)
def test_a_repair_waits_for_whoever_writes_to_the_post() -> None:
    post = make_post(body="Before.")
    with psycopg.connect(conninfo(), autocommit=True) as author:
        with author.transaction():
            author.execute("UPDATE posts_post SET body = 'After.' WHERE id = %s", [post.pk])
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            with pytest.raises(OperationalError, match="lock timeout"):
                wrong(repair=True)
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
        assert wrong(repair=True) == {"excerpts of posts": (1, 0)}
    post.refresh_from_db()
    assert post.excerpt == "After."
