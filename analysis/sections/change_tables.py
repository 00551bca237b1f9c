"""The tables of what changed between two studies, and the words that they share with the sentences above them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis import shown
from analysis.blocks import Table, tabulate
from analysis.changes import APART, BEYOND, HALVES, OPEN, VOID, WITHIN
from analysis.language import Text, join, read, say
from analysis.sections import columns

SHOWN = (BEYOND, WITHIN, APART, OPEN, VOID)
"""The verdicts on what both studies measured."""


def overall(found: pd.DataFrame, mark: str) -> Table:
    """All layouts and loads together: rows of together.find."""
    return tabulate(
        found,
        (
            (say("engine"), shown.engine),
            (say("model"), lambda row: str(row["model"])),
            (say("quantity"), quantity),
            (say("change (%)"), change),
            (say("verdict"), _word),
            (say("layouts"), lambda row: str(row["layouts"])),
            (say("starts"), lambda row: f"{row['first_starts_count']} / {row['second_starts_count']}"),
        ),
        name="changed_overall",
        caption=say(
            "What changed, layouts and loads taken together: by how much the second study exceeds the first in each "
            "layout alike, with its interval over starts"
        ),
        mark=mark,
    )


def one_by_one(found: pd.DataFrame, first: str, second: str, mark: str) -> Table:
    """Every quantity of every configuration: rows of changes.find, of which what both measured is shown."""
    common = same_for_all(found)
    table = tabulate(
        found[found["verdict"].isin(SHOWN)],
        (
            *columns.layout(),
            (say("load"), load),
            (say("quantity"), quantity),
            (first, lambda row: _figure(row, "first")),
            (second, lambda row: _figure(row, "second")),
            (say("change (%)"), change),
            (say("verdict"), _word),
            (say("starts"), lambda row: f"{row['first_starts_count']} / {row['second_starts_count']}"),
        ),
        name="changed",
        caption=say(
            "What changed from {first} to {second}: medians over engine starts, and second / first less 1 with its "
            "interval",
            first=first,
            second=second,
        ),
        mark=mark,
        void=lambda row: say("a trace contradicts its label") if row["verdict"] == VOID else "",
        caution=lambda row: _differs(row, common),
    )
    return replace(table, data=found)


def environment(on: pd.DataFrame, first: str, second: str, mark: str) -> Table:
    """What they ran on: rows of changes.environment."""
    return tabulate(
        on,
        (
            (say("of"), lambda row: say("the machine") if row["kind"] == "machine" else say("the software")),
            (say("fact"), fact),
            (first, lambda row: str(row["first"])),
            (second, lambda row: str(row["second"])),
        ),
        name="changed_environment",
        caption=say("What {first} and {second} ran on, where both tell and it differs", first=first, second=second),
        mark=mark,
    )


def same_for_all(found: pd.DataFrame) -> tuple[str, ...]:
    """What every compared quantity differs in beside what is asked."""
    each = [str(differs).split("; ") for differs in found.loc[found["verdict"].isin(SHOWN), "differs"]]
    return tuple(part for part in (each[0] if each else ()) if part and all(part in parts for parts in each))


def load(row: Mapping[Any, Any]) -> Text:
    """A batch, or what was asked of a server."""
    if row["rate"] > 0:
        return say("{rate:g} requests/s", rate=row["rate"])
    if row["concurrency"] > 0:
        return say("{count:.0f} in flight", count=row["concurrency"])
    return say("batch {batch}", batch=row["batch"])


def quantity(row: Mapping[Any, Any]) -> Text:
    """The quantity with its unit, and of which half."""
    quantities = {
        "tpot_ms": say("iteration (ms)"),
        "gain_ratio": say("iteration time"),
        "tpot_ratio": say("TPOT p50"),
        "qps": say("answered (requests/s)"),
        "output_tok_s": say("output (tokens/s)"),
        "ttft_ms_p50": say("TTFT p50 (ms)"),
        "ttft_ms_p99": say("TTFT p99 (ms)"),
        "tpot_ms_p50": say("TPOT p50 (ms)"),
        "itl_ms_p99": say("ITL p99 (ms)"),
        "goodput_qps": say("goodput (requests/s)"),
    }
    what = quantities[str(row["quantity"])]
    if row["graphs"] == HALVES:
        return say("{quantity}, off / on", quantity=what)
    half = say("graphs off") if row["graphs"] == "off" else say("graphs on")
    return say("{quantity}, {half}", quantity=what, half=half)


def _figure(row: Mapping[Any, Any], side: str) -> str:
    return shown.gain(row[side]) if row["graphs"] == HALVES else shown.number(row[side])


def change(row: Mapping[Any, Any]) -> str:
    """How much more than the first the second is, in per cent, with its interval."""
    told = shown.percent(row["change_ratio"])
    if pd.isna(row["change_low_ratio"]):
        return told
    return f"{told} [{shown.percent(row['change_low_ratio'])}, {shown.percent(row['change_high_ratio'])}]"


def _word(row: Mapping[Any, Any]) -> Text:
    """The verdict in words; of what lies apart, how often chance alone would do that."""
    if row["verdict"] == APART:
        return say("apart, as chance alone has it in {percent:.0f} %", percent=100 * (1 - row["coverage_ratio"]))
    told = {
        BEYOND: say("beyond noise"),
        WITHIN: say("within noise"),
        OPEN: say("cannot be told"),
        VOID: say("excluded"),
    }
    return told[str(row["verdict"])]


def _differs(row: Mapping[Any, Any], common: tuple[str, ...]) -> str:
    own = [part for part in str(row["differs"]).split("; ") if part and part not in common]
    return say("not the same in both: {what}", what=parts(own)) if own else ""


def parts(differs: Iterable[str]) -> Text:
    """What differs, part for part."""
    return join(say("; "), [read(part) for part in differs])


def fact(row: Mapping[Any, Any]) -> Text:
    """A fact of the environment by its name; of an engine's own environment with the engine before it."""
    engine, _, key = str(row["fact"]).rpartition(": ")
    names = {
        "label": say("host"),
        "gpu_name": say("GPU"),
        "gpu_count": say("GPUs"),
        "gpu_uuids": say("GPUs by their numbers"),
        "cpu": say("CPU"),
        "cpu_count": say("CPUs"),
        "governor": say("CPU governor"),
        "platform": say("platform"),
        "driver": say("GPU driver"),
        "engine_version": say("version"),
    }
    name = names.get(key, Text(key))
    return say("{engine}: {fact}", engine=engine, fact=name) if engine else name
