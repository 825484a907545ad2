"""Background work of the comments slice."""

from apps.core import events
from apps.core.actors import actor


def comments_on(post_id: int) -> str:
    """The topic of the comments on a post."""
    return f"comments_on_{post_id}"


@actor(once=True)
def comment_added(post_id: int, comment_id: int) -> None:
    """Tell subscribers of `commentAdded`."""
    events.publish(comments_on(post_id), comment_id)
