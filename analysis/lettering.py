"""The letters of figures: in which language they are, with which font, and where their lines end.

Figures are drawn in English, whoever draws them. Within `lettered("zh")` what lays them out has their words looked up
in the catalogue of language.py and put in their place: titles, labels, legends, notes and the words at ticks. In
English nothing is looked up, and no font is read beside matplotlib's own.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from analysis.language import drawn, zh

FONT = Path(__file__).parent / "fonts" / "NotoSansSC-letters.otf"
"""The letters of the catalogue; fonts/README.md says how they were taken from Noto Sans."""
# Not the name that a whole Noto Sans has: one that is installed would be taken in place of the letters that ship.
_FAMILY = "Letters of the catalogue"
_LANGUAGE: ContextVar[str] = ContextVar("language of figures", default="en")
# Chinese letters and marks are as wide as they are high, a Latin letter a little more than half of that, and digits,
# of which versions and dates are made where Chinese has few other Latin letters, and capitals are wider than most.
_WIDE, _WIDE_LETTERS = re.compile(r"[\u2e80-\u9fff\uff00-\uffef]"), 1.8
_BROAD, _BROAD_LETTERS = re.compile("[A-Z0-9]"), 1.13
_SPACE = re.compile("(?<=[，。；：、！？）]) +")
# What lines are broken between: a Chinese letter with the marks that open before it and close behind it, other words.
_PIECE = re.compile(
    r" *(?:[（“]*[\u4e00-\u9fff][，。；：、！？）”%]*|[（“]*[^\s\u2e80-\u9fff\uff00-\uffef]+[，。；：、！？）”]*|\S)"
)


@contextmanager
def lettered(language: str) -> Iterator[None]:
    """Within it figures are laid out with words of this language, one of language.LANGUAGES."""
    before = _LANGUAGE.set(language)
    try:
        yield
    finally:
        _LANGUAGE.reset(before)


def told(text: str) -> str:
    """The text as figures show it now."""
    return _shown(text) if _chinese() else text


def width(text: str) -> float:
    """How wide the text is as figures show it now, in Latin letters; English as many as there are."""
    if not _chinese():
        return len(text)
    broad, wide = len(_BROAD.findall(text)), len(_WIDE.findall(text))
    return len(text) + (_BROAD_LETTERS - 1) * broad + (_WIDE_LETTERS - 1) * wide


def lines(text: str, letters_count: int) -> list[str]:
    """The text as figures show it now, its lines broken so that none is wider than so many Latin letters."""
    broken = _broken if _chinese() else textwrap.wrap
    return [part for line in told(text).splitlines() for part in broken(line, letters_count)]


def put(figure: Figure) -> None:
    """Put the words of the language in the place of those that the figure was drawn with."""
    if not _chinese():
        return
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            _put_ticks(axis)
    for text in figure.findobj(Text):
        _put_text(text, told(text.get_text()))


def _put_text(text: Any, shown: str) -> None:
    text.set_text(shown)
    if _WIDE.search(shown):
        text.set_fontfamily([*mpl.rcParams["font.family"], _family()])


def _put_ticks(axis: Axis) -> None:
    formatter: Any = axis.get_major_formatter()
    if not any(told(name) != name or _WIDE.search(name) for name in formatter.format_ticks(axis.get_majorticklocs())):
        return
    # Ticks get their words when they are drawn, which is later.
    axis.set_major_formatter(FuncFormatter(lambda value, position: _shown(formatter(value, position))))
    for tick in axis.get_major_ticks():
        tick.label1.set_fontfamily([*mpl.rcParams["font.family"], _family()])


def _broken(line: str, letters_count: int) -> list[str]:
    """Lines of Chinese, which may end after any letter, but not within a word in Latin ones."""
    found = [""]
    for piece in _PIECE.findall(line):
        if found[-1] and width(found[-1] + piece) > letters_count:
            found.append("")
        found[-1] += piece if found[-1] else piece.lstrip()
    return found


def _shown(text: str) -> str:
    """The text in Chinese, without spaces behind marks that bring their own."""
    return _SPACE.sub("", zh(drawn(text)))


def _chinese() -> bool:
    return _LANGUAGE.get() == "zh"


@cache
def _family() -> str:
    """The name under which matplotlib finds FONT, once it was told of it."""
    entry = font_manager.FontEntry(fname=str(FONT), name=_FAMILY, weight=400, stretch="normal", size="scalable")
    font_manager.fontManager.ttflist.append(entry)
    return _FAMILY
