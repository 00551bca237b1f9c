"""Where the time of a decode iteration goes: work, and what the GPUs waited for, graphs off beside graphs on."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures import STYLES, SWEEP, add_mark, bottom_margin, engine_title, source_labels

# From dark to light and hatched, so that the parts keep apart in grey.
PARTS = {
    "compute_ms": ("compute", "#1b3a57", ""),
    "collective_ms": ("collectives", "#4f86b5", ""),
    "graph_gap_ms": ("gaps in graphs", "#9fc5de", "///"),
    "other_gap_ms": ("other gaps", "#cccccc", "|||"),
    "launch_idle_ms": ("waiting for launches", "#f6d2b8", "\\\\\\"),
}
COLUMNS = ("study", "made_by", "engine", "tp", "graphs", *PARTS)
_WIDTH = 0.36


def draw(paths: pd.DataFrame, *, mark: str, title: str = "") -> Figure:
    """Stacked parts of the critical path over ranks, in traced iterations; what study.sweep made before anything else.

    paths: COLUMNS, a row a trace, times in ms. Returns a Figure.
    """
    engines, tps = sorted(paths["engine"].unique(), reverse=True), sorted(paths["tp"].unique())
    figure = Figure(figsize=(8.0, 4.6))
    panels = figure.subplots(1, len(engines), sharey=True, squeeze=False)[0]
    for panel, engine in zip(panels, engines, strict=True):
        mine = paths[paths["engine"] == engine]
        others = []
        for position, tp in enumerate(tps):
            source = _draw_size(panel, mine[mine["tp"] == tp], position)
            others += [f"TP{tp}: {', '.join(source)}"] if source and source[1] != SWEEP else []
        panel.set_title("\n".join([engine_title(engine), *others]), fontsize=10 if not others else 8)
        panel.set_xlabel("tensor-parallel size (GPUs)")
        panel.set_xticks(range(len(tps)), [str(tp) for tp in tps])
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("critical path of a traced iteration (ms)")
    _legend(figure)
    figure.suptitle(title, fontsize=10, y=0.985)
    figure.subplots_adjust(left=0.09, right=0.985, top=0.77, bottom=bottom_margin(figure, mark), wspace=0.06)
    add_mark(figure, mark)
    return figure


def _draw_size(panel: Axes, paths: pd.DataFrame, position: int) -> tuple[str, str] | None:
    """Both bars of a TP: from one source, so that off and on were made alike. Returns the source."""
    if paths.empty:
        return None
    study, made_by = next(iter(source_labels(paths)))
    mine = paths[(paths["study"] == study) & (paths["made_by"] == made_by)]
    for graphs, shift in (("off", -_WIDTH / 2 - 0.02), ("on", _WIDTH / 2 + 0.02)):
        row = mine[mine["graphs"] == graphs]
        bottom_ms = 0.0
        for part, (_, color, hatch) in PARTS.items():
            height_ms = float(row[part].median()) if len(row) else 0.0
            panel.bar(
                position + shift, height_ms, _WIDTH, bottom=bottom_ms, color=color, hatch=hatch, edgecolor="white"
            )
            bottom_ms += height_ms
        style = STYLES[graphs]
        outline = {"fill": False, "edgecolor": style["color"], "linestyle": style["linestyle"]}
        panel.bar(position + shift, bottom_ms, _WIDTH, **outline)
    return study, made_by


def _legend(figure: Figure) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style["color"], linestyle=style["linestyle"], label=style["label"])
        for style in STYLES.values()
    ]
    handles += [
        Patch(facecolor=color, hatch=hatch, edgecolor="white", label=word) for word, color, hatch in PARTS.values()
    ]
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.945), ncols=4, fontsize=8, frameon=False)
