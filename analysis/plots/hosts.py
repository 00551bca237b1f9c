"""What the launching thread does in an iteration: launch calls, other CUDA calls, Python and the engine, blocking."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import engine_title, graphs_handles, halves_title, legend, part_handles, settle
from analysis.figures import stack as bar
from analysis.grids import by_size, not_there, shifts

PARTS = {
    "host_framework_us": ("Python and the engine", "#1b3a57", ""),
    "host_launch_call_us": ("launch calls", "#4f86b5", ""),
    "host_other_call_us": ("other CUDA calls", "#9fc5de", "///"),
    "host_wait_us": ("blocked, waiting for the GPU", "#f6d2b8", "\\\\\\"),
}
COLUMNS = ("study", "made_by", "engine", "tp", "batch", "graphs", "case", "rank", "t_launch_us", *PARTS)


def draw(ranks: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """A bar for graphs off and one for on, by TP, a panel an engine: the rank whose host works the longest.

    ranks: COLUMNS, medians in us an iteration, traced. Returns a matplotlib Figure.
    """
    figure, places = by_size(ranks, height=4.35)
    where = shifts(ranks)
    for place in places:
        for position, size in enumerate(place.columns):
            _draw_size(place.panel, size.of(place.rows), position, where)
        place.panel.set_title(engine_title(place.engine), fontsize=10)
    places[0].panel.set_ylabel("host, traced iteration (ms)")
    legend(figure, [*graphs_handles(markers=False, halves=list(where)), *part_handles(PARTS)], columns=3)
    title = halves_title(title, ranks, "traced")
    settle(figure, mark=mark, title=title, lines=2, left=0.7, wspace=0.06, below=0.29)
    return figure


def busiest(ranks: pd.DataFrame) -> pd.DataFrame:
    """Of each trace the rank whose host works the longest: launches, other calls and framework, without blocking."""
    if ranks.empty:
        return ranks
    work_us = ranks[[part for part in PARTS if part != "host_wait_us"]].sum(axis=1, min_count=1)
    told = ranks[work_us.notna()]
    return told.loc[work_us[work_us.notna()].groupby([told["study"], told["case"], told["batch"]]).idxmax()]


def _draw_size(panel: Axes, ranks: pd.DataFrame, position: int, where: Mapping[str, float]) -> None:
    for graphs, shift in where.items():
        first = busiest(ranks[ranks["graphs"] == graphs]).head(1)
        if first.empty:
            not_there(panel, position + shift, graphs, "traced")
        for row in first.to_dict("records"):
            values = {part: float(row[part]) / 1e3 for part in PARTS}
            bar(panel, position + shift, values, PARTS, graphs=graphs)
