"""The figures of a report as files, and as its page holds them: vectors while there is room. Others draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis import figures, workers
from analysis.blocks import Graphic
from analysis.lettering import lettered
from analysis.page import Picture
from analysis.workers import Given


@dataclass(frozen=True, kw_only=True, eq=False)
class _Order:
    """A figure to draw: how, in which language, and where its files go."""

    name: str
    draw: Callable[[], Any]
    language: str
    out: Path


def ordered(graphic: Graphic, out: Path, language: str) -> Given[Picture]:
    """Have the figure drawn, and written as PNG and SVG; the page holds the SVG."""
    return workers.give(_picture, _Order(name=graphic.name, draw=graphic.draw, language=language, out=out))


def fitted(pictures: Mapping[str, Picture], out: Path, room_bytes: int) -> dict[str, Picture]:
    """The pictures within what a page has room for: beyond that the largest are dots there, their vectors in files."""
    found, size = dict(pictures), size_bytes(pictures)
    if size <= room_bytes:
        return found
    largest = sorted(pictures, key=lambda name: -len(pictures[name].uri))
    files = [out / pictures[name].png for name in largest]
    for name, uri in zip(largest, workers.in_processes(_dots, files, range(len(files), 0, -1)), strict=True):
        if size <= room_bytes:
            break
        size += len(uri) - len(found[name].uri)
        found[name] = replace(found[name], uri=uri)
    return found


def size_bytes(pictures: Mapping[str, Picture]) -> int:
    """What the pictures take of a page."""
    return sum(len(one.uri) for one in pictures.values())


def _picture(order: _Order) -> Picture:
    files = {form: f"figures/{order.name}.{form}" for form in ("png", "svg")}
    with lettered(order.language):
        figure = order.draw()
    vector = figures.svg(figure, order.name)
    (order.out / files["png"]).write_bytes(figures.png(figure))
    (order.out / files["svg"]).write_bytes(vector)
    width_in, height_in = figure.get_size_inches()
    return Picture(png=files["png"], uri=figures.uri(vector), width=round(96 * width_in), height=round(96 * height_in))


def _dots(file: Path) -> str:
    return figures.dots_uri(file.read_bytes())
