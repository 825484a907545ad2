"""Background work of the posts slice."""

from apps.core import events
from apps.core.actors import actor

POST_PUBLISHED = "post_published"


@actor(once=True)
def post_published(post_id: int) -> None:
    """Tell subscribers of `postPublished`."""
    events.publish(POST_PUBLISHED, post_id)
