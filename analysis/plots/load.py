"""Serving by load: throughput and time to first token, graphs off and on, a column an engine and TP."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from analysis.figures import STYLES, bare, engine_title, graphs_handles, legend, one_source, settle

COLUMNS = (
    "study", "made_by", "engine", "tp", "graphs", "case", "load_count", "load_label", "output_tok_s", "ttft_ms_p50",
    "tpot_ms_p50",
)  # fmt: skip
_ROWS = (
    ("output_tok_s", "output (tokens/s)"),
    ("ttft_ms_p50", "TTFT p50 (ms)"),
    ("tpot_ms_p50", "TPOT p50 (ms)"),
)


def draw(points: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Points are engine starts, lines medians over them; one kind of load, load_count of what load_label says.

    points: COLUMNS, a row a load point of a start. Returns a matplotlib Figure.
    """
    columns = sorted({(engine, tp) for engine, tp in zip(points["engine"], points["tp"], strict=True)}, reverse=True)
    columns = sorted(columns, key=lambda column: (column[0] != "vllm", column[0], column[1]))
    figure = Figure(figsize=(max(2.4 * len(columns) + 0.9, 5.6), 6.4))
    panels = figure.subplots(len(_ROWS), len(columns), sharex=True, sharey="row", squeeze=False)
    for (quantity, label), row in zip(_ROWS, panels, strict=True):
        for (engine, tp), panel in zip(columns, row, strict=True):
            mine = one_source(points[(points["engine"] == engine) & (points["tp"] == tp)])
            _draw(panel, mine, quantity)
            panel.set_title(f"{engine_title(engine)} TP{tp}", fontsize=9)
            _axes(panel, sorted(points["load_count"].unique()))
        row[0].set_ylabel(label, fontsize=8.5)
    for panel in panels[-1]:
        panel.set_xlabel(str(points["load_label"].iloc[0]), fontsize=8.5)
    legend(figure, graphs_handles())
    settle(figure, mark=mark, title=title, left=0.75, wspace=0.09, hspace=0.28)
    return figure


def _draw(panel: Axes, points: pd.DataFrame, quantity: str) -> None:
    for graphs, style in STYLES.items():
        half = points[points["graphs"] == graphs].dropna(subset=[quantity])
        medians = half.groupby("load_count")[quantity].median()
        look = {"color": style["color"], "marker": style["marker"]}
        panel.plot(medians.index, medians, linestyle=style["linestyle"], markersize=4.5, **look)
        panel.plot(half["load_count"], half[quantity], linestyle="none", markersize=3, alpha=0.5, **look)


def _axes(panel: Axes, loads: list[float]) -> None:
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.xaxis.set_major_locator(FixedLocator(loads))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ticks = [step * 10.0**power for power in range(-2, 7) for step in (1, 2, 5)]
    panel.yaxis.set_major_locator(FixedLocator(ticks))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.grid(axis="y", which="major", color="#dddddd", linewidth=0.6)
    bare(panel)
