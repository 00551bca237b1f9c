"""What the GPUs compute, by group of kernels, graphs off beside graphs on: a difference is other work, not waiting."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import STYLES, graphs_handles, legend, settle
from analysis.grids import grid, sizes
from analysis.groups import GROUPS

COLUMNS = ("study", "made_by", "engine", "tp", "batch", "group", "off_us", "on_us")
_HATCHES = {"off": "\\\\\\", "on": ""}


def draw(differences: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Useful time of each group in an iteration, a panel an engine, TP and batch; differences: COLUMNS, times in us."""
    groups = [group for group in GROUPS if (differences["group"] == group).any()]
    shape = {"width": 2.4, "height": 0.7 + 0.24 * len(groups)}
    figure, cells = grid(differences, sizes(differences), **shape, sharex=True, sharey=True)
    for cell in cells:
        _draw(cell.panel, cell.rows.drop_duplicates("group").set_index("group").reindex(groups))
        cell.panel.set_yticks(range(len(groups)), groups)
        cell.panel.set_ylim(len(groups) - 0.4, -0.6)
        if cell.bottom:
            cell.panel.set_xlabel("work an iteration (us)", fontsize=8.5)
    legend(figure, graphs_handles(markers=False))
    settle(figure, mark=mark, title=title, left=0.95, wspace=0.08, hspace=0.25)
    return figure


def _draw(panel: Axes, mine: pd.DataFrame) -> None:
    places = np.arange(len(mine))
    for (graphs, style), shift in zip(STYLES.items(), (-0.2, 0.2), strict=True):
        panel.barh(
            places + shift, mine[f"{graphs}_us"].astype("float64").fillna(0), 0.38, edgecolor=style["color"],
            facecolor="white" if graphs == "off" else style["color"], linestyle=style["linestyle"],
            hatch=_HATCHES[graphs],
        )  # fmt: skip
