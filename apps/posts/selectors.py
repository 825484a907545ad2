"""Reads of posts and tags."""

import re
from datetime import datetime
from itertools import count
from typing import Any

from django.contrib.postgres.search import SearchQuery
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower

from apps.posts.models import SEARCH_CONFIG, Post, PostStatus, Tag
from apps.posts.policies import can_see_all_posts
from apps.users.models import User

# Each of these may read as a NOT, and PostgreSQL's parser of searches fails when more than 31 of them nest.
DASH = re.compile(r"(?<![a-zA-Z0-9])-|-(?![a-zA-Z0-9])")
DASHES_MAX = 16


def visible_to(viewer: User | None) -> QuerySet[Post]:
    """What is published, for everybody; anything else for its author and for who may see all."""
    posts = Post.objects.all()
    if viewer is None:
        return posts.filter(status=PostStatus.PUBLISHED)
    if can_see_all_posts(viewer):
        return posts
    return posts.filter(Q(status=PostStatus.PUBLISHED) | Q(author_id=viewer.pk))


def tags_visible_to(viewer: User | None) -> QuerySet[Tag]:
    """Tags are public."""
    return Tag.objects.all()


def search_query(search: str) -> SearchQuery:
    """`search` as a web search reads it: words, "phrases", or, -not."""
    seen = count()
    search = DASH.sub(lambda dash: "-" if next(seen) < DASHES_MAX else " ", search)
    return SearchQuery(search, config=SEARCH_CONFIG, search_type="websearch")


def filtered(
    posts: QuerySet[Post],
    *,
    search: str | None = None,
    tag: str | None = None,
    author_id: int | None = None,
    status: PostStatus | None = None,
    published_after: datetime | None = None,
    published_before: datetime | None = None,
) -> QuerySet[Post]:
    """`posts` that match everything given. The bounds of the date are not included; `tag` is a slug."""
    conditions: dict[str, Any] = {}
    if search:
        conditions["search_vector"] = search_query(search)
    if author_id is not None:
        conditions["author_id"] = author_id
    if status is not None:
        conditions["status"] = status
    # dated_at is published_at where that is set, and has the index that the order needs too.
    if published_after is not None:
        conditions |= {"published_at__isnull": False, "dated_at__gt": published_after}
    if published_before is not None:
        conditions |= {"published_at__isnull": False, "dated_at__lt": published_before}
    if tag is not None:
        conditions["taggings__tag__slug"] = tag
    return posts.filter(**conditions)


def tags_named(tags: QuerySet[Tag], search: str | None) -> QuerySet[Tag]:
    """`tags` with `search` anywhere in their name, regardless of case."""
    if not search:
        return tags
    return tags.alias(lower_name=Lower("name")).filter(lower_name__contains=Lower(Value(search)))
