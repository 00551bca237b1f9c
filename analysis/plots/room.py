"""What graphs cost: KV-cache tokens that are left, and how long an engine takes until it can be asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import STYLES, bare, engine_title, graphs_handles, layout_title, legend, settle

COLUMNS = (
    "study", "made_by", "engine", "model", "tp", "compile", "settings", "split", "captured", "off_kv_tokens",
    "on_kv_tokens", "off_ready_s", "on_ready_s",
)  # fmt: skip
_PANELS = (("kv_tokens", "KV cache (million tokens)", 1e6), ("ready_s", "until it can be asked (s)", 1.0))
_HATCHES = {"off": "\\\\\\", "on": ""}


def draw(costs: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Bars for graphs off and on, a row a configuration; costs: COLUMNS, as capacity.table gives them."""
    figure = Figure(figsize=(8.0, 1.6 + 0.38 * max(len(costs), 2)))
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    names = _names(costs)
    for panel, (quantity, label, unit) in zip(panels, _PANELS, strict=True):
        _draw(panel, costs, quantity, unit)
        panel.set_xlabel(label, fontsize=8.5)
        panel.set_title(label.partition(" (")[0], fontsize=9)
        panel.set_yticks(range(len(costs)), names)
        panel.set_ylim(len(costs) - 0.4, -0.6)
        bare(panel)
    legend(figure, graphs_handles(markers=False))
    settle(figure, mark=mark, title=title, left=0.35 + 0.075 * max(map(len, names), default=4), wspace=0.06)
    return figure


def _draw(panel: Axes, costs: pd.DataFrame, quantity: str, unit: float) -> None:
    places = np.arange(len(costs))
    for (graphs, style), shift in zip(STYLES.items(), (-0.18, 0.18), strict=True):
        values = costs[f"{graphs}_{quantity}"].astype("float64").fillna(0) / unit
        panel.barh(
            places + shift, values, 0.34, facecolor="white" if graphs == "off" else style["color"],
            edgecolor=style["color"], linestyle=style["linestyle"], hatch=_HATCHES[graphs],
        )  # fmt: skip


def _names(costs: pd.DataFrame) -> list[str]:
    told = []
    for row in costs.to_dict("records"):
        parts = [engine_title(row["engine"], row["compile"], row["settings"]), layout_title(row["tp"], row["split"])]
        parts += [str(row["model"])] if costs["model"].nunique() > 1 else []
        sizes = costs["captured"].nunique() > 1 and pd.notna(row["captured"])
        parts += [f"{row['captured']:.0f} sizes"] if sizes else []
        parts += [str(row["study"])] if costs["study"].nunique() > 1 else []
        told.append(" ".join(parts))
    return told
