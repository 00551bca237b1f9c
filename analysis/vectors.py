"""An SVG as matplotlib writes it, in two thirds of its letters: the same picture."""

from __future__ import annotations

import re
from functools import cache

# What is not drawn: prolog, metadata, comments; space between elements; names that nothing refers to.
_NOT_DRAWN = re.compile(r"<metadata>.*?</metadata>|<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->", re.DOTALL)
_BETWEEN, _GROUP = re.compile(r">\s+<"), re.compile(r'<g id="[^"]*"')
_LETTER_NAME = re.compile("DejaVuSans-|NotoSansCJKsc-Regular(?=-)")
_SHIFT, _LETTER_SHIFT = re.compile(r"translate\(([^)]*)\)"), re.compile(r' transform="translate\((\S+) 0\)"/>')
_PATH = re.compile(r' d="([^"]*)"')
_LONG = re.compile(r"-?\d+\.\d+")
_AROUND_LETTER, _LETTER = re.compile(r" ?([A-Za-z]) ?"), r"\1"
# The outline of a letter, in whole numbers, and its parts: a command with the numbers behind it.
_OUTLINE, _PART = re.compile(r"[MLQCz\d -]+"), re.compile(r"([MLQCz])([^MLQCz]*)")
_BEFORE_SIGN = re.compile(" -")


def small(text: str) -> str:
    """The text of an SVG without what is not drawn, with short names, numbers and outlines."""
    text = _LETTER_NAME.sub("d", _BETWEEN.sub("><", _NOT_DRAWN.sub("", text)))
    text = _SHIFT.sub(lambda found: f"translate({_rounded(found.group(1))})", _GROUP.sub("<g", text))
    # A hundredth of the height of a letter is seen by nobody; tenths of that are told.
    text = _LETTER_SHIFT.sub(lambda found: f' x="{float(found.group(1)):.1f}"/>'.replace(".0", ""), text)
    return _PATH.sub(_shorter, text).strip()


def _shorter(path: re.Match[str]) -> str:
    found = _AROUND_LETTER.sub(_LETTER, " ".join(_rounded(path.group(1)).split()))
    return f' d="{_relative(found) if _OUTLINE.fullmatch(found) else found}"'


@cache
def _relative(outline: str) -> str:
    """The outline with each point told from the one before it, which takes fewer digits; lines along an axis by one."""
    told, at, begin, before = [], (0, 0), (0, 0), ""
    for command, numbers in _PART.findall(outline):
        values = [int(number) for number in numbers.split()]
        steps = [value - at[place % 2] for place, value in enumerate(values)]
        at = begin if command == "z" else (values[-2], values[-1])
        begin = at if command == "M" else begin
        shown = command.lower()
        if shown == "l" and 0 in steps:
            shown, steps = ("h", steps[:1]) if steps[1] == 0 else ("v", steps[1:])
        told.append(shown if shown != before or shown in "mz" else " ")
        told.append(" ".join(map(str, steps)))
        before = shown
    return _BEFORE_SIGN.sub("-", "".join(told))


def _rounded(numbers: str) -> str:
    """To a hundredth of a point, which no printer tells from what matplotlib writes, in half the letters."""
    return _LONG.sub(lambda number: f"{float(number.group()):.2f}".rstrip("0").rstrip("."), numbers)
