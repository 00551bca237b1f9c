"""How long GPUs idle before each operation: the distribution of launch gaps, a panel an engine and TP."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.figures import STYLES, add_mark, bottom_margin, engine_title, source_labels

COLUMNS = ("study", "made_by", "engine", "tp", "graphs", "case", "rank", "share_ratio", "gap_us")
SHORTEST_US, LONGEST_US = 0.1, 1000.0


def draw(curves: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Share of the gaps up to x, one curve a rank; bold where the median gap is the longest.

    That rank keeps the others waiting inside collectives, where they look busy: pooling ranks would hide it. A panel
    shows one source, what study.sweep made before anything else, and names it where there are several.
    curves: COLUMNS, share_ratio from 0 to 1, gap_us in us (the shortest lie on the left edge). Returns a Figure.
    """
    engines = sorted(curves["engine"].unique(), reverse=True)
    tps = sorted(curves["tp"].unique())
    sources = source_labels(curves)
    figure = Figure(figsize=(max(2.3 * len(tps) + 0.8, 5.6), 2.15 * len(engines) + 1.5))
    panels = figure.subplots(len(engines), len(tps), sharex=True, sharey=True, squeeze=False)
    for row, engine in zip(panels, engines, strict=True):
        for panel, tp in zip(row, tps, strict=True):
            mine = curves[(curves["engine"] == engine) & (curves["tp"] == tp)]
            _panel(panel, mine, f"{engine_title(engine)} TP{tp}", several=len(sources) > 1)
        row[0].set_ylabel("share of gaps up to x (ratio)", fontsize=8.5)
    for panel in panels[-1]:
        panel.set_xlabel("launch gap (us)", fontsize=8.5)
    _legend(figure)
    figure.suptitle(title, fontsize=10, y=0.985)
    top = 1 - 0.85 / figure.get_figheight()
    figure.subplots_adjust(left=0.1, right=0.985, top=top, bottom=bottom_margin(figure, mark), wspace=0.09, hspace=0.3)
    add_mark(figure, mark)
    return figure


def _panel(panel: Axes, curves: pd.DataFrame, title: str, *, several: bool) -> None:
    _gap_axis(panel)
    if curves.empty:
        panel.set_title(title, fontsize=9)
        panel.text(0.5, 0.5, "no trace", transform=panel.transAxes, ha="center", color="#777777", fontsize=9)
        return
    study, made_by = next(iter(source_labels(curves)))
    panel.set_title(f"{title}\n{study}, {made_by}" if several else title, fontsize=7.5 if several else 9)
    mine = curves[(curves["study"] == study) & (curves["made_by"] == made_by)]
    for (graphs, _), ranks in mine.groupby(["graphs", "case"], sort=True):
        style, bold = STYLES[str(graphs)], longest_gap_rank(ranks)
        for rank, curve in ranks.groupby("rank"):
            width, alpha = (1.8, 1.0) if rank == bold else (0.7, 0.45)
            gaps_us = curve["gap_us"].clip(lower=SHORTEST_US)
            panel.plot(
                gaps_us, curve["share_ratio"], color=style["color"], linestyle=style["linestyle"],
                linewidth=width, alpha=alpha, zorder=3 if rank == bold else 2,
            )  # fmt: skip


def _gap_axis(panel: Axes) -> None:
    panel.set_xscale("log")
    panel.set_xlim(SHORTEST_US, LONGEST_US)
    panel.set_ylim(0, 1.01)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(color="#e3e3e3", linewidth=0.5)
    panel.xaxis.set_major_locator(FixedLocator([0.1, 1, 10, 100]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(_tick))
    panel.tick_params(labelsize=8)


def longest_gap_rank(ranks: pd.DataFrame) -> int:
    """The rank of one trace whose median gap is the longest: the one that the launches limit."""
    medians_us = ranks.groupby("rank")["gap_us"].median()
    return int(medians_us.index.to_numpy()[medians_us.to_numpy().argmax()])


def _tick(value: float, _: object) -> str:
    return f"≤{value:g}" if value == SHORTEST_US else f"{value:g}"


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=style["color"], linestyle=style["linestyle"], linewidth=1.8, label=style["label"])
        for style in STYLES.values()
    ]
    handles.append(Line2D([], [], color="#444444", linewidth=1.8, label="rank with the longest gaps"))
    handles.append(Line2D([], [], color="#444444", linewidth=0.7, alpha=0.5, label="other ranks"))
    y = 1 - 0.3 / figure.get_figheight()
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, y), ncols=4, frameon=False, fontsize=8)
