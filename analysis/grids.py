"""Figures of many panels: one for each engine and size, what each shows, and the axes that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.figures import bare, engine_title, one_source

_WIDTH_LEAST = 5.6
_STEPS = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), tuple(1 + tenth / 10 for tenth in range(90)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Size:
    """How large what a panel or a bar shows is: the TP, and the batch where a figure shows several."""

    tp: int
    batch: int | None

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of this size, of one source."""
        mine = frame[frame["tp"] == self.tp]
        return one_source(mine if self.batch is None else mine[mine["batch"] == self.batch])

    @property
    def title(self) -> str:
        """In words; a batch of 0 was traced while serving."""
        batch = "serving" if self.batch == 0 else f"batch {self.batch}"
        return f"TP{self.tp}" + ("" if self.batch is None else f", {batch}")


def sizes(frame: pd.DataFrame) -> list[Size]:
    """What the rows of a frame are told apart by beside their engine, in order."""
    if frame["batch"].nunique() < 2:
        return [Size(tp=tp, batch=None) for tp in sorted(frame["tp"].unique())]
    found = frame[["tp", "batch"]].drop_duplicates().sort_values(["tp", "batch"])
    return [Size(tp=tp, batch=batch) for tp, batch in found.itertuples(index=False)]


def tps(frame: pd.DataFrame) -> list[Size]:
    """The TPs alone, for figures that have batches on an axis."""
    return [Size(tp=tp, batch=None) for tp in sorted(frame["tp"].unique())]


def drawn(frame: pd.DataFrame, columns: Sequence[Size]) -> pd.DataFrame:
    """Of the rows those that a grid shows: of each engine and size one source, which its mark then names."""
    parts = [size.of(mine) for _, mine in frame.groupby("engine", sort=False) for size in columns]
    return pd.concat(parts).sort_index() if parts else frame


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """A panel of a grid: the rows that it shows, of one engine, size and source, and where it is."""

    panel: Axes
    rows: pd.DataFrame
    bottom: bool
    left: bool


def grid(
    frame: pd.DataFrame, columns: Sequence[Size], *, width: float, height: float, **how: Any
) -> tuple[Figure, list[Cell]]:
    """A figure with a panel for each engine (down) and size (across), of so many inches each, and its panels."""
    engines = sorted(frame["engine"].unique(), reverse=True)
    figure = Figure(figsize=(max(width * len(columns) + 0.9, _WIDTH_LEAST), height * len(engines) + 1.5))
    panels = figure.subplots(len(engines), len(columns), squeeze=False, **how)
    cells = []
    for down, engine in enumerate(engines):
        for across, size in enumerate(columns):
            panel, mine = panels[down][across], size.of(frame[frame["engine"] == engine])
            panel.set_title(f"{engine_title(engine)} {size.title}", fontsize=9)
            bare(panel)
            if mine.empty:
                panel.text(0.5, 0.5, "no data", transform=panel.transAxes, ha="center", color="#666666", fontsize=9)
            cells.append(Cell(panel=panel, rows=mine, bottom=down == len(engines) - 1, left=across == 0))
    return figure, cells


def size_axis(panel: Axes, columns: Sequence[Size]) -> None:
    """An axis with a place for each size."""
    several = any(size.batch is not None for size in columns)
    names = [f"{size.tp}\nb{size.batch}" if several else str(size.tp) for size in columns]
    panel.set_xticks(range(len(columns)), names)
    panel.set_xlim(-0.6, max(len(columns), 2) - 0.4)
    panel.set_xlabel("tensor-parallel size (GPUs)" + (", batch (count)" if several else ""))


def log_axis(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis with a few numbers that people use, however narrow it is."""
    for steps in _STEPS:
        ticks = [step * 10.0**power for power in range(-4, 9) for step in steps]
        shown = [tick for tick in ticks if low <= tick <= high]
        if len(shown) > 2:
            break
    axis.set_major_locator(FixedLocator(shown))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def batch_axes(panel: Axes, starts: pd.DataFrame) -> None:
    """Axes of tpot_ms over batch, both logarithmic, alike for all panels that show some of these starts."""
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    low, high = starts["tpot_ms"].min() / 1.25, starts["tpot_ms"].max() * 1.25
    panel.set_ylim(low, high)
    number_axis(panel.xaxis, sorted(starts["batch"].unique()))
    log_axis(panel.yaxis, low, high)
    panel.grid(axis="y", which="major", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)


def number_axis(axis: Axis, values: Sequence[float]) -> None:
    """A logarithmic axis with these numbers alone, but for those that would be written over each other."""
    shown = [value for place, value in enumerate(values) if place == 0 or value >= 1.3 * values[place - 1]]
    axis.set_major_locator(FixedLocator([float(value) for value in shown]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
