"""What the database itself refuses, whoever writes."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.comments import services
from apps.comments.models import BODY_MAX, DEPTH_MAX, Comment
from tests.constraints import refused
from tests.make import make_comment, make_post

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.mark.parametrize(
    ("constraint", "fields"),
    [
        ("comment_is_empty_exactly_when_deleted", {"body": ""}),
        ("comment_is_empty_exactly_when_deleted", {"body": "text", "deleted_at": NOW}),
        ("comment_body_length", {"body": "x" * (BODY_MAX + 1)}),
        ("comment_depth_agrees_with_parent", {"depth": 1}),
        ("comment_depth_agrees_with_parent", {"depth": -1}),
    ],
)
def test_a_comment_that_must_not_be(constraint: str, fields: dict[str, Any]) -> None:
    post = make_post()
    assert refused(lambda: make_comment(post=post, **fields)) == constraint


@pytest.mark.parametrize("depth", [0, DEPTH_MAX + 1])
def test_a_depth_that_a_reply_cannot_have(depth: int) -> None:
    parent = make_comment()
    assert refused(lambda: make_comment(parent=parent, depth=depth)) == "comment_depth_agrees_with_parent"


def test_a_reply_on_another_post() -> None:
    parent, post = make_comment(), make_post()
    constraint = "comment_reply_belongs_to_its_parents_post"
    assert refused(lambda: make_comment(parent=parent, post=post)) == constraint
    reply = make_comment(parent=parent)
    assert refused(lambda: Comment.objects.filter(pk=reply.pk).update(post=post)) == constraint
    assert refused(lambda: Comment.objects.filter(pk=parent.pk).update(post=post)) == constraint


def test_a_thread_may_move_as_a_whole() -> None:
    """The constraint waits for the commit, so that a thread can be moved by two statements."""
    parent, post = make_comment(), make_post()
    reply = make_comment(parent=parent)
    with transaction.atomic():
        for comment in (parent, reply):
            Comment.objects.filter(pk=comment.pk).update(post=post)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_parent_that_does_not_exist() -> None:
    comment = make_comment()
    update = Comment.objects.filter(pk=comment.pk).update
    assert refused(lambda: update(parent_id=2**62, depth=1)) is not None


def test_a_deletion_that_fails_half_way_leaves_the_thread() -> None:
    """The leaf goes first; then its empty parent is refused by the database, and the leaf comes back."""
    root = make_comment()
    leaf = make_comment(parent=root)
    services.comment_delete(actor=root.author, comment_id=root.pk)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "CREATE FUNCTION keep_roots() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF OLD.depth = 0 THEN RAISE EXCEPTION 'kept' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
            "RETURN OLD; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER keep BEFORE DELETE ON comments_comment FOR EACH ROW EXECUTE FUNCTION keep_roots()"
        )
    with pytest.raises(IntegrityError, match="kept"):
        services.comment_delete(actor=leaf.author, comment_id=leaf.pk)
    assert set(Comment.objects.values_list("pk", flat=True)) == {root.pk, leaf.pk}
