"""Predictions beside what was measured: on the line they agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import SWEEP, bare, engine_title, legend, settle
from analysis.grids import log_axis

COLUMNS = (
    "study", "made_by", "engine", "tp", "batch", "direction", "predicted_ms", "predicted_low_ms", "predicted_high_ms",
    "measured_ms",
)  # fmt: skip
# Two names nearer to each other than that, as a ratio's logarithm, lie on each other.
_ROOM = 0.09
_LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#444444", "D"))


def draw(predictions: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """PREDICTED iteration time with its interval over the measured one, a panel a direction, a mark an engine.

    predictions: COLUMNS, times in ms. Open marks: study.sweep was not the maker. Returns a matplotlib Figure.
    """
    directions = list(dict.fromkeys(predictions["direction"]))
    engines = sorted(predictions["engine"].unique(), reverse=True)
    figure = Figure(figsize=(8.0, 4.4))
    panels = figure.subplots(1, len(directions), squeeze=False)[0]
    for panel, direction in zip(panels, directions, strict=True):
        mine = predictions[predictions["direction"] == direction]
        told = _told(mine)
        for number, (engine, (color, marker)) in enumerate(zip(engines, _LOOKS, strict=False)):
            _draw(panel, mine[mine["engine"] == engine], color, marker, told, before=number % 2 == 1)
        panel.set_title(f"{direction}, PREDICTED", fontsize=9.5)
        _axes(panel, mine)
    panels[0].set_ylabel("iteration, PREDICTED (ms)", fontsize=8.5)
    handles = [
        Line2D([], [], linestyle="none", color=color, marker=marker, label=engine_title(engine))
        for engine, (color, marker) in zip(engines, _LOOKS, strict=False)
    ]
    handles.append(Line2D([], [], color="#888888", linewidth=0.9, label="as measured"))
    legend(figure, handles, columns=5)
    settle(figure, mark=mark, title=title, left=0.7, wspace=0.15)
    return figure


def _told(panel: pd.DataFrame) -> set[int]:
    """The rows whose TP has room beside the mark; where marks crowd, those of more GPUs first."""
    at = np.log(panel[["measured_ms", "predicted_ms"]].to_numpy(dtype=float))
    told: list[int] = []
    for row in np.argsort(-panel["tp"].to_numpy(np.int64), kind="stable"):
        if not told or (np.abs(at[told] - at[row]).max(axis=1) > _ROOM).all():
            told.append(int(row))
    return set(panel.index[told])


def _draw(panel: Axes, mine: pd.DataFrame, color: str, marker: str, told: set[int], *, before: bool) -> None:
    """`before` puts the names left of the marks, so that two engines' do not lie on each other."""
    for index, row in zip(mine.index, mine.to_dict("records"), strict=True):
        panel.vlines(row["measured_ms"], row["predicted_low_ms"], row["predicted_high_ms"], color=color, linewidth=1.1)
        face = color if row["made_by"] == SWEEP else "white"
        panel.plot(
            row["measured_ms"], row["predicted_ms"], marker=marker, color=color, markerfacecolor=face, markersize=5
        )
        if index not in told:
            continue
        panel.annotate(
            f"TP{row['tp']}", (row["measured_ms"], row["predicted_ms"]), xytext=(-5 if before else 5, -3),
            textcoords="offset points", fontsize=6.5, color="#444444", ha="right" if before else "left",
        )  # fmt: skip


def _axes(panel: Axes, mine: pd.DataFrame) -> None:
    times_ms = mine[["predicted_low_ms", "predicted_high_ms", "measured_ms"]].to_numpy(dtype=float)
    low, high = times_ms.min() / 1.15, times_ms.max() * 1.25
    panel.plot([low, high], [low, high], color="#888888", linewidth=0.9, zorder=0)
    panel.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    for axis in (panel.xaxis, panel.yaxis):
        log_axis(axis, low, high)
    panel.set_xlabel("iteration, measured untraced (ms)", fontsize=8.5)
    panel.grid(color="#e3e3e3", linewidth=0.5)
    bare(panel)
