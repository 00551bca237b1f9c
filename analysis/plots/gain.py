"""How many times faster graphs make decoding: a row a configuration, a mark a load, with intervals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis import lettering
from analysis.figures import STYLES, SWEEP, bare, engine_title, layout_title, legend, settle
from analysis.language import join

COLUMNS = (
    "study", "made_by", "gpu", "engine", "model", "at", "tp", "compile", "settings", "split", "gain_ratio",
    "gain_low_ratio", "gain_high_ratio",
)  # fmt: skip
_MARKERS = "os^Dv<>pP*Xh"
_TICKS = (0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50)
_ROW_LEAST, _MARK_STEP = 0.28, 0.12
_LEGEND_COLUMNS = 5
_ABOUT = ["engine", "compile", "settings", "model", "split", "tp", "gpu"]


def draw(pairs: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Graphs off / on with its interval, on a logarithmic scale; right of 1 graphs are faster.

    pairs: COLUMNS, a row a configuration and load, `at` the load in words: a batch, a rate. Studies are told apart
    where two of them measured the same. What study.sweep did not make has open marks. Returns a matplotlib Figure.
    """
    found = pairs.dropna(subset=["gain_ratio"])
    about = [*_ABOUT, "study", "made_by"] if found.duplicated([*_ABOUT, "at"]).any() else _ABOUT
    rows = found[about].drop_duplicates().reset_index(drop=True)
    loads = list(dict.fromkeys(found["at"]))
    of_row = [found[(found[about] == pd.Series(row)).all(axis=1)] for row in rows.to_dict("records")]
    # A row is as high as its marks need, in inches.
    heights = np.array([max(_ROW_LEAST, _MARK_STEP * (len(mine) + 1)) for mine in of_row])
    places = np.cumsum(heights) - heights / 2
    figure = Figure(figsize=(7.4, 1.55 + max(float(heights.sum()), 2 * _ROW_LEAST)))
    panel = figure.subplots()
    for place, mine in zip(places, of_row, strict=True):
        _draw_row(panel, mine, float(place), loads)
    panel.axvline(1, color="#444444", linewidth=0.9)
    panel.set_yticks(places, _names(rows))
    panel.set_ylim(max(float(heights.sum()), 2 * _ROW_LEAST), 0)
    _gain_axis(panel, found)
    panel.set_title("right of 1: decoding is faster with graphs", fontsize=8.5, color="#444444")
    legend(figure, [_handle(load, index) for index, load in enumerate(loads)], columns=_LEGEND_COLUMNS)
    lines = max(1, math.ceil(len(loads) / _LEGEND_COLUMNS))
    left = 0.35 + 0.075 * max(map(lettering.width, _names(rows)), default=4)
    settle(figure, mark=mark, title=title, lines=lines, left=left)
    return figure


def _draw_row(panel: Axes, mine: pd.DataFrame, place: float, loads: list[str]) -> None:
    for number, row in enumerate(sorted(mine.to_dict("records"), key=lambda row: loads.index(row["at"]))):
        index = loads.index(row["at"])
        at = place + (number - (len(mine) - 1) / 2) * _MARK_STEP
        low, high = (row[f"gain_{end}_ratio"] for end in ("low", "high"))
        color = STYLES["on"]["color"]
        if not np.isnan(low):
            panel.hlines(at, low, high, color=color, linewidth=1.6)
        face = color if row["made_by"] == SWEEP else "white"
        marker = _MARKERS[index % len(_MARKERS)]
        panel.plot(row["gain_ratio"], at, marker=marker, color=color, markerfacecolor=face, markersize=5, zorder=3)


def _names(rows: pd.DataFrame) -> list[str]:
    """What tells the rows apart, and no more, in the language of the figure."""
    told = []
    for row in rows.to_dict("records"):
        parts = [engine_title(row["engine"], row["compile"], row["settings"])]
        parts += [str(row["model"])] if rows["model"].nunique() > 1 else []
        parts += [layout_title(row["tp"], row["split"])]
        parts += [str(row[name]) for name in ("gpu", "study") if name in rows and rows[name].nunique() > 1]
        told.append(lettering.told(join(" ", parts)))
    return told


def _gain_axis(panel: Axes, found: pd.DataFrame) -> None:
    values = found[["gain_ratio", "gain_low_ratio", "gain_high_ratio"]].to_numpy(dtype=float)
    values = values[np.isfinite(values)] if values.size else values
    low, high = (min(values.min(), 1.0), max(values.max(), 1.0)) if values.size else (1.0, 2.0)
    panel.set_xscale("log")
    panel.set_xlim(low / 1.15, high * 1.15)
    panel.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if low / 1.15 <= tick <= high * 1.15]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xlabel("time per token, graphs off / on (ratio)", fontsize=8.5)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    bare(panel)


def _handle(load: str, index: int) -> Line2D:
    marker = _MARKERS[index % len(_MARKERS)]
    return Line2D([], [], color=STYLES["on"]["color"], marker=marker, markersize=5, label=load)
