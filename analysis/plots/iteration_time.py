"""Iteration time by TP, graphs off and on, a panel an engine: one model at one batch size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from analysis.figures import STYLES, SWEEP, engine_title, halves_title, settle, source_labels
from analysis.grids import log_axis
from analysis.stats import gain
from analysis.words import three

COLUMNS = ("study", "made_by", "engine", "tp", "graphs", "repeat", "tpot_ms")
# A second source keeps the colours and takes other shapes.
_MARKERS = {"off": "sDP", "on": "o^v"}
# A study, and what made it; where its symbols stand beside the place of a TP.
Source = tuple[str, str]
Shifts = Mapping[Source, float]


def draw(starts: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Points are engine starts, lines and labels medians over starts, whiskers the range over starts.

    starts: a row an engine start, COLUMNS, tpot_ms in ms (median over its windows). Of several sources of a TP that
    which tells its gain has the line, others symbols alone; open ones are not of study.sweep. Returns a Figure.
    """
    engines = sorted(starts["engine"].unique(), reverse=True)
    sources = source_labels(starts)
    figure = Figure(figsize=(max(3.7 * len(engines) + 0.6, 5.6), 4.4))
    panels = figure.subplots(1, len(engines), sharey=True, squeeze=False)[0]
    tps = sorted(starts["tp"].unique())
    shifts = {source: 0.2 * (index - (len(sources) - 1) / 2) for index, source in enumerate(sources)}
    for panel, engine in zip(panels, engines, strict=True):
        mine = starts[starts["engine"] == engine]
        told = telling(mine)
        for index, source in enumerate(sources):
            its = mine[mine[["study", "made_by"]].eq(list(source)).all(axis=1)]
            joined = [tp for tp in tps if told.get(tp, source) == source]
            _draw_source(panel, its, tps, index, shifts[source], joined=joined)
        _label_gains(panel, mine, tps, told, shifts)
        _axes(panel, tps, engine_title(engine))
    _time_axis(panels[0], starts["tpot_ms"])
    lines = _legend(figure, sources)
    settle(figure, mark=mark, title=halves_title(title, starts, "measured"), left=0.7, lines=lines, wspace=0.06)
    return figure


def _draw_source(
    panel: Axes, starts: pd.DataFrame, tps: list[int], index: int, shift: float, *, joined: list[int]
) -> None:
    """Points, whiskers over them, and a line through the medians at those TPs that are joined."""
    for graphs, style in STYLES.items():
        mine = starts[starts["graphs"] == graphs]
        if mine.empty:
            continue
        by_tp = mine.groupby("tp")["tpot_ms"]
        medians = by_tp.median()
        x = pd.Series([tps.index(tp) + shift for tp in medians.index], index=medians.index)
        color, whiskers = style["color"], np.stack([medians - by_tp.min(), by_tp.max() - medians])
        panel.errorbar(x, medians, yerr=whiskers, color=color, linestyle="none", capsize=3, linewidth=1.3)
        line = [tp for tp in medians.index if tp in joined]
        panel.plot(x[line], medians[line], color=color, linestyle=style["linestyle"], linewidth=1.3)
        for tp, values in by_tp:
            spread = np.linspace(-0.045, 0.045, len(values)) if len(values) > 1 else np.zeros(1)
            filled = mine["made_by"].iloc[0] == SWEEP
            panel.plot(
                tps.index(int(str(tp))) + shift + spread, values, linestyle="none", markersize=4.5, zorder=3,
                marker=_MARKERS[graphs][index % 3], markeredgecolor=color, markerfacecolor=color if filled else "white",
            )  # fmt: skip


def _label_gains(panel: Axes, starts: pd.DataFrame, tps: list[int], told: Mapping[int, Source], shifts: Shifts) -> None:
    """Write off / on halfway between both medians of a TP, of the source that tells it: headline's gain."""
    for tp, source in told.items():
        off, on = _halves(starts, tp, source)
        middle = np.sqrt(off.median() * on.median())
        at = tps.index(tp) + shifts[source]
        panel.text(at, middle, f"{three(gain(off, on))}x", ha="center", va="center", fontsize=8.5)


def telling(starts: pd.DataFrame) -> dict[int, Source]:
    """By TP the source whose gain is written, as the verdict has it: of the sweep's, of most starts with graphs off.

    Only TPs of which a source has both halves.
    """
    found: dict[int, Source] = {}
    for tp in sorted(starts["tp"].unique()):
        halves = {source: _halves(starts, tp, source) for source in source_labels(starts)}
        whole = {source: len(off) for source, (off, on) in halves.items() if len(off) and len(on)}
        if whole:
            found[tp] = min(whole, key=lambda source: (source[1] != SWEEP, -whole[source]))
    return found


def _halves(starts: pd.DataFrame, tp: int, source: Source) -> tuple[pd.Series[float], pd.Series[float]]:
    mine = starts[starts[["tp", "study", "made_by"]].eq([tp, *source]).all(axis=1)]
    off, on = (mine[mine["graphs"] == graphs].set_index("repeat")["tpot_ms"] for graphs in ("off", "on"))
    return off, on


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


def _legend(figure: Figure, sources: dict[tuple[str, str], str]) -> int:
    """What the lines are, and where several sources are shown, the two markers of each; how many lines it takes."""
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
    across = 2 if len(handles) > 2 else 4
    figure.legend(
        handles=handles,
        labels=labels,
        handler_map={tuple: HandlerTuple(ndivide=None)},
        loc="upper center",
        ncols=across,
        frameon=False,
        fontsize=8,
    )
    return math.ceil(len(handles) / across)
