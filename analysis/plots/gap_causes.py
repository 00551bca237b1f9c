"""How many gaps of which length, and why: launches that came late, dependencies, nodes of a graph."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.evidence import GAP_EDGES_US
from analysis.figures import STYLES, graphs_handles, halves_of, halves_title, legend, settle
from analysis.grids import grid, sizes

COLUMNS = (
    "study", "made_by", "engine", "tp", "batch", "graphs", "case", "rank", "cause", "gap_us", "gaps_count",
    "idle_us",
)  # fmt: skip
CAUSES = {
    "launch": ("waiting for launches", "\\\\\\\\"),
    "graph": ("between nodes of a graph", "////"),
    "dependency": ("after what came before", "---"),
    "unknown": ("launch not recorded", "++"),
}
SHORTEST_US, LONGEST_US = 0.03, 3000.0


def draw(gaps: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Gaps of an iteration by length, a panel an engine and size, of the rank that idles most: others wait for it.

    Colour and outline say graphs off or on, hatches the cause. gaps: COLUMNS, gap_us the middle of a bin in us,
    gaps_count how many an iteration has. Returns a matplotlib Figure.
    """
    figure, cells = grid(gaps, sizes(gaps), width=2.3, height=1.9, sharex=True, sharey=True)
    for cell in cells:
        for graphs in STYLES:
            _draw_half(cell.panel, longest_idle(cell.rows[cell.rows["graphs"] == graphs]), graphs)
        _axes(cell.panel)
        if cell.bottom:
            cell.panel.set_xlabel("length of gap (us)", fontsize=8.5)
        if cell.left:
            cell.panel.set_ylabel("gaps an iteration (count)", fontsize=8.5)
    cells[0].panel.set_ylim(bottom=0)
    shown = [cause for cause in CAUSES if (gaps["cause"] == cause).any()]
    hatches: list[Any] = [
        Patch(facecolor="white", edgecolor="#444444", hatch=CAUSES[cause][1], label=CAUSES[cause][0]) for cause in shown
    ]
    legend(figure, [*graphs_handles(markers=False, halves=halves_of(gaps)), *hatches], columns=3)
    title = halves_title(title, gaps, "traced")
    settle(figure, mark=mark, title=title, lines=2, left=0.75, wspace=0.09, hspace=0.35)
    return figure


def longest_idle(gaps: pd.DataFrame) -> pd.DataFrame:
    """The gaps of the rank of one trace that idles most; of the first trace, where there are several."""
    if gaps.empty:
        return gaps
    first = gaps[gaps["case"] == gaps["case"].iloc[0]]
    idle_us = first.groupby("rank")["idle_us"].sum()
    most: pd.DataFrame = first[first["rank"] == idle_us.idxmax()]
    return most


def _draw_half(panel: Axes, gaps: pd.DataFrame, graphs: str) -> None:
    """A filled outline for each cause, one on the other."""
    style = STYLES[graphs]
    below = pd.Series(0.0, index=range(len(GAP_EDGES_US) - 1))
    for cause, (_, hatch) in CAUSES.items():
        mine = gaps[gaps["cause"] == cause]
        bins = pd.cut(mine["gap_us"], list(GAP_EDGES_US), labels=False).dropna()
        if bins.empty:
            continue
        here = mine.groupby(bins)["gaps_count"].sum().reindex(below.index, fill_value=0.0)
        # What no one sees takes room in a file all the same.
        seen = slice(int(bins.min()), int(bins.max()) + 1)
        panel.stairs(
            (below + here)[seen], GAP_EDGES_US[seen.start : seen.stop + 1], baseline=below[seen].to_numpy(), fill=True,
            facecolor="none", hatch=hatch, edgecolor=style["color"], linewidth=0, alpha=0.8,
        )  # fmt: skip
        below = below + here
    if below.any():
        seen = slice(int(below.to_numpy().nonzero()[0].min()), int(below.to_numpy().nonzero()[0].max()) + 1)
        edges = GAP_EDGES_US[seen.start : seen.stop + 1]
        panel.stairs(below[seen], edges, color=style["color"], linestyle=style["linestyle"], linewidth=1.2)


def _axes(panel: Axes) -> None:
    panel.set_xscale("log")
    panel.set_xlim(SHORTEST_US, LONGEST_US)
    panel.xaxis.set_major_locator(FixedLocator([0.1, 1, 10, 100, 1000]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
