"""Loaders: a level's rows for a constant number of statements, each row once a request, only what the viewer may see.

A slice declares its loaders beside its types, from its own `visible_to`:

    posts_by_id = ByKey(selectors.visible_to)
    tags_of_post = Lists(selectors.tags_visible_to, parent="taggings__post_id", order=("taggings__position",))
    comment_counts = Counts(selectors.living_visible_to, parent="post_id")
    comments_of_post = Pages(selectors.visible_to, parent="post_id")
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.db.models import Count, F, Model, QuerySet, Value

from apps.core.rows import ParentKey, fetch, fetch_pages
from schema.errors import RequestError, RequestErrorCode
from schema.relay import Order, Page, PageArgs

if TYPE_CHECKING:
    from apps.users.models import User
    from schema.context import Info

M = TypeVar("M", bound=Model)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Visible = Callable[["User | None"], "QuerySet[M, M]"]


class Batcher(Generic[K, V]):
    """Loads values by key, each once; keys asked for in one turn of the event loop share one `fetch`."""

    def __init__(self, fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._fetch = fetch
        self._tasks: dict[K, asyncio.Task[Mapping[K, V]]] = {}
        self._collecting: tuple[list[K], asyncio.Task[Mapping[K, V]]] | None = None

    async def load(self, keys: Sequence[K]) -> list[V | None]:
        """The value of each key, in order; None where there is none. Raises what `fetch` raised."""
        for key in keys:
            if key not in self._tasks:
                self._tasks[key] = self._enlist(key)
        await asyncio.gather(*{self._tasks[key] for key in keys})
        return [self._tasks[key].result().get(key) for key in keys]

    def _enlist(self, key: K) -> asyncio.Task[Mapping[K, V]]:
        if self._collecting is None:
            keys: list[K] = []
            self._collecting = keys, asyncio.ensure_future(self._run(keys))
        keys, task = self._collecting
        keys.append(key)
        return task

    async def _run(self, keys: list[K]) -> Mapping[K, V]:
        await asyncio.sleep(0)  # whoever else is ready in this turn may still ask
        self._collecting = None
        return await self._fetch(keys)


class Batchers:
    """The batchers of one request, by what they load."""

    def __init__(self) -> None:
        self._batchers: dict[Hashable, Batcher[Any, Any]] = {}

    def of(self, key: Hashable, fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]]) -> Batcher[K, V]:
        """The batcher for `key`, made with `fetch` when it is the first."""
        if key not in self._batchers:
            self._batchers[key] = Batcher(fetch)
        return self._batchers[key]

    def clear(self) -> None:
        """Forget everything loaded so far: a write has made it old."""
        self._batchers.clear()


class ByKey(Generic[M]):
    """Rows by a unique column: a foreign key's target, a root field's row. One statement a level."""

    def __init__(self, visible_to: Visible[M], column: str = "id") -> None:
        self._visible_to = visible_to
        self._column = column

    async def load(self, keys: Sequence[Any], info: Info) -> list[M | None]:
        """The row of each key, in order; None for a None key, and for a row that is missing or hidden."""
        viewer = info.context.viewer

        async def load_rows(wanted: list[Any]) -> dict[Any, M]:
            rows = await fetch(self._visible_to(viewer).filter(**{f"{self._column}__any_of": wanted}))
            return {getattr(row, self._column): row for row in rows}

        batcher = info.context.batchers.of(self, load_rows)
        found = iter(await batcher.load([key for key in keys if key is not None]))
        return [None if key is None else next(found) for key in keys]

    def through(self, attribute: str) -> Callable[[Sequence[Any], Info], Awaitable[list[M | None]]]:
        """A batch resolver: the rows that the parents' `attribute` (`parent_id`) points to."""

        async def resolve(parents: Sequence[Any], info: Info) -> list[M | None]:
            return await self.load([getattr(parent, attribute) for parent in parents], info)

        return resolve

    def required_through(self, attribute: str) -> Callable[[Sequence[Any], Info], Awaitable[list[M | RequestError]]]:
        """The same for a field that is never null. A row that went between two statements is a CONFLICT."""
        resolve = self.through(attribute)

        async def resolve_required(parents: Sequence[Any], info: Info) -> list[M | RequestError]:
            return [row or _gone() for row in await resolve(parents, info)]

        return resolve_required


def _gone() -> RequestError:
    return RequestError(RequestErrorCode.CONFLICT, "This has changed while it was being read. Read it again.")


class Lists(Generic[M]):
    """All rows of each parent, for relations that are short by their nature. One statement a level."""

    def __init__(self, visible_to: Visible[M], parent: str, order: Sequence[str]) -> None:
        self._visible_to = visible_to
        self._parent = parent
        self._order = order

    async def of_parents(self, parents: Sequence[Model], info: Info) -> list[list[M]]:
        """A batch resolver: the rows whose `parent` column is the parent's key, in order."""
        viewer = info.context.viewer

        async def load_lists(keys: list[int]) -> dict[int, list[M]]:
            rows = self._visible_to(viewer).filter(**{f"{self._parent}__any_of": keys})
            lists: dict[int, list[M]] = {}
            for row in await fetch(rows.annotate(parent_key=F(self._parent)).order_by(*self._order)):
                lists.setdefault(row.parent_key, []).append(row)  # type: ignore[attr-defined]  # annotated above
            return lists

        lists = await info.context.batchers.of(self, load_lists).load([parent.pk for parent in parents])
        return [rows or [] for rows in lists]


class Counts(Generic[M]):
    """How many rows each parent has. One statement a level."""

    def __init__(self, visible_to: Visible[M], parent: str) -> None:
        self._visible_to = visible_to
        self._parent = parent

    async def of_parents(self, parents: Sequence[Model], info: Info) -> list[int]:
        """A batch resolver: the number of rows whose `parent` column is the parent's key."""
        return await self.load([parent.pk for parent in parents], info)

    async def load(
        self,
        keys: Sequence[int],
        info: Info,
        narrow: Callable[[QuerySet[M]], QuerySet[M]] | None = None,
        key: Hashable = None,
    ) -> list[int]:
        """The counts for the parents' `keys`; `narrow` filters the rows, and `key` stands for it in the cache."""
        viewer = info.context.viewer

        async def load_counts(wanted: list[int]) -> dict[int, int]:
            rows = self._visible_to(viewer).filter(**{f"{self._parent}__any_of": wanted})
            counted = (narrow(rows) if narrow else rows).order_by().values(self._parent).annotate(count=Count("*"))
            return {row[self._parent]: row["count"] for row in await fetch(counted)}

        counts = await info.context.batchers.of((self, key), load_counts).load(keys)
        return [count or 0 for count in counts]


class Pages(Generic[M]):
    """One page of rows for each parent, with cursors of its own. One statement a level, and one for the totals."""

    def __init__(self, visible_to: Visible[M], parent: str) -> None:
        self._visible_to = visible_to
        self._parent = parent
        self._counts = Counts(visible_to, parent)

    async def of_parents(
        self,
        parents: Sequence[Model],
        info: Info,
        page: PageArgs,
        order: Order,
        narrow: Callable[[QuerySet[M]], QuerySet[M]] | None = None,
        key: Hashable = None,
    ) -> list[Page[M]]:
        """The page of each parent; `narrow` filters the rows, and `key` stands for it in the cache."""
        viewer = info.context.viewer

        async def load_pages(keys: list[int]) -> dict[int, list[M]]:
            rows = self._visible_to(viewer).filter(**{self._parent: ParentKey()})
            return await fetch_pages(page.apply(narrow(rows) if narrow else rows, order), keys, page.size + 1)

        def total_of(parent: int) -> Callable[[], Awaitable[int]]:
            async def total() -> int:
                return (await self._counts.load([parent], info, narrow, key))[0]

            return total

        batcher = info.context.batchers.of((self, page, order.name, key), load_pages)
        pages = await batcher.load([parent.pk for parent in parents])
        return [page.cut(rows or [], order, total_of(parent.pk)) for parent, rows in zip(parents, pages, strict=True)]


async def root_page(visible: QuerySet[M], page: PageArgs, order: Order) -> Page[M]:
    """One page of `visible`, for one statement, and one more for its total when that is selected."""

    async def total() -> int:
        # One group, so that the count stays a queryset and is read like everything else.
        counted = visible.order_by().values(all=Value(1)).annotate(count=Count("*")).values_list("count", flat=True)
        return sum(await fetch(counted))

    return page.cut(await fetch(page.apply(visible, order)[: page.size + 1]), order, total)
