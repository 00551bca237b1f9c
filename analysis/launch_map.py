"""The map of break-evens: above which host time for each launch graphs pay, by GPU and TP, with what hosts took."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import figures
from analysis.figures import ENGINE_TITLES, SWEEP
from analysis.language import join, say

_WHITE_SEEN_ON = ("#1b3a57", "#4f86b5")
_COLORS = {"h200": "#1b3a57", "h100": "#4f86b5", "a800": "#9fc5de", "rtx4090": "#f6d2b8"}


def png(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The figure of what breakeven.rows gives, as PNG."""
    return figures.png(draw(rows))


def draw(rows: Sequence[Mapping[str, Any]], *, mark: str = "", title: str = "") -> Figure:
    """A panel an engine, a group a TP, a bar a GPU; rows of batch 1.

    A bar is of the engine's own switch, where there is such a row, and of several of the first; lines are of all rows.
    mark: where the rows come from, beside what bars and lines are.
    """
    chosen = sorted((row for row in rows if row["batch"] == 1), key=lambda row: row["compile"] != "engine")
    engines = sorted({row["engine"] for row in chosen}, reverse=True)
    tps, gpus = (list(dict.fromkeys(sorted({row["tp"] for row in chosen}))), list(_COLORS))
    figure = Figure(figsize=(8.0, 4.9))
    panels = figure.subplots(1, max(len(engines), 1), sharey=True, squeeze=False)[0]
    for panel, engine in zip(panels, engines, strict=False):
        for position, tp in enumerate(tps):
            mine = [row for row in chosen if (row["engine"], row["tp"]) == (engine, tp)]
            _group(panel, mine, position, gpus)
        panel.set_title(ENGINE_TITLES.get(engine, engine), fontsize=10)
        panel.set_xticks(range(len(tps)), [str(tp) for tp in tps])
        panel.set_xlabel("tensor-parallel size (GPUs)")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("host time for each launch (us)")
    _legend(figure, gpus)
    what = say(
        "Bars: PREDICTED break-even and its interval; above it launching is the longer side and graphs pay. "
        "Lines: MEASURED host time for each launch, on the recorded hosts; dotted where study.sweep was not the maker."
    )
    figures.settle(figure, mark=join("\n", [what, mark]), title=title, left=0.65, wspace=0.06)
    return figure


def _group(panel: Any, rows: Sequence[Mapping[str, Any]], position: int, gpus: Sequence[str]) -> None:
    width = 0.8 / len(gpus)
    for number, gpu in enumerate(gpus):
        mine = [row for row in rows if row["gpu"] == gpu][:1]
        for row in mine:
            found = row["predicted_breakeven_us"]
            error = [[found["value"] - found["low"]], [found["high"] - found["value"]]]
            at = position + (number - (len(gpus) - 1) / 2) * width
            panel.bar(at, found["value"], width * 0.9, yerr=error, ecolor="#777777", **_look(gpu))
    took = {(row["measured_launch_us"], row["made_by"]) for row in rows if row["measured_launch_us"] is not None}
    for took_us, made_by in took:
        style = "-" if made_by == SWEEP else ":"
        panel.hlines(took_us, position - 0.45, position + 0.45, color="#D55E00", linewidth=1.5, linestyle=style)


def _look(gpu: str) -> dict[str, Any]:
    color = _COLORS[gpu]
    edge = "white" if color in _WHITE_SEEN_ON else figures.HATCH
    return {"facecolor": color, "hatch": "///", "edgecolor": edge, "linewidth": 0.5}


def _legend(figure: Figure, gpus: Sequence[str]) -> None:
    handles: list[Any] = [Patch(**_look(gpu), label=f"{gpu}, PREDICTED") for gpu in gpus]
    handles.append(Line2D([], [], color="#D55E00", label="host, MEASURED"))
    figures.legend(figure, handles, columns=5)
