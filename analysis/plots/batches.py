"""Iteration time by batch size, graphs off and on, a panel an engine and TP: one model."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import STYLES, graphs_handles, halves_of, halves_title, legend, settle
from analysis.grids import batch_axes, grid, tps
from analysis.language import say

COLUMNS = ("study", "made_by", "engine", "tp", "batch", "graphs", "case", "tpot_ms", "captured_batch")


def draw(starts: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Points are engine starts, lines medians over starts. A panel shows one source, what study.sweep made first.

    Where batches run beyond the largest size that has a graph (captured_batch), a line marks it: to its right decode
    steps run without graphs. starts: COLUMNS, a row an engine start and batch, tpot_ms in ms. Returns a Figure.
    """
    figure, cells = grid(starts, tps(starts), width=2.5, height=2.3, sharex=True, sharey=True)
    cliff = False
    for cell in cells:
        for graphs, style in STYLES.items():
            half = cell.rows[cell.rows["graphs"] == graphs]
            medians = half.groupby("batch")["tpot_ms"].median()
            look = {"color": style["color"], "marker": style["marker"]}
            cell.panel.plot(medians.index, medians, linestyle=style["linestyle"], markersize=4, **look)
            cell.panel.plot(half["batch"], half["tpot_ms"], linestyle="none", markersize=3, alpha=0.5, **look)
        cliff |= _mark_captured(cell.panel, cell.rows)
        batch_axes(cell.panel, starts)
        if cell.bottom:
            cell.panel.set_xlabel("batch (count)", fontsize=8.5)
        if cell.left:
            cell.panel.set_ylabel("TPOT, untraced (ms)", fontsize=8.5)
    legend(figure, graphs_handles(halves=halves_of(starts)))
    if cliff:
        title = say("{title}; dotted: the largest batch with a graph", title=title)
    title = halves_title(title, starts, "measured")
    settle(figure, mark=mark, title=title, left=0.7, wspace=0.09, hspace=0.3)
    return figure


def _mark_captured(panel: Axes, mine: pd.DataFrame) -> bool:
    """A line at the largest captured size where batches go beyond it."""
    captured = mine.loc[mine["graphs"] == "on", "captured_batch"].dropna()
    beyond = len(captured) > 0 and mine["batch"].max() > captured.max()
    if beyond:
        panel.axvline(captured.max(), color="#444444", linestyle=":", linewidth=1)
    return bool(beyond)
