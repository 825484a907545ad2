"""Whom a comment is told to, and the mail that tells several at once.

Each notice comes with a message of its own, which is due after a while. The first that is due takes along all notices
that its recipient has by then; the messages of the others find theirs gone. So none is left without a message, whoever
else is at work, and nobody has to be locked out meanwhile: neither who writes comments nor who signs in.
"""

from collections.abc import Iterable

from django.db.models import QuerySet

from apps.comments import mails
from apps.comments.models import Comment, Notice, NoticeKind
from apps.comments.selectors import living_visible_to
from apps.users.models import User
from apps.users.selectors import with_permissions

PREFERENCES = {NoticeKind.COMMENT: "notify_of_comments", NoticeKind.REPLY: "notify_of_replies"}


def add(comment_id: int) -> list[Notice]:
    """Note to whom a comment has to be told, and give these notices: two at most, and none of a deleted comment.

    Three statements at most, inside the caller's transaction.
    """
    comments = Comment.objects.select_related("post", "parent").only(
        "author_id", "post__author_id", "parent__author_id", "parent__deleted_at"
    )
    comment = comments.filter(pk=comment_id, deleted_at=None).first()
    concerned = _concerned(comment) if comment is not None else {}
    if not concerned:
        return []
    notices = [
        Notice(recipient=user, comment_id=comment_id, kind=concerned[user.pk])
        for user in _reachable().filter(pk__in=concerned).order_by("pk")
        if _wants(user, concerned[user.pk])
    ]
    return Notice.objects.bulk_create(
        notices, update_conflicts=True, unique_fields=["recipient", "comment"], update_fields=["kind"]
    )


def mail(recipient_id: int, notice_id: int) -> None:
    """Unless this notice has gone out with another: mail all that the recipient has, and forget them.

    Nothing is told that has been deleted or hidden meanwhile, that the recipient no longer wants to be told, or to an
    account that has ended. Five statements at most, inside the caller's transaction. Locks the notices, so that an
    account does not end while it is being mailed to; those that somebody else has locked are theirs to mail. Raises
    what the mail's backend does.
    """
    pending = Notice.objects.filter(recipient_id=recipient_id).order_by("pk").select_for_update(skip_locked=True)
    notices = {notice.pk: notice for notice in pending}
    if notice_id not in notices:
        return
    Notice.objects.filter(pk__in=notices).delete()
    user = with_permissions(_reachable()).filter(pk=recipient_id).first()
    if user is not None:
        _mail(user, notices.values())


def _mail(user: User, notices: Iterable[Notice]) -> None:
    kinds = {notice.comment_id: NoticeKind(notice.kind) for notice in notices if _wants(user, notice.kind)}
    comments = living_visible_to(user).filter(pk__in=kinds)
    posts = dict(comments.values_list("pk", "post_id"))
    if not posts:
        return
    shown = comments.select_related("author", "post").only(
        "body", "author__first_name", "author__last_name", "post__title", "post__slug"
    )
    mails.send(
        user,
        shown=list(shown.order_by("pk")[: mails.SHOWN_MAX]),
        kinds={pk: kinds[pk] for pk in posts},
        is_one_post=len({*posts.values()}) == 1,
    )


def _concerned(comment: Comment) -> dict[int, NoticeKind]:
    """To whom it is news, and as what. A reply to somebody's comment on their own post is a reply."""
    concerned = {comment.post.author_id: NoticeKind.COMMENT}
    if comment.parent is not None and comment.parent.deleted_at is None:
        concerned[comment.parent.author_id] = NoticeKind.REPLY
    concerned.pop(comment.author_id, None)
    return concerned


def _reachable() -> QuerySet[User]:
    """Who may be mailed what strangers have written: whoever has shown that the address is theirs."""
    return User.objects.filter(is_active=True, email_verified_at__isnull=False)


def _wants(user: User, kind: str) -> bool:
    return bool(getattr(user, PREFERENCES[NoticeKind(kind)]))
