"""Where the time of a decode iteration goes: work, and what the GPUs waited for, graphs off beside graphs on."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import (
    SWEEP,
    engine_title,
    graphs_handles,
    legend,
    part_handles,
    settle,
    source_labels,
    stack,
)
from analysis.grids import by_size

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
    figure, places = by_size(paths, height=4.6)
    for place in places:
        others = []
        for position, size in enumerate(place.columns):
            source = _draw_size(place.panel, size.of(place.rows), position)
            others += [f"{size.title}: {', '.join(source)}"] if source[1] != SWEEP else []
        place.panel.set_title("\n".join([engine_title(place.engine), *others]), fontsize=10 if not others else 8)
    places[0].panel.set_ylabel("critical path of a traced iteration (ms)")
    legend(figure, [*graphs_handles(markers=False), *part_handles(PARTS)])
    settle(figure, mark=mark, title=title, left=0.72, lines=3, wspace=0.06, below=0.14)
    return figure


def _draw_size(panel: Axes, paths: pd.DataFrame, position: int) -> tuple[str, str]:
    """Both bars of a size: from one source, so that off and on were made alike. Returns the source."""
    for graphs, shift in (("off", -0.2), ("on", 0.2)):
        medians = paths.loc[paths["graphs"] == graphs, list(PARTS)].median()
        stack(panel, position + shift, {part: float(medians[part]) for part in PARTS}, PARTS, graphs=graphs)
    return next(iter(source_labels(paths)))
