"""What comments hold that follows from others of their thread."""

from collections.abc import Iterator, Sequence

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from apps.comments.models import DEPTH_MAX, Comment
from apps.core.derived import Derived
from apps.posts.models import Post

# A depth that is too large to be stored is left as it is.
SET_DEPTHS = """
WITH RECURSIVE thread (id, depth) AS (
    SELECT id, 0 FROM comments_comment WHERE post_id = ANY(%(posts)s) AND parent_id IS NULL
    UNION ALL
    SELECT reply.id, thread.depth + 1 FROM comments_comment AS reply JOIN thread ON reply.parent_id = thread.id
)
UPDATE comments_comment AS comment SET depth = thread.depth FROM thread
WHERE comment.id = thread.id AND comment.depth <> thread.depth AND thread.depth <= %(most)s
"""
# Without its last reply an empty place goes, too, which may leave another one above it.
REMOVE_PLACES = """
DELETE FROM comments_comment AS place WHERE post_id = ANY(%(posts)s) AND deleted_at IS NOT NULL
AND NOT EXISTS (SELECT FROM comments_comment WHERE parent_id = place.id)
"""


def wrong_depths() -> Iterator[int]:
    """Keys of the replies whose depth is not their parent's and one more. One statement."""
    return _keys(Comment.objects.filter(parent__isnull=False).exclude(depth=F("parent__depth") + 1))


def repair_depths(keys: Sequence[int]) -> None:
    """Count the depths anew in the threads of these comments. Locks their posts."""
    _in_threads_of(keys, SET_DEPTHS)


def empty_places() -> Iterator[int]:
    """Keys of the deleted comments that have no reply. One statement."""
    replies = Comment.objects.filter(parent=OuterRef("pk"))
    return _keys(Comment.objects.filter(~Exists(replies), deleted_at__isnull=False))


def remove_empty_places(keys: Sequence[int]) -> None:
    """Remove the empty places in the threads of these comments. Locks their posts."""
    _in_threads_of(keys, REMOVE_PLACES, times=DEPTH_MAX + 1)


def _keys(comments: QuerySet[Comment]) -> Iterator[int]:
    return iter(list(comments.order_by("pk").values_list("pk", flat=True)))


@transaction.atomic
def _in_threads_of(keys: Sequence[int], statement: str, times: int = 1) -> None:
    threads = Post.objects.filter(pk__in=Comment.objects.filter(pk__in=keys).values("post_id"))
    posts = [post.pk for post in threads.only("pk").select_for_update(no_key=True).order_by("pk")]
    with connection.cursor() as cursor:
        for _ in range(times):
            cursor.execute(statement, {"posts": posts, "most": DEPTH_MAX})


DEPTHS = Derived("depths of comments", wrong_depths, repair_depths)
PLACES = Derived("empty places of deleted comments", empty_places, remove_empty_places)
