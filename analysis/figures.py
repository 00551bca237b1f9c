"""How every figure looks and how it becomes a file: palette, mark, PNG and SVG bytes, the same for the same data."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ENGINE_TITLES = {"vllm": "vLLM", "sglang": "SGLang", "hf": "HF transformers"}
COMPILE_TITLES = {"engine": "", "on": ", compiled", "off": ", not compiled"}
# Okabe and Ito's vermilion and blue; shape and dash repeat what the colour says, for readers in grey.
STYLES: Mapping[str, Mapping[str, Any]] = {
    "off": {"color": "#D55E00", "linestyle": "--", "marker": "s", "label": "graphs off"},
    "on": {"color": "#0072B2", "linestyle": "-", "marker": "o", "label": "graphs on"},
}
SWEEP = "study.sweep"
_MARK_CHARACTERS_PER_INCH = 19
# Letters as paths: a reader's machine need not have the font.
_RC: dict[Any, Any] = {"svg.fonttype": "path", "path.simplify": True}


def engine_title(engine: object, compiled: object = "engine", settings: object = "pinned") -> str:
    """The engine's name as its makers write it; torch.compile, where it was set apart from graphs; what was pinned."""
    shipped = "" if settings == "pinned" else f", {settings}"
    return ENGINE_TITLES.get(str(engine), str(engine)) + COMPILE_TITLES[str(compiled)] + shipped


def layout_title(tp: object, split: object = "") -> str:
    """How a model was split: TP4, or TP4 PP2."""
    return f"TP{tp}" + (f" {str(split).upper()}" if split else "")


def add_mark(figure: Figure, mark: str) -> None:
    """Write where the data come from into the figure itself, so that a copied figure still says it."""
    text = "\n".join(_mark_lines(figure, mark))
    figure.text(0.01, 0.005, text, ha="left", va="bottom", fontsize=6.5, color="#444444")


def bottom_margin(figure: Figure, mark: str) -> float:
    """How much of the figure's height axis labels and the mark need below the panels (ratio)."""
    return (0.62 + 0.12 * len(_mark_lines(figure, mark))) / figure.get_figheight()


def _mark_lines(figure: Figure, mark: str) -> list[str]:
    """The lines of the mark, broken where they would leave the figure."""
    characters_count = int(figure.get_figwidth() * _MARK_CHARACTERS_PER_INCH)
    return [part for line in mark.splitlines() for part in textwrap.wrap(line, characters_count)]


def source_labels(frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Every (study, made_by) of the frame with the words for a legend, what study.sweep made first."""
    found = set(zip(frame["study"], frame["made_by"], strict=True))
    sources = sorted(found, key=lambda source: (source[1] != SWEEP, source))
    return {(study, made_by): f"{study}, made by {made_by}" for study, made_by in sources}


def png(figure: Figure) -> bytes:
    """The figure as PNG, 150 dots per inch."""
    return _render(figure, "png", "figure")


def svg_uri(figure: Figure, name: str) -> str:
    """The figure as a data: URI of an SVG; `name` seeds its element names, which makes them repeatable."""
    return "data:image/svg+xml;base64," + base64.b64encode(_render(figure, "svg", name)).decode("ascii")


def _render(figure: Figure, form: str, name: str) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with mpl.rc_context({**_RC, "svg.hashsalt": name}):
        figure.savefig(buffer, format=form, dpi=150, metadata=metadata)
    return buffer.getvalue()
