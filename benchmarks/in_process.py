"""Measures the engine beside graphql-core, without HTTP and a database: `python -m benchmarks.in_process`.

The same queries run on two schemas with the same SDL and the same rows in memory: ours, on the engine, and plain
Strawberry with DataLoaders, on graphql-core. Parsing and validating are cached on both sides, so that executing is what
differs. Both have the API's DateTime, which is left to the JSON encoder, and both answers are encoded. Python's garbage
collector stays as it is, so that its work belongs to the times: the more tasks and futures wait at once, the more it
has to look through, again and again.

`--plot FILE.png` also measures how the time grows with the page; it needs matplotlib.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from math import log2
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import strawberry

from benchmarks import blog_breadth_first, blog_stock
from benchmarks.blog import Blog

# The peers' workloads of these names, for comparison with `over_http.py`.
POSTS = """
{{ posts(first: {posts}) {{ id title slug publishedAt author {{ id firstName lastName }} tags {{ name }} commentCount
    comments(first: {comments}) {{ id body createdAt author {{ id firstName lastName }} }} }} }}"""
QUERIES = {
    "one_field": "{ hello }",
    "nested": POSTS.format(posts=50, comments=10),
    "wide": POSTS.format(posts=200, comments=20),
}
PAGE_SIZES = (10, 20, 50, 100, 200, 500, 1_000)
# Short queries are repeated, so that what is timed takes at least this long.
SECONDS_AT_LEAST = 0.05


@dataclass(frozen=True, slots=True)
class Engine:
    """A schema and the context that its requests have."""

    schema: strawberry.Schema
    context: Callable[[Blog], object]

    async def answer(self, rows: Blog, query: str) -> bytes:
        """What `query` gives, as JSON. Raises RuntimeError when anything failed."""
        result = await self.schema.execute(query, context_value=self.context(rows))
        if result.errors or result.data is None:
            raise RuntimeError(f"The query failed: {result.errors}")
        return orjson.dumps(result.data)

    async def cpu_ms(self, rows: Blog, query: str, times: int) -> float:
        """The CPU time of one execution, as the mean of `times`."""
        gc.collect()
        start = time.process_time()
        for _ in range(times):
            await self.answer(rows, query)
        return (time.process_time() - start) / times * 1_000


STOCK = Engine(blog_stock.schema, blog_stock.Loaders)
BREADTH_FIRST = Engine(blog_breadth_first.schema, lambda rows: rows)


@dataclass(frozen=True, slots=True)
class Times:
    """The CPU times of one query in ms, one of each engine for each round."""

    values: int
    stock: Sequence[float]
    breadth_first: Sequence[float]

    @property
    def ratio(self) -> float:
        """How many times longer graphql-core takes. Both engines of a round have met the same noise."""
        return median(stock / ours for stock, ours in zip(self.stock, self.breadth_first, strict=True))


async def measure(rows: Blog, query: str, rounds: int) -> Times:
    """The engines' times, taken in turns. Raises RuntimeError unless both give the same data."""
    # What is compared has also warmed the caches.
    expected, answer = await STOCK.answer(rows, query), await BREADTH_FIRST.answer(rows, query)
    if answer != expected:
        raise RuntimeError(f"The engines disagree about {query}")
    stock_times, breadth_first_times = await _repeats(STOCK, rows, query), await _repeats(BREADTH_FIRST, rows, query)
    stock, breadth_first = [], []
    for _ in range(rounds):
        stock.append(await STOCK.cpu_ms(rows, query, stock_times))
        breadth_first.append(await BREADTH_FIRST.cpu_ms(rows, query, breadth_first_times))
    return Times(_count_values(orjson.loads(answer)), stock, breadth_first)


async def _repeats(engine: Engine, rows: Blog, query: str) -> int:
    return 1 + int(SECONDS_AT_LEAST * 1_000 / await engine.cpu_ms(rows, query, times=1))


def _count_values(data: Any) -> int:
    if isinstance(data, dict):
        return sum(map(_count_values, data.values()))
    return sum(map(_count_values, data)) if isinstance(data, list) else 1


def table(times_of: dict[str, Times]) -> str:
    """The queries' medians, as Markdown."""
    lines = ["| query | values | graphql-core, ms | breadth-first, ms | ratio |", "|---|---:|---:|---:|---:|"]
    for name, times in times_of.items():
        stock, ours = median(times.stock), median(times.breadth_first)
        lines.append(f"| `{name}` | {times.values:,} | {stock:.2f} | {ours:.2f} | {times.ratio:.1f} |")
    return "\n".join(lines)


def growth_table(times_of: dict[int, Times]) -> str:
    """The medians by page size, as Markdown, with what a page of twice the size takes: 2 is linear."""
    lines = [
        "| posts | values | graphql-core, ms | per doubling | breadth-first, ms | per doubling | ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    stock, ours = _growth(times_of, lambda times: times.stock), _growth(times_of, lambda times: times.breadth_first)
    for (size, times), stock_cells, our_cells in zip(times_of.items(), stock, ours, strict=True):
        lines.append(f"| {size:,} | {times.values:,} | {stock_cells} | {our_cells} | {times.ratio:.1f} |")
    return "\n".join(lines)


def _growth(times_of: dict[int, Times], engine: Callable[[Times], Sequence[float]]) -> list[str]:
    """The cells of one engine: its median, and the factor by which it has grown for each doubling of the page."""
    cells = []
    before: tuple[int, float] | None = None
    for size, times in times_of.items():
        ms = median(engine(times))
        factor = "" if before is None else f"× {(ms / before[1]) ** (1 / log2(size / before[0])):.2f}"
        cells.append(f"{ms:.1f} | {factor}")
        before = size, ms
    return cells


async def run(rounds: int, plot: Path | None) -> None:
    """Measure and print; write the plot when there is a file for it."""
    if blog_stock.schema.as_str() != blog_breadth_first.schema.as_str():
        raise RuntimeError("The schemas differ.")
    rows = Blog()
    packages = ", ".join(f"{name} {version(name)}" for name in ("graphql-core", "strawberry-graphql"))
    print(
        f"CPU time, median of {rounds} rounds, lower is better. Python {platform.python_version()}, {packages}.\n",
        flush=True,
    )
    print(table({name: await measure(rows, query, rounds) for name, query in QUERIES.items()}), flush=True)
    if plot is None:
        return
    sizes = {size: await measure(rows, POSTS.format(posts=size, comments=10), rounds) for size in PAGE_SIZES}
    print(f"\nPages of posts with 10 comments each:\n\n{growth_table(sizes)}")

    from benchmarks.plot import draw  # noqa: PLC0415  (only who plots has matplotlib)

    draw(
        plot,
        list(sizes),
        {
            "graphql-core with DataLoaders": [median(times.stock) for times in sizes.values()],
            "breadth-first with batch fields": [median(times.breadth_first) for times in sizes.values()],
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_process")
    parser.add_argument("--rounds", type=int, default=10, help="how often each engine is timed (default: 10)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also measure page sizes, and draw them")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib")
    asyncio.run(run(options.rounds, options.plot))


if __name__ == "__main__":
    main()
