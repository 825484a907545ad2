"""What the arguments `filter` and `orderBy` of a list of posts mean."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.postgres.search import SearchRank
from django.db.models import F, FloatField, QuerySet
from django.db.models.functions import Cast, Lower

from apps.posts.api.inputs import PostFilter, PostOrder
from apps.posts.models import Post
from apps.posts.selectors import filtered, search_query
from schema.errors import bad_input, searchable
from schema.relay import Order, key_of

ORDERS = {
    PostOrder.NEWEST: Order("post:newest", "dated_at", datetime),
    PostOrder.OLDEST: Order("post:oldest", "dated_at", datetime, descending=False),
    PostOrder.RECENTLY_UPDATED: Order("post:updated", "updated_at", datetime),
    PostOrder.TITLE: Order("post:title", Lower("title"), str, descending=False),
}

# What `listing` makes of a filter that narrows nothing.
NOTHING = ("", None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Listing:
    """A checked filter and order: how to narrow a queryset (None: not at all), and what identifies that in caches."""

    order: Order
    narrow: Callable[[QuerySet[Post]], QuerySet[Post]] | None
    key: Hashable


def listing(filter: PostFilter | None, order_by: PostOrder | None) -> Listing:
    """Raises BAD_USER_INPUT for an author's id that is none, and for RELEVANCE without a search."""
    filter = filter or PostFilter()
    search = searchable("search", filter.search)
    tag = searchable("tag", filter.tag) if filter.tag is not None else None
    author_id = key_of("User", filter.author) if filter.author is not None else None

    def narrow(posts: QuerySet[Post]) -> QuerySet[Post]:
        return filtered(
            posts,
            search=search,
            tag=tag,
            author_id=author_id,
            status=filter.status,
            published_after=filter.published_after,
            published_before=filter.published_before,
        )

    order = _order(order_by or PostOrder.NEWEST, search)
    # As checked, not as sent: blanks at the ends may be as long as a request.
    given = (search, tag, author_id, filter.status, filter.published_after, filter.published_before)
    return Listing(order, narrow if given != NOTHING else None, given)


def _order(order_by: PostOrder, search: str) -> Order:
    if order_by is not PostOrder.RELEVANCE:
        return ORDERS[order_by]
    if not search:
        raise bad_input("`orderBy: RELEVANCE` needs `filter.search`.")
    # In double precision a cursor carries the rank without loss.
    rank = Cast(SearchRank(F("search_vector"), search_query(search)), FloatField())
    return Order("post:relevance", rank, float)
