"""Draws what `in_process.py` has measured. Needs matplotlib: requirements/bench.txt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

# For those who do not tell red from green, and for print: the markers differ, too.
STYLES = (("#d1495b", "o"), ("#00798c", "s"))


def draw(file: Path, sizes: Sequence[int], ms_by_engine: Mapping[str, Sequence[float]]) -> None:
    """Write a picture of 850 by 450 pixels: CPU time against page size, both on logarithmic axes."""
    figure = Figure(figsize=(8.5, 4.5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for (name, ms), (colour, marker) in zip(ms_by_engine.items(), STYLES, strict=True):
        axes.loglog(sizes, ms, label=name, color=colour, marker=marker, linewidth=2)
    axes.set_title("CPU time of a query for posts with 10 comments each (lower is better)", fontsize=12)
    axes.set_xlabel("posts in the page")
    axes.set_ylabel("CPU time, ms")
    axes.set_xticks(sizes)
    axes.xaxis.set_minor_locator(NullLocator())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.grid(visible=True, color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(file)
