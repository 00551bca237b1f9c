"""Iteration time by TP, graphs off and on, a panel an engine: one model at one batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from analysis.figures import STYLES, SWEEP, add_mark, bottom_margin, engine_title, source_labels
from analysis.grids import log_axis
from analysis.stats import gain

COLUMNS = ("study", "made_by", "engine", "tp", "graphs", "repeat", "tpot_ms")
# A second source keeps the colours and takes other shapes.
_MARKERS = {"off": "sDP", "on": "o^v"}


def draw(starts: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Points are engine starts, lines and labels medians over starts, whiskers the range over starts.

    starts: a row an engine start, COLUMNS, tpot_ms in ms (median over its windows). Starts that something else than
    study.sweep made are open symbols with medians of their own. Returns a matplotlib Figure.
    """
    engines = sorted(starts["engine"].unique(), reverse=True)
    sources = source_labels(starts)
    figure = Figure(figsize=(max(3.7 * len(engines) + 0.6, 5.6), 4.4))
    panels = figure.subplots(1, len(engines), sharey=True, squeeze=False)[0]
    tps = sorted(starts["tp"].unique())
    for panel, engine in zip(panels, engines, strict=True):
        for index, (study, made_by) in enumerate(sources):
            mine = starts[starts[["engine", "study", "made_by"]].eq([engine, study, made_by]).all(axis=1)]
            _draw_source(
                panel, mine, tps, index, 0.2 * (index - (len(sources) - 1) / 2), joined=index == 0 or made_by == SWEEP
            )
        _label_gains(panel, starts[starts["engine"] == engine], tps, list(sources))
        _axes(panel, tps, engine_title(engine))
    _time_axis(panels[0], starts["tpot_ms"])
    _legend(figure, sources)
    figure.suptitle(title, fontsize=10, y=0.985)
    figure.subplots_adjust(left=0.11, right=0.985, top=0.765, bottom=bottom_margin(figure, mark), wspace=0.06)
    add_mark(figure, mark)
    return figure


def _draw_source(panel: Axes, starts: pd.DataFrame, tps: list[int], index: int, shift: float, *, joined: bool) -> None:
    for graphs, style in STYLES.items():
        mine = starts[starts["graphs"] == graphs]
        if mine.empty:
            continue
        by_tp = mine.groupby("tp")["tpot_ms"]
        medians, x = by_tp.median(), np.array([tps.index(tp) + shift for tp in sorted(mine["tp"].unique())])
        color, whiskers = style["color"], np.stack([medians - by_tp.min(), by_tp.max() - medians])
        line = style["linestyle"] if joined else "none"
        panel.errorbar(x, medians, yerr=whiskers, color=color, linestyle=line, capsize=3, linewidth=1.3)
        for tp, values in by_tp:
            spread = np.linspace(-0.045, 0.045, len(values)) if len(values) > 1 else np.zeros(1)
            filled = mine["made_by"].iloc[0] == SWEEP
            panel.plot(
                tps.index(int(str(tp))) + shift + spread, values, linestyle="none", markersize=4.5, zorder=3,
                marker=_MARKERS[graphs][index % 3], markeredgecolor=color, markerfacecolor=color if filled else "white",
            )  # fmt: skip


def _label_gains(panel: Axes, starts: pd.DataFrame, tps: list[int], sources: list[tuple[str, str]]) -> None:
    """Write off / on halfway between both medians of a TP, for the first source that has both: headline's gain."""
    for position, tp in enumerate(tps):
        for source in sources:
            mine = starts[starts[["tp", "study", "made_by"]].eq([tp, *source]).all(axis=1)]
            off, on = (mine[mine["graphs"] == graphs].set_index("repeat")["tpot_ms"] for graphs in ("off", "on"))
            if len(off) and len(on):
                middle = np.sqrt(off.median() * on.median())
                panel.text(position, middle, f"{gain(off, on):.1f}x", ha="center", va="center", fontsize=8.5)
                break


def _axes(panel: Axes, tps: list[int], title: str) -> None:
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("tensor-parallel size (GPUs)")
    panel.set_xticks(range(len(tps)), [str(tp) for tp in tps])
    panel.set_xlim(-0.5, len(tps) - 0.5)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", which="major", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)


def _time_axis(panel: Axes, times_ms: Any) -> None:
    low, high = times_ms.min() / 1.25, times_ms.max() * 1.25
    panel.set_yscale("log")
    panel.set_ylim(low, high)
    log_axis(panel.yaxis, low, high)
    panel.set_ylabel("iteration time (TPOT, untraced), ms")


def _legend(figure: Figure, sources: dict[tuple[str, str], str]) -> None:
    """What the lines are, and where several sources are shown, the two markers of each."""
    handles: list[Any] = [
        Line2D([], [], color=style["color"], linestyle=style["linestyle"], marker=style["marker"], label=style["label"])
        for style in STYLES.values()
    ]
    labels = [str(style["label"]) for style in STYLES.values()]
    for index, ((_, made_by), label) in enumerate(sources.items()):
        if len(sources) > 1 or made_by != SWEEP:
            face = "#666666" if made_by == SWEEP else "white"
            shape: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "#444444", "markerfacecolor": face}
            handles.append(tuple(Line2D([], [], marker=_MARKERS[graphs][index % 3], **shape) for graphs in STYLES))
            labels.append(label)
    figure.legend(
        handles=handles,
        labels=labels,
        handler_map={tuple: HandlerTuple(ndivide=None)},
        loc="upper center",
        bbox_to_anchor=(0.5, 0.945),
        ncols=2 if len(handles) > 2 else 4,
        frameon=False,
        fontsize=8,
    )
