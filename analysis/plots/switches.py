"""Iteration time with CUDA graphs and torch.compile each off and on: the four corners, by batch size."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import STYLES, halves_title, legend, settle
from analysis.grids import batch_axes, grid, tps

COLUMNS = ("study", "made_by", "engine", "tp", "batch", "compile", "graphs", "case", "tpot_ms")


def draw(starts: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Lines are medians over starts, points starts; filled marks are compiled, open ones are not.

    starts: COLUMNS, a row an engine start and batch, compile off or on, tpot_ms in ms. Returns a matplotlib Figure.
    """
    figure, cells = grid(starts, tps(starts), width=3.2, height=2.7, sharex=True, sharey=True)
    for cell in cells:
        for (graphs, compiled), half in cell.rows.groupby(["graphs", "compile"]):
            style = STYLES[str(graphs)]
            face = style["color"] if compiled == "on" else "white"
            look = {"color": style["color"], "marker": style["marker"], "markerfacecolor": face}
            medians = half.groupby("batch")["tpot_ms"].median()
            cell.panel.plot(medians.index, medians, linestyle=style["linestyle"], markersize=5, **look)
            cell.panel.plot(half["batch"], half["tpot_ms"], linestyle="none", markersize=3, alpha=0.5, **look)
        batch_axes(cell.panel, starts)
        cell.panel.set_xlabel("batch (count)", fontsize=8.5)
    cells[0].panel.set_ylabel("TPOT, untraced (ms)", fontsize=8.5)
    legend(figure, _handles())
    title = halves_title(title, starts, "measured")
    settle(figure, mark=mark, title=title, left=0.7, wspace=0.09, hspace=0.45)
    return figure


def _handles() -> list[Line2D]:
    handles = []
    for style in STYLES.values():
        look = {key: style[key] for key in ("color", "linestyle", "marker", "label")}
        handles.append(Line2D([], [], **look))
    for word, face in (("compiled", "#444444"), ("not compiled", "white")):
        shape: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "#444444", "markerfacecolor": face}
        handles.append(Line2D([], [], marker="o", label=word, **shape))
    return handles
