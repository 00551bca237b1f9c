"""Serving by load: throughput, time to first token and time per token, graphs off and on, a column an engine and TP."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import (
    STYLES,
    bare,
    engine_title,
    graphs_handles,
    halves_of,
    halves_title,
    legend,
    one_source,
    settle,
)
from analysis.grids import log_axis

COLUMNS = (
    "study", "made_by", "engine", "tp", "graphs", "case", "rate", "concurrency", "output_tok_s", "ttft_ms_p50",
    "tpot_ms_p50",
)  # fmt: skip
_ROWS = (
    ("output_tok_s", "output (tokens/s)"),
    ("ttft_ms_p50", "TTFT p50 (ms)"),
    ("tpot_ms_p50", "TPOT p50 (ms)"),
)


def draw(points: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Points are engine starts, lines medians over them; first loads at a rate, then loads of so many in flight.

    points: COLUMNS, a row a load point of a start; rate or concurrency is NaN. Returns a matplotlib Figure.
    """
    columns = sorted({(engine, tp) for engine, tp in zip(points["engine"], points["tp"], strict=True)}, key=_order)
    loads = _loads(points)
    figure = Figure(figsize=(max(max(2.3, 0.7 + 0.45 * len(loads)) * len(columns) + 0.9, 5.6), 6.4))
    panels = figure.subplots(len(_ROWS), len(columns), sharex=True, sharey="row", squeeze=False)
    for (quantity, label), row in zip(_ROWS, panels, strict=True):
        values = points[quantity].astype("float64").dropna()
        for (engine, tp), panel in zip(columns, row, strict=True):
            _draw(panel, one_source(points[(points["engine"] == engine) & (points["tp"] == tp)]), quantity, loads)
            panel.set_title(f"{engine_title(engine)} TP{tp}", fontsize=9)
            _axes(panel, values.min() / 1.3, values.max() * 1.3, loads)
        row[0].set_ylabel(label, fontsize=8.5)
    for panel in panels[-1]:
        panel.set_xlabel("rate (requests/s), in flight (count)", fontsize=8)
    legend(figure, graphs_handles(halves=halves_of(points)))
    title = halves_title(title, points, "measured")
    settle(figure, mark=mark, title=title, left=0.8, wspace=0.09, hspace=0.28)
    return figure


def _order(column: tuple[str, int]) -> tuple[bool, str, int]:
    return column[0] != "vllm", *column


def _loads(points: pd.DataFrame) -> list[tuple[str, float]]:
    """Every load: its kind, and how large it is; rates before requests in flight."""
    rates = sorted(points.loc[points["rate"] > 0, "rate"].unique())
    return [("rate", rate) for rate in rates] + [
        ("concurrency", count) for count in sorted(points.loc[points["concurrency"] > 0, "concurrency"].unique())
    ]


def _draw(panel: Axes, points: pd.DataFrame, quantity: str, loads: list[tuple[str, float]]) -> None:
    for graphs, style in STYLES.items():
        look = {"color": style["color"], "marker": style["marker"]}
        for kind in ("rate", "concurrency"):
            half = points[(points["graphs"] == graphs) & (points[kind] > 0)].dropna(subset=[quantity])
            at = half[kind].map(lambda load, kind=kind: loads.index((kind, load)))
            medians = half[quantity].groupby(at).median()
            panel.plot(medians.index, medians, linestyle=style["linestyle"], markersize=4.5, **look)
            panel.plot(at, half[quantity], linestyle="none", markersize=3, alpha=0.5, **look)


def _axes(panel: Axes, low: float, high: float, loads: list[tuple[str, float]]) -> None:
    panel.set_yscale("log")
    panel.set_ylim(low, high)
    log_axis(panel.yaxis, low, high)
    panel.set_xticks(range(len(loads)), [f"{size:g}/s" if kind == "rate" else f"{size:g} fl." for kind, size in loads])
    panel.set_xlim(-0.5, len(loads) - 0.5)
    panel.grid(axis="y", which="major", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    bare(panel)
