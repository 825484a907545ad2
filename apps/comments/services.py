"""Writes of comments. Whoever writes to a thread holds its post's row lock: writes to one thread queue up."""

from collections.abc import Iterable

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.comments import tasks
from apps.comments.models import BODY_MAX, DEPTH_MAX, Comment, Notice, NoticeKind
from apps.comments.notices import PREFERENCES
from apps.comments.policies import can_delete_comment, can_edit_comment, can_write_comments
from apps.comments.selectors import visible_to
from apps.core import outbox
from apps.core.errors import DomainError, ErrorCode, forbidden, not_found
from apps.core.rows import KEYS, Statement, Statements, compiled
from apps.core.text import clean_text
from apps.posts import selectors as posts
from apps.posts.models import Post, PostStatus
from apps.users.models import User
from apps.users.policies import signed_in


@transaction.atomic
def comment_add(*, actor: User | None, post_id: int, body: str, parent_id: int | None = None) -> Comment:
    """A comment on a published post, or a reply to the comment `parent_id` there.

    Raises DomainError UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, REQUIRED, INVALID (a parent on another post, or too
    deep), and CONFLICT when the post is not published or the parent was deleted.
    """
    author = signed_in(actor)
    if not can_write_comments(author):
        raise forbidden("This account may not write comments.")
    body = clean_text("body", body, BODY_MAX)
    locked = _LOCKS.of(author, None, _lock_of_a_post).fetch_in_transaction([post_id], author.pk)
    if not locked:
        raise not_found("Post", "post_id")
    [post] = locked
    if post.status != PostStatus.PUBLISHED:
        raise DomainError(ErrorCode.CONFLICT, "Only a published post takes comments.", "post_id")
    parent = _parent(parent_id, post) if parent_id is not None else None
    comment = Comment.objects.create(
        post_id=post.pk, author=author, parent=parent, depth=parent.depth + 1 if parent else 0, body=body
    )
    outbox.send(tasks.comment_added, post.pk, comment.pk, key=tasks.comments_on(post.pk))
    return comment


@transaction.atomic
def comment_update(*, actor: User | None, comment_id: int, body: str) -> Comment:
    """Change the text. Raises DomainError UNAUTHENTICATED, NOT_FOUND, FORBIDDEN, REQUIRED or INVALID."""
    actor = signed_in(actor)
    comment = _locked(actor, comment_id)
    if not can_edit_comment(actor, comment):
        raise forbidden("Only its author may change this comment.")
    body = clean_text("body", body, BODY_MAX)
    if body != comment.body:
        comment.body = body
        comment.edited_at = timezone.now()
        comment.save(update_fields=["body", "edited_at"])
    return comment


@transaction.atomic
def comment_delete(*, actor: User | None, comment_id: int) -> None:
    """Delete a comment. Its place stays, empty, while it has replies; empty ancestors left without any go too.

    Raises DomainError UNAUTHENTICATED, NOT_FOUND or FORBIDDEN.
    """
    actor = signed_in(actor)
    comment = _locked(actor, comment_id)
    if not can_delete_comment(actor, comment):
        raise forbidden("Only its author and moderators may delete this comment.")
    _remove(comment)


def notices_switch_off(*, user_id: int, kinds: Iterable[NoticeKind]) -> None:
    """End the user's mails of these kinds, for whoever brings the token of one of them. One statement."""
    User.objects.filter(pk=user_id).update(**{PREFERENCES[kind]: False for kind in kinds})


def comments_end_with(user: User, erase: bool) -> None:
    """What becomes of a user's comments when the account ends: nothing, or all are deleted as `comment_delete` does.

    What the user was to be told of is forgotten; a mail that is being sent at this moment is waited for.

    So are those of others on the user's posts, which are about to go. Locks all these posts, in the order of their
    keys. A few statements, however many comments there are, and none of them is read.
    """
    Notice.objects.filter(recipient=user).delete()
    if not erase:
        return
    own = Comment.objects.filter(author=user, deleted_at=None)
    threads = Post.objects.filter(Q(author=user) | Q(pk__in=own.values("post_id")))
    keys = [post.pk for post in threads.only("pk").select_for_update().order_by("pk")]
    own.update(body="", deleted_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM comments_comment WHERE post_id IN (SELECT id FROM posts_post WHERE author_id = %s)", [user.pk]
        )
        # Without its last reply an empty place goes, too, which may leave another one above it, eight levels up.
        for _ in range(DEPTH_MAX + 1):
            cursor.execute(
                "DELETE FROM comments_comment AS place WHERE post_id = ANY(%s) AND deleted_at IS NOT NULL "
                "AND NOT EXISTS (SELECT FROM comments_comment WHERE parent_id = place.id)",
                [keys],
            )


def _remove(comment: Comment) -> None:
    """The deletion itself, for a caller that holds the post's lock."""
    if comment.replies.exists():
        comment.body, comment.deleted_at = "", timezone.now()
        comment.save(update_fields=["body", "deleted_at"])
        return
    doomed: Comment | None = comment
    while doomed is not None:
        parent = doomed.parent
        doomed.delete()
        is_empty = parent is not None and parent.deleted_at is not None and not parent.replies.exists()
        doomed = parent if is_empty else None


# Compiled once: every comment begins with it.
_LOCKS: Statements[Post] = Statements()


def _lock_of_a_post(viewer: User | None) -> Statement[Post]:
    return compiled(_locking(posts.visible_to(viewer).filter(pk__any_of=KEYS)))


def _locking(posts: QuerySet[Post]) -> QuerySet[Post]:
    """`posts` with their status, their rows locked until the transaction ends."""
    return posts.only("status").select_for_update(of=("self",), no_key=True)


def _locked(actor: User, comment_id: int) -> Comment:
    """The comment, its thread locked; a deleted one counts as missing."""
    visible = visible_to(actor).filter(pk=comment_id, deleted_at=None)
    if not _locking(Post.objects.filter(pk__in=visible.values("post_id"))):
        raise not_found("Comment", "id")
    comment = visible.first()
    if comment is None:
        raise not_found("Comment", "id")
    return comment


def _parent(parent_id: int, post: Post) -> Comment:
    parent = Comment.objects.filter(pk=parent_id).first()
    if parent is None or parent.post_id != post.pk:
        raise DomainError(ErrorCode.INVALID, "There is no such comment on this post.", "parent_id")
    if parent.deleted_at is not None:
        raise DomainError(ErrorCode.CONFLICT, "This comment has been deleted.", "parent_id")
    if parent.depth >= DEPTH_MAX:
        raise DomainError(ErrorCode.INVALID, f"Replies go at most {DEPTH_MAX} deep.", "parent_id")
    return parent
