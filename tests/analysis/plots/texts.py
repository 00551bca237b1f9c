"""The texts that a figure shows, and which of them cannot be read: they lie on each other, run out of the figure, or
are English where Chinese was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

# What Chinese texts keep in English: marks, programs, values of flags, and what the field has no other word for.
KEPT = (
    "PREDICTED", "MEASURED", "RECORDED", "HERE", "CUDA", "Graph", "graph", "GPU", "KV cache", "TP", "TPOT", "TTFT",
    "vLLM", "SGLang", "HF transformers", "torch.compile", "study.sweep", "nsys", "torch", "NVIDIA", "launch", "trace",
    "batch", "rank", "decode", "serving", "kernel", "break-even", "token", "tokens", "GEMM", "attention", "norm",
    "rope/cache", "embedding", "Python", "ms", "us", "fair", "as-shipped",
)  # fmt: skip
_WORD = re.compile(r"[A-Za-z]{2,}")
# Boxes hold a little room around their letters.
_TOUCH_DOTS = 1.0


def unreadable(figure: Figure) -> list[str]:
    """A line for each pair of texts that overlap, and for each text that leaves the figure; also ticks and notes."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    texts = list(shown(figure))
    boxes = np.array([text.get_window_extent(renderer).extents for text in texts]).reshape(-1, 4)
    low, high = boxes[:, :2], boxes[:, 2:]
    outside = (low < 0).any(axis=1) | (high > figure.bbox.max).any(axis=1)
    shared = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    pairs = np.argwhere(np.triu((shared > _TOUCH_DOTS).all(axis=2), k=1))
    names = [" ".join(text.get_text().split()) for text in texts]
    return [
        *(f"{names[one]!r} on {names[other]!r}" for one, other in pairs),
        *(f"{names[place]!r} leaves the figure" for place in np.flatnonzero(outside)),
        *(f"{name!r} on another panel" for name, text in zip(names, texts, strict=True) if _on_another(text, figure)),
    ]


def english(figure: Figure, names: Iterable[str] = ()) -> list[str]:
    """The texts of a figure that have English words beside KEPT and these names."""
    figure.draw_without_rendering()
    longest_first = sorted([*KEPT, *names], key=len, reverse=True)
    known = re.compile(f"(?<![A-Za-z])(?:{'|'.join(map(re.escape, longest_first))})(?![A-Za-z])")
    texts = [" ".join(text.get_text().split()) for text in shown(figure)]
    return [text for text in texts if _WORD.search(known.sub("", text))]


def _on_another(text: Text, figure: Figure) -> bool:
    """Whether it lies on a panel that is not its own."""
    box = text.get_window_extent()
    boxes = [panel.bbox for panel in figure.axes if panel is not text.axes]
    return any((np.minimum(box.max, other.max) - np.maximum(box.min, other.min) > _TOUCH_DOTS).all() for other in boxes)


def shown(figure: Figure) -> Iterator[Text]:
    """Every text that is drawn, of a figure that was drawn once."""
    yield from _filled(*figure.texts)
    for legend in figure.legends:
        yield from _filled(*legend.get_texts())
    for panel in figure.axes:
        yield from _of_panel(panel)


def _of_panel(panel: Axes) -> Iterator[Text]:
    yield from _filled(panel.title, panel.xaxis.label, panel.yaxis.label, *panel.texts)
    for axis in (panel.xaxis, panel.yaxis):
        yield from _filled(*_ticks(axis))


def _ticks(axis: Axis) -> Iterator[Text]:
    """The numbers at ticks within the panel."""
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        if low <= tick.get_loc() <= high:
            yield tick.label1


def _filled(*artists: Artist) -> Iterator[Text]:
    for artist in artists:
        if isinstance(artist, Text) and artist.get_visible() and artist.get_text().strip():
            yield artist
