"""Figures of many panels: one for each engine and size, what each shows, and the axes that they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.figures import STYLES, bare, engine_title, halves_of, one_source

_WIDTH_LEAST = 5.6
# Wider figures are shrunk until their letters cannot be read.
_WIDTH_MOST = 12.0
# Numbers nearer than this share of a logarithmic axis would be written over each other.
_APART_RATIO = 0.06
_ACROSS_MOST = 4
_STEPS = ((1, 2, 5), (1, 3), (1,), (1, 1.5, 2, 3, 4, 5, 7))
_TICKS_LEAST, _TICKS_MOST = 3, 8


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
    """What the rows of a frame are told apart by beside their engine: the TPs of a batch, then those of the next.

    What was traced while serving has no one batch and comes last.
    """
    if frame["batch"].nunique() < 2:
        return [Size(tp=tp, batch=None) for tp in sorted(frame["tp"].unique())]
    found = frame[["tp", "batch"]].drop_duplicates()
    found = found.assign(served=found["batch"] == 0).sort_values(["served", "batch", "tp"])[["tp", "batch"]]
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
    """A figure with a panel for each engine and size that there are rows of, so many inches each, and its panels.

    An engine begins a row; sizes go on in a row below where there are more than fit across.
    """
    rows = [row for _, mine in _by_engine(frame) for row in _broken(mine, columns)]
    across_count = max(map(len, rows))
    wide = min(width, (_WIDTH_MOST - 0.9) / across_count)
    figure = Figure(figsize=(max(wide * across_count + 0.9, _WIDTH_LEAST), height * len(rows) + 1.5))
    panels = figure.subplots(len(rows), across_count, squeeze=False, **how)
    cells = []
    for down, row in enumerate(rows):
        for across, (size, mine) in enumerate(row):
            bottom = all(len(below) <= across for below in rows[down + 1 :])
            cells.append(_cell(panels[down][across], size, mine, bottom=bottom, left=across == 0))
            _name_gpu(cells[-1], frame)
            _name_half(cells[-1], frame)
        for spare in panels[down][len(row) :]:
            spare.remove()
    return figure, cells


def _by_engine(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(engine, frame[frame["engine"] == engine]) for engine in sorted(frame["engine"].unique(), reverse=True)]


def _broken(frame: pd.DataFrame, columns: Sequence[Size]) -> list[list[tuple[Size, pd.DataFrame]]]:
    """The sizes of one engine that have rows, in as many lines as they need."""
    found = [(size, size.of(frame)) for size in _sizes_of(frame, columns)]
    return [found[start : start + _ACROSS_MOST] for start in range(0, len(found), _ACROSS_MOST)]


def _cell(panel: Axes, size: Size, rows: pd.DataFrame, *, bottom: bool, left: bool) -> Cell:
    panel.set_title(f"{engine_title(rows['engine'].iloc[0])} {size.title}", fontsize=9)
    bare(panel)
    if bottom:
        panel.tick_params(labelbottom=True)
    return Cell(panel=panel, rows=rows, bottom=bottom, left=left)


def _name_gpu(cell: Cell, frame: pd.DataFrame) -> None:
    """A panel says on which GPU, where others show another: times of two GPUs are not of one comparison."""
    if "gpu" in frame and frame["gpu"].nunique() > 1:
        cell.panel.set_title(f"{cell.panel.get_title()}, {cell.rows['gpu'].iloc[0]}", fontsize=9)


def _name_half(cell: Cell, frame: pd.DataFrame) -> None:
    """A panel that shows one half alone says so, where others show both."""
    if "graphs" in frame and len(halves_of(frame)) > len(halves_of(cell.rows)) == 1:
        cell.panel.set_title(f"{cell.panel.get_title()} ({halves_of(cell.rows)[0]} only)", fontsize=9)


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """A panel of one engine: its rows, and the sizes that they have, each a place on its axis."""

    panel: Axes
    engine: str
    rows: pd.DataFrame
    columns: Sequence[Size]


def by_size(frame: pd.DataFrame, *, height: float) -> tuple[Figure, list[Places]]:
    """A figure with a panel for each engine, as wide as its sizes need, and its panels with their axes of sizes."""
    found = [(engine, mine, _sizes_of(mine, sizes(frame))) for engine, mine in _by_engine(frame)]
    shares = [max(len(columns), 2) for _, _, columns in found]
    figure = Figure(figsize=(min(max(8.0, 1.2 + 0.75 * sum(shares)), _WIDTH_MOST), height))
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False, width_ratios=shares)[0]
    places = []
    for panel, (engine, mine, columns) in zip(panels, found, strict=True):
        size_axis(panel, columns)
        bare(panel)
        places.append(Places(panel=panel, engine=engine, rows=mine, columns=columns))
    return figure, places


def _sizes_of(frame: pd.DataFrame, columns: Sequence[Size]) -> list[Size]:
    """Those of the sizes that there are rows of."""
    return [size for size in columns if len(size.of(frame))]


def size_axis(panel: Axes, columns: Sequence[Size]) -> None:
    """An axis with a place for each size."""
    several = any(size.batch is not None for size in columns)
    names = [f"{size.tp}\n{_load(size)}" if several else str(size.tp) for size in columns]
    panel.set_xticks(range(len(columns)), names)
    spare = max(2 - len(columns), 0) / 2
    panel.set_xlim(-0.6 - spare, len(columns) - 0.4 + spare)
    # As short as the panel of an engine that has one size is narrow.
    panel.set_xlabel("TP (GPUs)\nbatch (count)" if several else "TP (GPUs)")


def _load(size: Size) -> str:
    return "served" if size.batch == 0 else f"b{size.batch}"


def shifts(whole: pd.DataFrame) -> dict[str, float]:
    """Where the bars of graphs off and on stand beside the place of a size, by half.

    A figure of one half alone has its bars in their places. Beside halves that other sizes have, one that is missing
    keeps its room, for `not_there` to name.
    """
    halves = halves_of(whole)
    return dict.fromkeys(halves, 0.0) if len(halves) < len(STYLES) else dict(zip(STYLES, (-0.2, 0.2), strict=True))


def not_there(panel: Axes, at: float, graphs: str, verb: str) -> None:
    """Words in the place of a bar that there are no data for: an empty place looks like 0."""
    panel.text(
        at, 0.02, f"{graphs}: not {verb}", rotation=90, ha="center", va="bottom", fontsize=7, color="#444444",
        transform=panel.get_xaxis_transform(),
    )  # fmt: skip


def log_axis(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis with a few numbers that people use, however narrow it is."""
    axis.set_major_locator(FixedLocator(nice_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def nice_ticks(low: float, high: float) -> list[float]:
    """Numbers from low to high for a logarithmic axis, from 3 to 8 of them: at 1, 2, 5, else coarser, else finer.

    Where the span is so short that logarithms make no difference, they are as far apart as on a ruler.
    """
    for steps in _STEPS:
        ticks = [step * 10.0**power for power in range(-4, 9) for step in steps]
        shown = [tick for tick in ticks if low <= tick <= high]
        if _TICKS_LEAST <= len(shown) <= _TICKS_MOST:
            return shown
    for step in (step * 10.0**power for power in range(9, -6, -1) for step in (5, 2, 1)):
        places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        if len(places) >= _TICKS_LEAST:
            return [round(place * step, 9) for place in places]
    return [low]


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
    apart = (values[-1] / values[0]) ** _APART_RATIO
    shown = list(values[:1])
    for value in values[1:]:
        shown += [value] if value >= apart * shown[-1] else []
    axis.set_major_locator(FixedLocator([float(value) for value in shown]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
