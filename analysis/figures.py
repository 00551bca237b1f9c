"""How every figure looks and how it becomes a file: palette, mark, PNG and SVG bytes, the same for the same data.

Letters are paths, so that a figure looks the same wherever it is opened; their language is lettering's.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from analysis import lettering, vectors
from analysis.language import Text, drawn, join, say

ENGINE_TITLES = {"vllm": "vLLM", "sglang": "SGLang", "hf": "HF transformers"}
# Okabe and Ito's vermilion and blue; shape and dash repeat what the colour says, for readers in grey.
STYLES: Mapping[str, Mapping[str, Any]] = {
    "off": {"color": "#D55E00", "linestyle": "--", "marker": "s", "label": "graphs off"},
    "on": {"color": "#0072B2", "linestyle": "-", "marker": "o", "label": "graphs on"},
}
SWEEP = "study.sweep"
_MARK_CHARACTERS_PER_INCH = 19
_TITLE_CHARACTERS_PER_INCH = 13
_TITLE_LINE_IN = 0.17
_LEGEND_IN = 0.27
# The number at the last tick stands out beyond its panel.
_RIGHT_IN = 0.18
_COLOURS = 32
# Colours nearer to each other than that, of 255, are shades at the edges of letters and lines.
_APART = 28
# Hatches of it are seen on pale fills, where white ones are not.
HATCH = "#555555"
# Letters as paths: a reader's machine need not have the font.
_RC: dict[Any, Any] = {"svg.fonttype": "path", "path.simplify": True}


def engine_title(engine: object, compiled: object = "engine", settings: object = "pinned") -> str:
    """The engine's name as its makers write it; torch.compile, where it was set apart from graphs; what was pinned."""
    name = ENGINE_TITLES.get(str(engine), str(engine))
    if compiled == "on":
        name = say("{engine}, compiled", engine=name)
    elif compiled == "off":
        name = say("{engine}, not compiled", engine=name)
    return name if settings == "pinned" else say("{engine}, {settings}", engine=name, settings=settings)


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
    return lettering.lines(mark, characters_count)


def source_labels(frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Every (study, made_by) of the frame with the words for a legend, what study.sweep made first."""
    found = set(zip(frame["study"], frame["made_by"], strict=True))
    sources = sorted(found, key=lambda source: (source[1] != SWEEP, source))
    return {(study, made_by): f"{study}, made by {made_by}" for study, made_by in sources}


def one_source(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of one (study, made_by) alone, what study.sweep made first: halves that are compared were made alike."""
    if frame.empty:
        return frame
    study, made_by = next(iter(source_labels(frame)))
    return frame[(frame["study"] == study) & (frame["made_by"] == made_by)]


def settle(
    figure: Figure, *, mark: str, title: str, left: float = 0.1, lines: int = 1, below: float = 0.0, **spaces: float
) -> None:
    """Title above, mark below, and the panels between; a figure grows by the lines that its title has beyond one.

    All of it in the language that figures are drawn in now, see lettering.py.
    left and below: inches for labels of the axes, below beyond a line; lines: of the legend.
    """
    told = _title_lines(figure, title)
    more = _TITLE_LINE_IN * (max(len(told), 1) - 1)
    height = figure.get_figheight() + more
    figure.set_figheight(height)
    figure.suptitle("\n".join(told), fontsize=10, y=1 - 0.07 / height, va="top")
    for one in figure.legends:
        one.set_bbox_to_anchor((0.5, 1 - (_LEGEND_IN + more) / height))
    width = figure.get_figwidth()
    figure.subplots_adjust(
        left=left / width, right=1 - _RIGHT_IN / width, top=1 - (0.68 + 0.18 * lines + more) / height,
        bottom=bottom_margin(figure, mark) + below / height, **spaces,
    )  # fmt: skip
    add_mark(figure, mark)
    lettering.put(figure)


def _title_lines(figure: Figure, title: str) -> list[str]:
    """The lines of the title, broken where they would leave the figure."""
    characters_count = int(figure.get_figwidth() * _TITLE_CHARACTERS_PER_INCH)
    return lettering.lines(title, characters_count)


def legend(figure: Figure, handles: Sequence[Line2D | Patch], columns: int = 4) -> None:
    """One legend for all panels, below the title."""
    y = 1 - _LEGEND_IN / figure.get_figheight()
    figure.legend(
        handles=list(handles), loc="upper center", bbox_to_anchor=(0.5, y), ncols=columns, fontsize=8, frameon=False
    )


def graphs_handles(*, markers: bool = True, halves: Sequence[str] = tuple(STYLES)) -> list[Line2D | Patch]:
    """What tells graphs off from on, for a legend; of the halves that there are."""
    keys = ("color", "linestyle", *(("marker",) if markers else ()), "label")
    return [Line2D([], [], **{key: STYLES[half][key] for key in keys}) for half in halves]


def halves_of(frame: pd.DataFrame) -> list[str]:
    """Which of graphs off and on the rows of a frame are of."""
    return [graphs for graphs in STYLES if (frame["graphs"] == graphs).any()]


def halves_title(title: str, frame: pd.DataFrame, verb: str) -> Text:
    """The title of a figure of these rows; where one half is not among them it says so: what is not there is not 0."""
    found = halves_of(frame)
    if len(found) != 1:
        return join("", [title])
    missing = next(graphs for graphs in STYLES if graphs not in found)
    only = drawn(f"graphs {found[0]} only: graphs {missing} was not {verb}")
    return join("\n", [title, only])


def part_handles(parts: Mapping[str, tuple[str, str, str]]) -> list[Line2D | Patch]:
    """What the parts of stacked bars are, for a legend: word, colour and hatch of each."""
    return [
        Patch(facecolor=color, hatch=hatch, edgecolor=HATCH, linewidth=0.5, label=word)
        for word, color, hatch in parts.values()
    ]


def stack(
    panel: Axes, at: float, values: Mapping[str, float], parts: Mapping[str, tuple[str, str, str]], *,
    graphs: str, width: float = 0.36, across: bool = False,
) -> None:  # fmt: skip
    """A bar of parts one on the other, outlined in the colour and dash of graphs off or on; `across` lays it down."""
    bar: Any = panel.barh if across else panel.bar
    begin = "left" if across else "bottom"
    total = 0.0
    for part, (_, color, hatch) in parts.items():
        size = 0.0 if pd.isna(values[part]) else float(values[part])
        if size:
            bar(at, size, width, **{begin: total}, color=color, hatch=hatch, edgecolor=HATCH, linewidth=0)
        total += size
    style = STYLES[graphs]
    bar(at, total, width, fill=False, edgecolor=style["color"], linestyle=style["linestyle"])


def bare(panel: Axes) -> None:
    """An axis without a box, with small letters."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)


def png(figure: Figure) -> bytes:
    """The figure as PNG, 150 dots per inch."""
    return _render(figure, "png", "figure")


def svg(figure: Figure, name: str) -> bytes:
    """The figure as SVG, letters as paths; `name` seeds its element names, which makes them repeatable."""
    return vectors.small(_render(figure, "svg", name).decode()).encode()


def svg_uri(figure: Figure, name: str) -> str:
    """The same as a data: URI."""
    return uri(svg(figure, name))


def dots_uri(content: bytes) -> str:
    """A PNG in few colours as a data: URI of WebP, without loss: a third of what the same takes as SVG."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    few = picture.quantize(palette=_palette(picture), dither=Image.Dither.NONE).convert("RGB")
    # More effort takes off a hundredth, in ten times the time.
    few.save(buffer, "webp", lossless=True, quality=50, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _palette(picture: Image.Image) -> Image.Image:
    """The commonest colours that are apart: those of a thin line in a legend too, which averages would turn grey."""
    dots = np.asarray(picture, dtype=np.int64).reshape(-1, 3)
    found, counts = np.unique(dots @ [1 << 16, 1 << 8, 1], return_counts=True)
    kept = np.empty((0, 3), dtype=np.int64)
    for number in found[np.argsort(-counts, kind="stable")]:
        colour = np.array([number >> 16, number >> 8 & 255, number & 255])
        if (np.abs(kept - colour).max(axis=1) > _APART).all():
            kept = np.vstack([kept, colour])
        if len(kept) == _COLOURS:
            break
    palette = Image.new("P", (1, 1))
    palette.putpalette([int(value) for value in kept.ravel()])
    return palette


def uri(content: bytes) -> str:
    """An SVG as a data: URI, of letters that need no escaping in an attribute of HTML; shorter than in base64."""
    text = content.decode().replace('"', "'")
    return "data:image/svg+xml," + quote(text, safe=" !$'()*+,-./:;=?@_~")


def _render(figure: Figure, form: str, name: str) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with mpl.rc_context({**_RC, "svg.hashsalt": name}):
        figure.savefig(buffer, format=form, dpi=150, metadata=metadata)
    return buffer.getvalue()
