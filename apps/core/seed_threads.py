"""Who comments when, and in reply to what: the shape of seeded discussions, without their text."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

REPLY_SHARE = 0.55
EDITED_SHARE = 0.04
DELETED_SHARE = 0.03
DISCUSSED_FOR = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class PlannedComment:
    """A comment to be written. Posts and authors are given as positions in the lists that were passed in,
    `parent` as a position in the planned list, where it always comes earlier."""

    post: int
    author: int
    parent: int | None
    depth: int
    created_at: datetime
    edited_at: datetime | None = None
    deleted_at: datetime | None = None


def active_member(random: Random, joined: Sequence[datetime], at: datetime) -> int:
    """The position in `joined` (ascending) of somebody who had joined at `at`; early members write more."""
    return int(bisect_right(joined, at) * random.random() ** 1.5)


def plan_threads(
    random: Random,
    published: Sequence[datetime | None],
    joined: Sequence[datetime],
    until: datetime,
    count: int,
    depth_max: int,
) -> list[PlannedComment]:
    """`count` comments in the order of their creation, all between their post's publication and `until`.

    `published` holds None for posts that nobody can comment on; there has to be another. A few posts get most
    of the comments, above all the first, which opens with an exchange `depth_max` deep. Only comments with
    replies are marked as deleted, so every deleted comment has a live one somewhere below it.
    """
    starts = {post: at for post, at in enumerate(published) if at is not None}
    comments: list[PlannedComment] = []
    for post, size in sorted(_sizes(random, list(starts), count).items()):
        first = not comments
        comments += _thread(random, post, starts[post], joined, until, size, depth_max, len(comments), chained=first)
    return list(_marked(random, _in_order(comments), until))


def _sizes(random: Random, posts: Sequence[int], count: int) -> Counter[int]:
    first, *rest = posts
    by_popularity = [first, *random.sample(rest, len(rest))]
    weights = [1 / (rank + 2) ** 0.8 for rank in range(len(by_popularity))]
    return Counter(random.choices(by_popularity, weights, k=count))


def _thread(
    random: Random,
    post: int,
    start: datetime,
    joined: Sequence[datetime],
    until: datetime,
    size: int,
    depth_max: int,
    offset: int,
    *,
    chained: bool,
) -> list[PlannedComment]:
    thread: list[PlannedComment] = []
    for position in range(size):
        if chained and position <= depth_max:
            parent = position - 1 if position else None
        else:
            parent = _parent(random, thread, depth_max)
        since = start if parent is None else thread[parent].created_at
        # Never 0: a reply is later than its parent. Never 1: there is time left for the replies to it.
        share = 0.001 + 0.9 * random.random() ** 3
        created_at = since + share * min(until - since, DISCUSSED_FOR)
        author = active_member(random, joined, created_at)
        if parent is not None and author == thread[parent].author:
            author = author - 1 if author else 1
        depth = 0 if parent is None else thread[parent].depth + 1
        absolute = None if parent is None else parent + offset
        thread.append(PlannedComment(post, author, absolute, depth, created_at))
    return thread


def _parent(random: Random, thread: Sequence[PlannedComment], depth_max: int) -> int | None:
    if not thread or random.random() > REPLY_SHARE:
        return None
    parent = len(thread) - 1 if random.random() < 0.5 else random.randrange(len(thread))
    return parent if thread[parent].depth < depth_max else None


def _in_order(comments: Sequence[PlannedComment]) -> list[PlannedComment]:
    order = sorted(range(len(comments)), key=lambda position: comments[position].created_at)
    moved = {old: new for new, old in enumerate(order)}
    ordered = [comments[old] for old in order]
    return [row if row.parent is None else replace(row, parent=moved[row.parent]) for row in ordered]


def _marked(random: Random, comments: Sequence[PlannedComment], until: datetime) -> Iterator[PlannedComment]:
    answered = {comment.parent for comment in comments}
    for position, comment in enumerate(comments):
        chance = random.random()
        later = comment.created_at + 0.1 * random.random() * (until - comment.created_at)
        if position in answered and chance < DELETED_SHARE:
            yield replace(comment, deleted_at=later)
        elif chance > 1 - EDITED_SHARE:
            yield replace(comment, edited_at=later)
        else:
            yield comment
