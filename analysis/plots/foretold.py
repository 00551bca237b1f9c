"""Predictions beside what was measured: on the line they agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import SWEEP, bare, engine_title, legend, settle
from analysis.grids import log_axis

COLUMNS = (
    "study", "made_by", "engine", "tp", "batch", "direction", "predicted_ms", "predicted_low_ms", "predicted_high_ms",
    "measured_ms", "claimed",
)  # fmt: skip
# Half a mark and half an interval's line across; a letter of a name and its height; in points.
_MARK_PT, _LINE_PT, _LETTER_PT, _NAME_PT, _SIZE_PT = 3.0, 0.6, 4.4, 6.5, 6.5
_NOT_CLAIMED = "#999999"
Box = tuple[float, float, float, float]
_LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#444444", "D"))


def draw(predictions: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """PREDICTED iteration time with its interval over the measured one, a panel a direction, a mark an engine.

    predictions: COLUMNS, times in ms. Open marks: study.sweep was not the maker. Grey: of engines of which no
    prediction is claimed. Names stand where they have room. Returns a matplotlib Figure.
    """
    directions = list(dict.fromkeys(predictions["direction"]))
    engines = sorted(predictions["engine"].unique(), reverse=True)
    figure = Figure(figsize=(8.0, 4.4))
    panels = figure.subplots(1, len(directions), squeeze=False)[0]
    handles = []
    for engine, (color, marker) in zip(engines, _LOOKS, strict=False):
        mine = predictions[predictions["engine"] == engine]
        for claimed, rows in mine.groupby("claimed", sort=False):
            look: dict[str, Any] = {"color": color if claimed else _NOT_CLAIMED, "marker": marker, "linestyle": "none"}
            for panel, direction in zip(panels, directions, strict=True):
                _draw(panel, rows[rows["direction"] == direction], look)
            name = engine_title(engine)
            handles.append(Line2D([], [], label=name if claimed else f"{name} (not claimed)", **look))
    for panel, direction in zip(panels, directions, strict=True):
        panel.set_title(f"{direction}, PREDICTED", fontsize=9.5)
        _axes(panel, predictions[predictions["direction"] == direction])
    panels[0].set_ylabel("iteration, PREDICTED (ms)", fontsize=8.5)
    legend(figure, [*handles, Line2D([], [], color="#888888", linewidth=0.9, label="as measured")], columns=5)
    settle(figure, mark=mark, title=title, left=0.7, wspace=0.15)
    for panel, direction in zip(panels, directions, strict=True):
        _name(panel, predictions[predictions["direction"] == direction])
    return figure


def _draw(panel: Axes, mine: pd.DataFrame, look: dict[str, Any]) -> None:
    for row in mine.to_dict("records"):
        low, high = row["predicted_low_ms"], row["predicted_high_ms"]
        panel.vlines(row["measured_ms"], low, high, color=look["color"], linewidth=1.1)
        face = look["color"] if row["made_by"] == SWEEP else "white"
        panel.plot(row["measured_ms"], row["predicted_ms"], markerfacecolor=face, markersize=5, **look)


def _name(panel: Axes, mine: pd.DataFrame) -> None:
    """Write the TP beside the marks that have room for it on either side; where they crowd, of more GPUs first."""
    at = mine[["measured_ms", "predicted_ms"]].to_numpy(dtype=float)
    marks_pt, low_pt, high_pt = (
        panel.transData.transform(mine[["measured_ms", end]].to_numpy(dtype=float)) * 72 / panel.figure.dpi
        for end in ("predicted_ms", "predicted_low_ms", "predicted_high_ms")
    )
    taken = [(x - _MARK_PT, y - _MARK_PT, x + _MARK_PT, y + _MARK_PT) for x, y in marks_pt]
    taken += [
        (x - _LINE_PT, low, x + _LINE_PT, high)
        for x, low, high in zip(marks_pt[:, 0], low_pt[:, 1], high_pt[:, 1], strict=True)
    ]
    for row in np.argsort(-mine["tp"].to_numpy(np.int64), kind="stable"):
        name, (x, y) = f"TP{mine['tp'].iloc[row]}", marks_pt[row]
        for before in (False, True):
            box = _box(x, y, _LETTER_PT * len(name), before=before)
            if any(_meet(box, one) for one in taken):
                continue
            taken.append(box)
            panel.annotate(
                name, tuple(at[row]), xytext=(-5 if before else 5, 0), textcoords="offset points", fontsize=_SIZE_PT,
                color="#444444", ha="right" if before else "left", va="center",
            )  # fmt: skip
            break


def _box(x: float, y: float, width: float, *, before: bool) -> Box:
    """Where a name is beside a mark at x, y: left, bottom, right, top, in points."""
    left = x - 5 - width if before else x + 5
    return left, y - _NAME_PT / 2, left + width, y + _NAME_PT / 2


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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
