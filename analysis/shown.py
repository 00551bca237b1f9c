"""How numbers and configurations are shown: three digits that count, intervals in brackets, names as makers write them.

Sentences and tables take them from here, so that one number reads the same wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.figures import engine_title
from analysis.language import Text, join, read, say, words
from analysis.words import interval as told
from analysis.words import three

NONE = "-"
# The batch of a trace that was taken while serving.
SERVED = 0


def number(value: float) -> str:
    """Three significant digits, from 100 on whole; a dash for what is not known."""
    if value is None or pd.isna(value):
        return NONE
    return f"{value:.0f}" if math.isclose(value, round(value), rel_tol=1e-9) else three(value)


def count(value: float) -> str:
    """A whole number; 0 for what was never counted."""
    return "0" if pd.isna(value) else f"{value:.0f}"


def percent(ratio: float) -> str:
    """How much more than 1 a ratio is, in per cent with its sign."""
    # Adding 0 takes the sign off what is rounded to -0.
    return NONE if pd.isna(ratio) else f"{round(100 * (ratio - 1), 1) + 0.0:+.1f}"


def bracket(low: float, high: float) -> str:
    """An interval alone."""
    return f"[{three(low)}, {three(high)}]"


def interval(value: float, low: float, high: float) -> str:
    """A number and its interval; the number alone where there is no interval."""
    return number(value) if pd.isna(value) or pd.isna(low) else told(value, low, high)


def gain(ratio: float, low: float = math.nan, high: float = math.nan) -> str:
    """How many times faster, in the style of an interval whether there is one or not: gains are compared."""
    return NONE if pd.isna(ratio) else three(ratio) if pd.isna(low) else told(ratio, low, high)


def gain_of(row: Mapping[Any, Any], name: str = "gain") -> str:
    """The same of the columns of a row: {name}_ratio, {name}_low_ratio, {name}_high_ratio."""
    return gain(*(row[f"{name}{end}_ratio"] for end in ("", "_low", "_high")))


def either(off: float, on: float) -> str:
    """Graphs off / graphs on."""
    return f"{number(off)} / {number(on)}"


def plain(value: object) -> str:
    """Whatever a record holds, as text."""
    if isinstance(value, Text):
        return value
    return NONE if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def engine(row: Mapping[Any, Any]) -> str:
    """The engine, and what of torch.compile and of the settings sets the row apart."""
    return engine_title(row["engine"], row["compile"], row["settings"])


def maker(name: object) -> str:
    """The program that measured, by what records call it."""
    known = {str(one): one for one in words("probe script", "probe script (nsys attached, not capturing)")}
    return known.get(str(name), str(name))


def batch(row: Mapping[Any, Any]) -> str:
    """The batch size, or that the trace was taken while serving."""
    return say("served") if row["batch"] == SERVED else str(row["batch"])


def layout(row: Mapping[Any, Any]) -> str:
    """GPUs, and how the model was split beyond tensor parallelism."""
    return f"{row['tp']}" + (f" {str(row['split']).upper()}" if row["split"] else "")


def proof(row: Mapping[Any, Any]) -> str:
    """Whether the traces of a row prove its label, in a word."""
    words = {"proven": say("proven"), "refused": say("REFUSED"), "unfit": say("UNFIT")}
    return words.get(str(row["proof"]), say("INVALID"))


def void(row: Mapping[Any, Any]) -> str:
    """Why a row does not count; '' where it does."""
    if row["proof"] == "proven":
        return ""
    return say("{what}: {reason}", what=proof(row), reason=read(str(row["reason"])))


def caution(row: Mapping[Any, Any]) -> str:
    """What to be careful about in a row; '' for nothing."""
    return read(str(row["caution"])) if row["caution"] else ""


def listed(texts: list[str]) -> str:
    """Texts one after the other."""
    return join(say("; "), texts)
