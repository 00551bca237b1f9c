"""The empty timeline, as a Bokeh document and the library that draws it: two plots, graphs off above graphs on.

Owns what is drawn in which order and how it is zoomed and panned; timeline.js fills it, colours it and names it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from bokeh import resources
from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import (
    BasicTickFormatter,
    ColumnDataSource,
    FixedTicker,
    PanTool,
    Quad,
    Range1d,
    Scatter,
    Segment,
    Text,
    WheelZoomTool,
)
from bokeh.plotting import figure

HALVES = ("off", "on")
# From the back to the front; the operations and calls by what they do, idle time by its cause.
LAYERS = (
    "band", "beyond", "idle-launch", "idle-dependency", "idle-graph", "idle-unknown",
    "op-gemm", "op-attention", "op-collective", "op-copy", "op-graph", "op-other", "waiting",
    "call-launch", "call-wait", "call-other", "chosen",
)  # fmt: skip
_SPAN: dict[str, Any] = {"left": "left", "right": "right", "top": "top", "bottom": "bottom"}
_LINE: dict[str, Any] = {"x0": "x0", "x1": "x1", "y0": "y0", "y1": "y1"}
_HATCHED = {"waiting": "right_diagonal_line", "call-wait": "left_diagonal_line", "beyond": "dot"}
_LABELS_PX = 60
_NEAREST_MS = 1e-3


@cache
def document() -> dict[str, Any]:
    """The figure without data, as Bokeh's JSON; every source is found by its name, `off:waiting`."""
    time = Range1d(name="time", start=0, end=1, min_interval=_NEAREST_MS)
    pan, wheel = PanTool(dimensions="width"), WheelZoomTool(dimensions="width")
    plots = [_plot(half, time, pan, wheel) for half in HALVES]
    found: dict[str, Any] = dict(json_item(column(*plots, sizing_mode="stretch_width", name="plots")))
    return found


def _plot(half: str, time: Range1d, pan: PanTool, wheel: WheelZoomTool) -> figure:
    plot = figure(
        name=half, title=half, x_range=time, y_range=Range1d(start=1, end=0), tools=[pan, wheel], active_drag=pan,
        active_scroll=wheel, toolbar_location=None, sizing_mode="stretch_width", frame_height=100,
        min_border_left=_LABELS_PX, min_border_right=12, lod_threshold=None,
    )  # fmt: skip
    for layer in LAYERS:
        style: dict[str, Any] = {"line_color": None}
        if layer in _HATCHED:
            style |= {"hatch_pattern": _HATCHED[layer], "hatch_scale": 5, "hatch_weight": 1.5}
        elif layer == "chosen":
            style = {"fill_color": None, "line_width": 2}
        plot.add_glyph(_source(half, layer, _SPAN), Quad(**_SPAN, **style), name=f"{half}:{layer}")
    for layer, width, dash in (("boundary", 1, [4, 2]), ("links", 1, []), ("link", 2, [])):
        line, source = Segment(**_LINE, line_width=width, line_dash=dash), _source(half, layer, _LINE)
        plot.add_glyph(source, line, name=f"{half}:{layer}")
    tip = Scatter(x="x1", y="y1", marker="inverted_triangle", size=8, line_color=None)
    plot.add_glyph(source, tip, name=f"{half}:tip")
    label: dict[str, Any] = {"x": "x", "y": "y", "text": "text"}
    numbers = Text(**label, text_font_size="10px", text_baseline="bottom", x_offset=2, y_offset=-1)
    plot.add_glyph(_source(half, "number", label), numbers, name=f"{half}:number")
    plot.xaxis.formatter = BasicTickFormatter(use_scientific=False)
    plot.xaxis.axis_label_text_font_style = "normal"
    plot.yaxis.ticker = FixedTicker(ticks=[])
    plot.yaxis.major_tick_line_color = None
    plot.ygrid.visible = False
    return plot


def _source(half: str, layer: str, columns: dict[str, str]) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in columns}, name=f"{half}:{layer}:data")


@cache
def library() -> str:
    """The script of the library, as its package brings it. It reaches for nothing outside of the page."""
    found = resources.Resources(mode="inline", components=["bokeh"], minified=True, log_level="warn").js_raw
    script = "\n".join(found)
    if "</script" in script:
        raise ValueError("the library ends its own element; expected a script that can stand in a page")
    return script
