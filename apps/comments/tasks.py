"""Background work of the comments slice."""

from django.conf import settings

from apps.comments import notices
from apps.core import events, outbox
from apps.core.actors import actor


def comments_on(post_id: int) -> str:
    """The topic of the comments on a post."""
    return f"comments_on_{post_id}"


@actor(once=True)
def comment_added(post_id: int, comment_id: int) -> None:
    """Have whom it concerns mailed after NOTICE_DELAY, and tell subscribers of `commentAdded`."""
    added = [(notice.recipient_id, notice.pk) for notice in notices.add(comment_id)]
    outbox.send_all(mail_notices, added, delay=settings.NOTICE_DELAY)
    events.publish(comments_on(post_id), comment_id)


@actor(once=True)
def mail_notices(recipient_id: int, notice_id: int) -> None:
    """One mail about all that the recipient is to be told, unless another message was first."""
    notices.mail(recipient_id, notice_id)
