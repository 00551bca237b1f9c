"""Iteration time by batch size, graphs off and on, a panel an engine and TP: one model."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from analysis.figures import STYLES, bare, engine_title, graphs_handles, grid, legend, one_source, settle

COLUMNS = ("study", "made_by", "engine", "tp", "batch", "graphs", "case", "tpot_ms", "captured_batch")
_TICKS_MS = [step * 10.0**power for power in range(-3, 5) for step in (1, 2, 5)]


def draw(starts: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Points are engine starts, lines medians over starts. A panel shows one source, what study.sweep made first.

    Where batches run beyond the largest size that has a graph (captured_batch), a line marks it: to its right decode
    steps run without graphs. starts: COLUMNS, a row an engine start and batch, tpot_ms in ms. Returns a Figure.
    """
    figure, panels = grid(starts, width=2.5, height=2.3, sharex=True, sharey=True)
    sizes = sorted(starts["batch"].unique())
    cliff = False
    for panel, engine, tp in panels:
        mine = one_source(starts[(starts["engine"] == engine) & (starts["tp"] == tp)])
        for graphs, style in STYLES.items():
            half = mine[mine["graphs"] == graphs]
            medians = half.groupby("batch")["tpot_ms"].median()
            look = {"color": style["color"], "marker": style["marker"]}
            panel.plot(medians.index, medians, linestyle=style["linestyle"], markersize=4, **look)
            panel.plot(half["batch"], half["tpot_ms"], linestyle="none", markersize=3, alpha=0.5, **look)
        cliff |= _mark_captured(panel, mine)
        panel.set_title(f"{engine_title(engine)} TP{tp}", fontsize=9)
        _axes(panel, starts, sizes)
    for panel, engine, tp in panels:
        if engine == panels[-1][1]:
            panel.set_xlabel("batch (count)", fontsize=8.5)
        if tp == panels[0][2]:
            panel.set_ylabel("TPOT, untraced (ms)", fontsize=8.5)
    legend(figure, graphs_handles())
    if cliff:
        title = f"{title}; dotted: the largest batch with a graph"
    settle(figure, mark=mark, title=title, left=0.7, wspace=0.09, hspace=0.3)
    return figure


def _mark_captured(panel: Axes, mine: pd.DataFrame) -> bool:
    """A line at the largest captured size where batches go beyond it."""
    captured = mine.loc[mine["graphs"] == "on", "captured_batch"].dropna()
    beyond = len(captured) > 0 and mine["batch"].max() > captured.max()
    if beyond:
        panel.axvline(captured.max(), color="#444444", linestyle=":", linewidth=1)
    return bool(beyond)


def _axes(panel: Axes, starts: pd.DataFrame, sizes: list[int]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_ylim(starts["tpot_ms"].min() / 1.25, starts["tpot_ms"].max() * 1.25)
    # Neighbours such as 16 and 17 would be written over each other.
    shown = [size for place, size in enumerate(sizes) if place == 0 or size >= 1.3 * sizes[place - 1]]
    panel.xaxis.set_major_locator(FixedLocator([float(size) for size in shown]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_major_locator(FixedLocator(_TICKS_MS))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.grid(axis="y", which="major", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    bare(panel)
