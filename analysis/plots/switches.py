"""Iteration time with CUDA graphs and torch.compile each off and on: the four corners, by batch size."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from analysis.figures import STYLES, bare, engine_title, grid, legend, one_source, settle

COLUMNS = ("study", "made_by", "engine", "tp", "batch", "compile", "graphs", "case", "tpot_ms")
_TICKS_MS = [step * 10.0**power for power in range(-3, 5) for step in (1, 2, 5)]


def draw(starts: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Lines are medians over starts, points starts; filled marks are compiled, open ones are not.

    starts: COLUMNS, a row an engine start and batch, compile off or on, tpot_ms in ms. Returns a matplotlib Figure.
    """
    figure, panels = grid(starts, width=3.2, height=2.7, sharex=True, sharey=True)
    sizes = sorted(starts["batch"].unique())
    for panel, engine, tp in panels:
        mine = one_source(starts[(starts["engine"] == engine) & (starts["tp"] == tp)])
        for (graphs, compiled), half in mine.groupby(["graphs", "compile"]):
            style = STYLES[str(graphs)]
            face = style["color"] if compiled == "on" else "white"
            look = {"color": style["color"], "marker": style["marker"], "markerfacecolor": face}
            medians = half.groupby("batch")["tpot_ms"].median()
            panel.plot(medians.index, medians, linestyle=style["linestyle"], markersize=5, **look)
            panel.plot(half["batch"], half["tpot_ms"], linestyle="none", markersize=3, alpha=0.5, **look)
        panel.set_title(f"{engine_title(engine)} TP{tp}", fontsize=9)
        panel.set_xlabel("batch (count)", fontsize=8.5)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_ylim(starts["tpot_ms"].min() / 1.25, starts["tpot_ms"].max() * 1.25)
        panel.xaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_major_locator(FixedLocator(_TICKS_MS))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.grid(axis="y", which="major", color="#dddddd", linewidth=0.6)
        bare(panel)
    panels[0][0].set_ylabel("TPOT, untraced (ms)", fontsize=8.5)
    legend(figure, _handles())
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
