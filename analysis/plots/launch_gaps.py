"""How long GPUs idle before each operation: the distribution of launch gaps, a panel an engine, TP and batch."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.figures import STYLES, graphs_handles, halves_of, halves_title, legend, settle, source_labels
from analysis.grids import grid, sizes

COLUMNS = ("study", "made_by", "engine", "tp", "batch", "graphs", "case", "rank", "share_ratio", "gap_us")
SHORTEST_US, LONGEST_US = 0.1, 1000.0


def draw(curves: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Share of the gaps up to x, one curve a rank; bold where the median gap is the longest.

    That rank keeps the others waiting inside collectives, where they look busy: pooling ranks would hide it. A panel
    shows one source, what study.sweep made before anything else, and names it where there are several.
    curves: COLUMNS, share_ratio from 0 to 1, gap_us in us (the shortest lie on the left edge). Returns a Figure.
    """
    several = len(source_labels(curves)) > 1
    figure, cells = grid(curves, sizes(curves), width=2.3, height=2.0, sharex=True, sharey=True)
    for cell in cells:
        _gap_axis(cell.panel)
        _draw(cell.panel, cell.rows)
        if several and len(cell.rows):
            study, made_by = next(iter(source_labels(cell.rows)))
            cell.panel.set_title(f"{cell.panel.get_title()}\n{study}, by {made_by}", fontsize=7.5)
        if cell.left:
            cell.panel.set_ylabel("share of gaps up to x (ratio)", fontsize=8.5)
        if cell.bottom:
            cell.panel.set_xlabel("launch gap (us)", fontsize=8.5)
    handles = [
        Line2D([], [], color="#444444", linewidth=1.8, label="rank with the longest gaps"),
        Line2D([], [], color="#444444", linewidth=0.7, alpha=0.5, label="other ranks"),
    ]
    legend(figure, [*graphs_handles(markers=False, halves=halves_of(curves)), *handles])
    title = halves_title(title, curves, "traced")
    settle(figure, mark=mark, title=title, left=0.75, lines=2 if several else 1, wspace=0.09, hspace=0.35)
    return figure


def _draw(panel: Axes, curves: pd.DataFrame) -> None:
    for (graphs, _), ranks in curves.groupby(["graphs", "case"], sort=True):
        style, bold = STYLES[str(graphs)], longest_gap_rank(ranks)
        for rank, curve in ranks.groupby("rank"):
            width, alpha = (1.8, 1.0) if rank == bold else (0.7, 0.45)
            gaps_us = curve["gap_us"].clip(lower=SHORTEST_US)
            panel.plot(
                gaps_us, curve["share_ratio"], color=style["color"], linestyle=style["linestyle"],
                linewidth=width, alpha=alpha, zorder=3 if rank == bold else 2,
            )  # fmt: skip


def _gap_axis(panel: Axes) -> None:
    panel.set_xscale("log")
    panel.set_xlim(SHORTEST_US, LONGEST_US)
    panel.set_ylim(0, 1.01)
    panel.grid(color="#e3e3e3", linewidth=0.5)
    panel.xaxis.set_major_locator(FixedLocator([0.1, 1, 10, 100]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(_tick))


def longest_gap_rank(ranks: pd.DataFrame) -> int:
    """The rank of one trace whose median gap is the longest: the one that the launches limit."""
    medians_us = ranks.groupby("rank")["gap_us"].median()
    return int(medians_us.index.to_numpy()[medians_us.to_numpy().argmax()])


def _tick(value: float, _: object) -> str:
    return f"≤{value:g}" if value == SHORTEST_US else f"{value:g}"
