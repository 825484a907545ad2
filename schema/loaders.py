"""Loaders: a level's rows for a constant number of statements, each row once a request, only what the viewer may see.

A slice declares its loaders beside its types, from its own `visible_to`:

    posts_by_id = ByKey(selectors.visible_to)
    tags_of_post = Lists(selectors.tags_visible_to, parent="taggings__post_id", order=("taggings__position",))
    comment_counts = Counts(selectors.living_visible_to, parent="post_id")
    comments_of_post = Pages(selectors.visible_to, parent="post_id")
    all_posts = RootPages(selectors.visible_to)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.conf import settings
from django.db.models import Count, F, Model, QuerySet, Value

from apps.core.expressions import ParentKey
from apps.core.rows import KEYS, Statement, Statements, compiled, compiled_for_each
from schema.engine import attributes_read, reads
from schema.errors import RequestError, RequestErrorCode
from schema.relay import Order, Page, PageArgs

if TYPE_CHECKING:
    from apps.users.models import User
    from schema.context import Info

M = TypeVar("M", bound=Model)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Visible = Callable[["User | None"], "QuerySet[M, M]"]


class _Batch(Generic[K, V]):
    """Keys that are fetched together."""

    def __init__(self) -> None:
        self.keys: dict[K, None] = {}
        self.found: Mapping[K, V] = {}
        self.error: BaseException | None = None
        self.is_done = asyncio.Event()


class Batcher(Generic[K, V]):
    """Loads values by key, each once; keys asked for in one turn of the event loop share one `fetch`."""

    def __init__(
        self, fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]], slots: asyncio.Semaphore | None = None
    ) -> None:
        self._fetch = fetch
        self._slots = slots or nullcontext()
        self._batches: dict[K, _Batch[K, V]] = {}
        self._collecting: _Batch[K, V] | None = None

    async def load(self, keys: Sequence[K]) -> list[V | None]:
        """The value of each key, in order; None where there is none. Raises what `fetch` raised."""
        batches = self._batches
        if missing := {key: None for key in keys if key not in batches}:
            batch = self._collecting
            if batch is None:
                # Whoever asks first fetches for all who ask in this turn.
                mine: _Batch[K, V] = _Batch()
                self._collecting = mine
                self._enlist(mine, missing)
                await self._run(mine)
            else:
                self._enlist(batch, missing)
        for batch in {batches[key] for key in keys}:
            await batch.is_done.wait()
            if batch.error is not None:
                raise batch.error
        return [batches[key].found.get(key) for key in keys]

    def _enlist(self, batch: _Batch[K, V], keys: dict[K, None]) -> None:
        batch.keys |= keys
        self._batches.update(dict.fromkeys(keys, batch))

    async def _run(self, batch: _Batch[K, V]) -> None:
        try:
            await asyncio.sleep(0)  # whoever else is ready in this turn may still ask
            self._collecting = None
            async with self._slots:
                batch.found = await self._fetch(list(batch.keys))
        except BaseException as error:
            batch.error = error
            raise
        finally:
            self._collecting = None if self._collecting is batch else self._collecting
            batch.is_done.set()


class Batchers:
    """The batchers of one request, by what they load. At most READ_CONCURRENCY of them read at a time.

    Given `slots`, those of several requests share them.
    """

    def __init__(self, slots: asyncio.Semaphore | None = None) -> None:
        self._slots = slots or asyncio.Semaphore(settings.READ_CONCURRENCY)
        self._batchers: dict[Hashable, Batcher[Any, Any]] = {}

    def of(self, key: Hashable, fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]]) -> Batcher[K, V]:
        """The batcher for `key`, made with `fetch` when it is the first."""
        if key not in self._batchers:
            self._batchers[key] = Batcher(fetch, self._slots)
        return self._batchers[key]

    def clear(self) -> None:
        """Forget everything loaded so far: a write has made it old."""
        self._batchers.clear()


class ByKey(Generic[M]):
    """Rows by a unique column: a foreign key's target, a root field's row. One statement a level."""

    def __init__(self, visible_to: Visible[M], column: str = "id") -> None:
        self._visible_to = visible_to
        self._column = column
        self._statements: Statements[M] = Statements()

    async def load(self, keys: Sequence[Any], info: Info) -> list[M | None]:
        """The row of each key, in order; None for a None key, and for a row that is missing or hidden."""
        viewer = info.context.viewer
        visible = self._visible_to
        columns = _columns(info, visible)

        def compile(viewer: User | None) -> Statement[M]:
            needed = None if columns is None else columns | {self._column}
            return compiled(visible(viewer).filter(**{f"{self._column}__any_of": KEYS}), needed)

        async def load_rows(wanted: list[Any]) -> dict[Any, M]:
            rows = await self._statements.of(viewer, columns, compile).fetch(wanted, _key(viewer))
            return {getattr(row, self._column): row for row in rows}

        batcher = info.context.batchers.of((self, columns), load_rows)
        if None not in keys:
            return await batcher.load(keys)
        found = iter(await batcher.load([key for key in keys if key is not None]))
        return [None if key is None else next(found) for key in keys]

    def through(self, attribute: str) -> Callable[[Sequence[Any], Info], Awaitable[list[M | None]]]:
        """A batch resolver: the rows that the parents' `attribute` (`parent_id`) points to."""

        @reads(attribute)
        async def resolve(parents: Sequence[Any], info: Info) -> list[M | None]:
            return await self.load([getattr(parent, attribute) for parent in parents], info)

        return resolve

    def required_through(self, attribute: str) -> Callable[[Sequence[Any], Info], Awaitable[list[M | RequestError]]]:
        """The same for a field that is never null. A row that went between two statements is a CONFLICT."""
        resolve = self.through(attribute)

        @reads(attribute)
        async def resolve_required(parents: Sequence[Any], info: Info) -> list[M | RequestError]:
            return [_gone() if row is None else row for row in await resolve(parents, info)]

        return resolve_required


def _gone() -> RequestError:
    return RequestError(RequestErrorCode.CONFLICT, "This has changed while it was being read. Read it again.")


def _columns(info: Info, visible_to: Visible[Any]) -> frozenset[str] | None:
    """What this field's level reads of the rows of `visible_to`; None for everything."""
    return attributes_read(info, _model_of(visible_to))


def _cursors(info: Info, visible_to: Visible[Any]) -> bool:
    """Whether this field's connection is asked for cursors."""
    read = attributes_read(info, f"{_model_of(visible_to)}Connection")
    return read is None or not read.isdisjoint(("edges", "page_info"))


def _key(viewer: User | None) -> int | None:
    return None if viewer is None else viewer.pk


@cache
def _model_of(visible_to: Visible[Any]) -> str:
    return visible_to(None).model.__name__


class Lists(Generic[M]):
    """All rows of each parent, for relations that are short by their nature. One statement a level."""

    def __init__(self, visible_to: Visible[M], parent: str, order: Sequence[str]) -> None:
        self._visible_to = visible_to
        self._parent = parent
        self._order = order
        self._statements: Statements[M] = Statements()

    @reads("pk")
    async def of_parents(self, parents: Sequence[Model], info: Info) -> list[list[M]]:
        """A batch resolver: the rows whose `parent` column is the parent's key, in order."""
        viewer = info.context.viewer
        columns = _columns(info, self._visible_to)

        def compile(viewer: User | None) -> Statement[M]:
            rows = self._visible_to(viewer).filter(**{f"{self._parent}__any_of": KEYS})
            return compiled(rows.annotate(parent_key=F(self._parent)).order_by(*self._order), columns)

        async def load_lists(keys: list[int]) -> dict[int, list[M]]:
            lists: dict[int, list[M]] = {}
            for row in await self._statements.of(viewer, columns, compile).fetch(keys, _key(viewer)):
                lists.setdefault(row.parent_key, []).append(row)  # type: ignore[attr-defined]  # annotated above
            return lists

        lists = await info.context.batchers.of((self, columns), load_lists).load([parent.pk for parent in parents])
        return [rows or [] for rows in lists]


class Counts(Generic[M]):
    """How many rows each parent has. One statement a level."""

    def __init__(self, visible_to: Visible[M], parent: str) -> None:
        self._visible_to = visible_to
        self._parent = parent
        self._statements: Statements[tuple[int, int]] = Statements()

    @reads("pk")
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

        def compile(viewer: User | None) -> Statement[tuple[int, int]]:
            rows = self._visible_to(viewer).filter(**{self._parent: ParentKey()})
            counted = (narrow(rows) if narrow else rows).order_by().values(self._parent).annotate(count=Count("*"))
            return compiled_for_each(counted.values_list("count"), planned_once=narrow is None)

        async def load_counts(wanted: list[int]) -> dict[int, int]:
            counts = await self._statements.of(viewer, key, compile).fetch(wanted, _key(viewer))
            return {parent: count for count, parent in counts}

        counts = await info.context.batchers.of((self, key), load_counts).load(keys)
        return [count or 0 for count in counts]


class Pages(Generic[M]):
    """One page of rows for each parent, with cursors of its own. One statement a level, and one for the totals."""

    def __init__(self, visible_to: Visible[M], parent: str) -> None:
        self._visible_to = visible_to
        self._parent = parent
        self._counts = Counts(visible_to, parent)
        self._statements: Statements[M] = Statements()

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
        columns = _columns(info, self._visible_to)
        cursors = _cursors(info, self._visible_to)
        shape = (page, order.name, key, columns, cursors)

        def compile(viewer: User | None) -> Statement[M]:
            rows = self._visible_to(viewer).filter(**{self._parent: ParentKey()})
            placed = page.apply(narrow(rows) if narrow else rows, order, for_cursors=cursors)
            planned_once = narrow is None and page.starts_the_list
            return compiled_for_each(placed[: page.size + 1], columns, planned_once=planned_once)

        async def load_pages(keys: list[int]) -> dict[int, list[M]]:
            rows = await self._statements.of(viewer, shape, compile).fetch(keys, _key(viewer))
            # The statement gives one parent's rows after the other's.
            return {key: list(page) for key, page in groupby(rows, attrgetter("parent_key"))}

        def total_of(parent: int) -> Callable[[], Awaitable[int]]:
            async def total() -> int:
                return (await self._counts.load([parent], info, narrow, key))[0]

            return total

        batcher = info.context.batchers.of((self, shape), load_pages)
        pages = await batcher.load([parent.pk for parent in parents])
        return [page.cut(rows or [], order, total_of(parent.pk)) for parent, rows in zip(parents, pages, strict=True)]


class RootPages(Generic[M]):
    """Pages of everything that may be seen. One statement, and one more for the total when that is selected."""

    def __init__(self, visible_to: Visible[M]) -> None:
        self._visible_to = visible_to
        self._statements: Statements[M] = Statements()
        self._totals: Statements[int] = Statements()

    async def page(
        self,
        info: Info,
        page: PageArgs,
        order: Order,
        narrow: Callable[[QuerySet[M]], QuerySet[M]] | None = None,
        key: Hashable = None,
    ) -> Page[M]:
        """The page; `narrow` filters the rows, and `key` stands for it in the cache."""
        viewer = info.context.viewer
        columns, cursors = _columns(info, self._visible_to), _cursors(info, self._visible_to)
        shape = (page, order.name, key, columns, cursors)

        def visible(viewer: User | None) -> QuerySet[M]:
            return narrow(self._visible_to(viewer)) if narrow else self._visible_to(viewer)

        def compile(viewer: User | None) -> Statement[M]:
            placed = page.apply(visible(viewer), order, for_cursors=cursors)[: page.size + 1]
            return compiled(placed, columns, planned_once=narrow is None and page.starts_the_list)

        def compile_total(viewer: User | None) -> Statement[int]:
            # One group, so that the count stays a queryset and is read like everything else.
            counted = visible(viewer).order_by().values(all=Value(1)).annotate(count=Count("*"))
            return compiled(counted.values_list("count", flat=True), planned_once=narrow is None)

        async def load_page(_: list[None]) -> dict[None, list[M]]:
            return {None: await self._statements.of(viewer, shape, compile).fetch((), _key(viewer))}

        async def load_total(_: list[None]) -> dict[None, int]:
            return {None: sum(await self._totals.of(viewer, key, compile_total).fetch((), _key(viewer)))}

        async def total() -> int:
            [count] = await info.context.batchers.of((self._totals, key), load_total).load([None])
            return count or 0

        # By batchers, so that a page is loaded once, however many fields ask for it.
        [rows] = await info.context.batchers.of((self, shape), load_page).load([None])
        return page.cut(rows or [], order, total)
