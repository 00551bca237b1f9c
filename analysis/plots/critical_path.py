"""Where the time of a decode iteration goes: work, and what the GPUs waited for, graphs off beside graphs on."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import (
    SWEEP,
    engine_title,
    graphs_handles,
    halves_title,
    legend,
    part_handles,
    settle,
    source_labels,
    stack,
)
from analysis.grids import by_size, not_there, shifts

# From dark to light and hatched, so that the parts keep apart in grey.
PARTS = {
    "compute_ms": ("compute", "#1b3a57", ""),
    "collective_ms": ("collectives", "#4f86b5", ""),
    "graph_gap_ms": ("gaps in graphs", "#9fc5de", "///"),
    "other_gap_ms": ("other gaps", "#cccccc", "|||"),
    "launch_idle_ms": ("waiting for launches", "#f6d2b8", "\\\\\\"),
}
COLUMNS = ("study", "made_by", "engine", "tp", "batch", "graphs", *PARTS)


def draw(paths: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Stacked parts of the critical path over ranks, in traced iterations; what study.sweep made before anything else.

    paths: COLUMNS, a row a trace, times in ms. Returns a Figure.
    """
    figure, places = by_size(paths, height=4.75)
    where = shifts(paths)
    for place in places:
        others = []
        for position, size in enumerate(place.columns):
            source = _draw_size(place.panel, size.of(place.rows), position, where)
            others += [f"{size.title}: {source[0]}, by {source[1]}"] if source[1] != SWEEP else []
        place.panel.set_title("\n".join([engine_title(place.engine), *others]), fontsize=10 if not others else 8)
    places[0].panel.set_ylabel("critical path of a traced iteration (ms)")
    legend(figure, [*graphs_handles(markers=False, halves=list(where)), *part_handles(PARTS)])
    title = halves_title(title, paths, "traced")
    most = max(place.panel.get_title().count("\n") for place in places)
    settle(figure, mark=mark, title=title, left=0.72, lines=2 + most, wspace=0.06, below=0.29)
    return figure


def _draw_size(panel: Axes, paths: pd.DataFrame, position: int, where: Mapping[str, float]) -> tuple[str, str]:
    """Both bars of a size: from one source, so that off and on were made alike. Returns the source."""
    for graphs, shift in where.items():
        half = paths.loc[paths["graphs"] == graphs, list(PARTS)]
        if half.empty:
            not_there(panel, position + shift, graphs, "traced")
            continue
        medians = half.median()
        stack(panel, position + shift, {part: float(medians[part]) for part in PARTS}, PARTS, graphs=graphs)
    return next(iter(source_labels(paths)))
