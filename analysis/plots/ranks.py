"""What every GPU does in an iteration: useful work, waiting for others inside collectives, nothing."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import STYLES, graphs_handles, halves_of, halves_title, legend, part_handles, settle
from analysis.figures import stack as bar
from analysis.grids import grid, sizes
from analysis.lettering import told

COLUMNS = (
    "study", "made_by", "engine", "tp", "batch", "graphs", "case", "rank", "useful_ms", "wait_ms", "idle_ms",
)  # fmt: skip
PARTS = {
    "useful_ms": ("useful work", "#1b3a57", ""),
    "wait_ms": ("busy, waiting for another GPU", "#9fc5de", "////"),
    "idle_ms": ("idle", "#f6d2b8", "\\\\\\"),
}

# Between a panel and the next below it, for the title of that.
_BETWEEN_IN = 0.45


def draw(ranks: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """A bar a GPU, graphs off above graphs on, a panel an engine, TP and batch, on one scale.

    nsys shows waiting inside a collective as a kernel that runs: a row of it looks busy on all GPUs but the one that
    the others wait for. ranks: COLUMNS, medians in ms, of the first trace of each kind. Returns a Figure.
    """
    most = int(ranks["rank"].max()) + 1
    height = _BETWEEN_IN + 0.3 + 0.26 * most
    figure, cells = grid(ranks, sizes(ranks), width=2.6, height=height, sharex=True)
    for cell in cells:
        _panel(cell.panel, cell.rows)
        if cell.bottom:
            cell.panel.set_xlabel("traced iteration (ms)", fontsize=8.5)
    cells[0].panel.set_ylabel("GPU, by\ngraphs (rank)", fontsize=8.5)
    legend(figure, [*graphs_handles(markers=False, halves=halves_of(ranks)), *part_handles(PARTS)], columns=3)
    title = halves_title(title, ranks, "traced")
    settle(figure, mark=mark, title=title, lines=2, left=0.95, wspace=0.3, hspace=_BETWEEN_IN / (height - _BETWEEN_IN))
    return figure


def _panel(panel: Axes, ranks: pd.DataFrame) -> None:
    names, place = [], 0.0
    for graphs in STYLES:
        half = ranks[ranks["graphs"] == graphs]
        first = half[half["case"] == half["case"].iloc[0]] if len(half) else half
        for row in first.sort_values("rank").to_dict("records"):
            values = {part: float(row[part]) for part in PARTS}
            bar(panel, place, values, PARTS, graphs=graphs, width=0.78, across=True)
            names.append((place, f"{told(graphs)} {row['rank']}"))
            place += 1
        place += 0.5 if len(first) else 0
    if names:
        panel.set_ylim(place - 0.9, -0.6)
    panel.set_yticks([at for at, _ in names], [name for _, name in names])
