"""What posts hold that follows from something else of theirs."""

from collections.abc import Iterator, Sequence

from django.db import transaction
from django.db.models import QuerySet

from apps.core.derived import Derived
from apps.core.text import excerpt
from apps.posts.models import EXCERPT_MAX, Post

# Posts a statement; each may be of 100,000 characters.
READ = 200


def wrong_excerpts() -> Iterator[int]:
    """Keys of the posts whose excerpt is not the beginning of their body. A statement for each READ posts."""
    last = 0
    while posts := list(_read().filter(pk__gt=last).order_by("pk")[:READ]):
        yield from (post.pk for post in posts if post.excerpt != excerpt(post.body, EXCERPT_MAX))
        last = posts[-1].pk


@transaction.atomic
def repair_excerpts(keys: Sequence[int]) -> None:
    """Make the excerpts of these posts anew. Locks them. The version stays: nobody has changed the post."""
    posts = list(_read().filter(pk__in=keys).select_for_update(no_key=True).order_by("pk"))
    for post in posts:
        post.excerpt = excerpt(post.body, EXCERPT_MAX)
    Post.objects.bulk_update(posts, ["excerpt"])


def _read() -> QuerySet[Post]:
    return Post.objects.only("body", "excerpt")


EXCERPTS = Derived("excerpts of posts", wrong_excerpts, repair_excerpts)
