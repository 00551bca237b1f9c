"""What graphs cost: KV-cache tokens that are left, and how long an engine takes until it can be asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import lettering
from analysis.figures import STYLES, bare, engine_title, graphs_handles, layout_title, legend, settle
from analysis.language import join, say

COLUMNS = (
    "study", "made_by", "engine", "model", "tp", "compile", "settings", "split", "captured", "off_kv_tokens",
    "on_kv_tokens", "off_ready_s", "on_ready_s",
)  # fmt: skip
# Of each panel: what it shows, its title, the label of its axis, and how many of what it shows make one of that.
_PANELS = (
    ("kv_tokens", "room for the KV cache", "KV cache (million tokens)", 1e6),
    ("ready_s", "until it can be asked", "time (s)", 1.0),
)
_PANEL_IN = 2.4
# Bars shorter than this share of the longest are too thin to be seen.
_THIN_RATIO = 0.01
_HATCHES = {"off": "\\\\\\", "on": ""}


def draw(costs: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Bars for graphs off and on, a row a configuration; costs: COLUMNS, as capacity.table gives them.

    What an engine did not say has words in place of bars: it is not 0. Bars too thin to be seen have their number.
    """
    names = _names(costs)
    left = 0.35 + 0.075 * max(map(lettering.width, names), default=4)
    figure = Figure(figsize=(max(8.0, left + _PANEL_IN * len(_PANELS)), 1.6 + 0.38 * max(len(costs), 2)))
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for panel, (quantity, title_of, label, unit) in zip(panels, _PANELS, strict=True):
        _draw(panel, costs, quantity, unit)
        panel.set_xlabel(label, fontsize=8.5)
        panel.set_title(title_of, fontsize=9)
        panel.set_yticks(range(len(costs)), names)
        panel.set_ylim(len(costs) - 0.4, -0.6)
        bare(panel)
    legend(figure, graphs_handles(markers=False))
    settle(figure, mark=mark, title=title, left=left, wspace=0.08)
    return figure


def _draw(panel: Axes, costs: pd.DataFrame, quantity: str, unit: float) -> None:
    places = np.arange(len(costs))
    for (graphs, style), shift in zip(STYLES.items(), (-0.18, 0.18), strict=True):
        values = costs[f"{graphs}_{quantity}"].astype("float64").to_numpy() / unit
        told = np.isfinite(values)
        panel.barh(
            places[told] + shift, values[told], 0.34, facecolor="white" if graphs == "off" else style["color"],
            edgecolor=style["color"], linestyle=style["linestyle"], hatch=_HATCHES[graphs],
        )  # fmt: skip
        for place in places[~told]:
            _say(panel, place + shift, f"{graphs}: not told")
        for place in places[told & (values < _THIN_RATIO * _longest(costs, quantity, unit))]:
            _say(panel, place + shift, f"{values[place] * unit:.0f}")


def _longest(costs: pd.DataFrame, quantity: str, unit: float) -> float:
    return max(float(costs[f"{graphs}_{quantity}"].max()) for graphs in STYLES) / unit


def _say(panel: Axes, place: float, words: str) -> None:
    panel.text(0.01, place, words, va="center", fontsize=6.5, color="#444444", transform=panel.get_yaxis_transform())


def _names(costs: pd.DataFrame) -> list[str]:
    told = []
    for row in costs.to_dict("records"):
        parts = [engine_title(row["engine"], row["compile"], row["settings"]), layout_title(row["tp"], row["split"])]
        parts += [str(row["model"])] if costs["model"].nunique() > 1 else []
        sizes = costs["captured"].nunique() > 1 and pd.notna(row["captured"])
        parts += [say("{count:.0f} sizes", count=row["captured"])] if sizes else []
        parts += [str(row["study"])] if costs["study"].nunique() > 1 else []
        told.append(lettering.told(join(" ", parts)))
    return told
