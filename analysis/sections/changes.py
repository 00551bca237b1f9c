"""What changed between two studies: what analysis.changes found, in sentences and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import changes, shown, together
from analysis.blocks import Section, Table, tabulate
from analysis.changes import APART, BEYOND, FIRST, HALVES, OPEN, SECOND, VOID, WITHIN
from analysis.figures import layout_title
from analysis.gathered import Gathered
from analysis.language import Text, join, read, say, words
from analysis.sections import columns
from analysis.stats import COVERAGE

# As many changes are told in sentences; the table has them all.
_TOLD_MOST = 8
_SHOWN = (BEYOND, WITHIN, APART, OPEN, VOID)


def build(gathered: Gathered) -> Section | None:
    """From the first study to the second; None where there are not exactly two."""
    if len(gathered.studies) != 2:
        return None
    studies = [(name, study.records) for name, study in gathered.studies]
    found = changes.find(studies, gathered.windows, gathered.points, gathered.pairs)
    on = changes.environment(studies)
    first, second = (name for name, _ in studies)
    overall = together.find(first, second, gathered.windows, gathered.points, gathered.pairs)
    mark = "; ".join(source.short_mark for source in gathered.sources)
    tables = (_overall(overall, mark), _table(found, first, second, mark), _environment(on, first, second, mark))
    return Section(
        id="changes",
        title=say("What changed from {first} to {second}", first=first, second=second),
        leads=(*_told(overall), _verdict(found), _machines(on, changes.share_gpus(studies)), *_common(found)),
        blocks=tuple(table for table in tables if table.rows or table.name == "changed"),
        notes=tuple(_notes(overall, found, first, second)),
    )


def _verdict(found: pd.DataFrame) -> Text:
    counted = {verdict: int((found["verdict"] == verdict).sum()) for verdict in _SHOWN}
    parts = [
        say("{count} changed beyond noise", count=counted[BEYOND]),
        say("{count} stayed within noise", count=counted[WITHIN]),
        say("{count} lie apart, but with too few starts to rule out chance", count=counted[APART]),
        say("{count} cannot be told, for a single start says nothing about the next", count=counted[OPEN]),
        say("{count} are excluded, for a trace contradicts a label", count=counted[VOID]),
    ]
    told = [part for part, verdict in zip(parts, _SHOWN, strict=True) if counted[verdict]]
    if not told:
        return say("Nothing was measured in both studies, so that nothing can be compared.")
    return say(
        "One by one, of {compared} quantities that both measured {parts}.",
        compared=sum(counted.values()),
        parts=join(say(", "), told),
    )


def _same_for_all(found: pd.DataFrame) -> tuple[str, ...]:
    """What every compared quantity differs in beside what is asked."""
    each = [str(differs).split("; ") for differs in found.loc[found["verdict"].isin(_SHOWN), "differs"]]
    return tuple(part for part in (each[0] if each else ()) if part and all(part in parts for parts in each))


def _common(found: pd.DataFrame) -> tuple[Text, ...]:
    common = _same_for_all(found)
    return (say("Not the same in both, throughout: {what}.", what=_parts(common)),) if common else ()


def _machines(on: pd.DataFrame, shared: bool) -> Text:
    machine = on[on["kind"] == "machine"].to_dict("records")
    if not machine and shared:
        return say("Both ran on one machine: GPUs took part in both.")
    if not machine:
        return say("Both ran on machines of one description; whether it was the same machine is not recorded.")
    facts = [
        say("{fact} {first} → {second}", fact=_fact(row), first=row["first"], second=row["second"]) for row in machine
    ]
    return say(
        "DIFFERENT MACHINES ({facts}): what changed may be the machines' doing, or that of anything else that differs.",
        facts=join(say("; "), facts),
    )


def _told(overall: pd.DataFrame) -> list[Text]:
    """The largest changes beyond noise, layouts and loads taken together."""
    mine = overall[overall["verdict"] == BEYOND]
    if len(overall) and mine.empty:
        return [say("Taken together over layouts and loads, nothing changed beyond noise.")]
    order = np.log(mine["change_ratio"]).abs().sort_values(ascending=False).index[:_TOLD_MOST]
    return [
        say(
            "{engine}, {model}, {what}: {change} %, beyond noise, over {layouts} together.",
            engine=shown.engine(row),
            model=row["model"],
            what=_what(row),
            change=_change(row),
            layouts=row["layouts"],
        )
        for row in mine.loc[order].to_dict("records")
    ]


def _notes(overall: pd.DataFrame, found: pd.DataFrame, first: str, second: str) -> list[Text]:
    notes = [
        say(
            "Noise is the spread over engine starts within each study; what differs from day to day or from machine to "
            "machine is not in it. The change is the ratio of the medians, its interval that of the rank-sum test: it "
            "covers 95 % from 4 starts on either side, 90 % with 3, 67 % with 2. Taken together, the starts of each "
            "layout are compared with their own alone, and a change that all layouts show needs fewer of them."
        )
    ]
    chances = 1 - pd.concat([overall["coverage_ratio"], found["coverage_ratio"]])
    enough = chances[chances <= 1 - COVERAGE]
    if len(enough) > 1:
        notes.append(
            say(
                "Of {tested} comparisons with enough starts some {chance:.1f} would come out beyond noise if nothing "
                "at all had changed: single small changes are to be read with that in mind.",
                tested=len(enough),
                chance=enough.sum(),
            )
        )
    for verdict, name in ((FIRST, first), (SECOND, second)):
        mine = found[found["verdict"] == verdict]
        if len(mine):
            notes.append(say("Measured in {name} alone: {places}.", name=name, places=_places(mine)))
    return notes


def _overall(overall: pd.DataFrame, mark: str) -> Table:
    return tabulate(
        overall,
        (
            (say("engine"), shown.engine),
            (say("model"), lambda row: str(row["model"])),
            (say("quantity"), _what),
            (say("change (%)"), _change),
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


def _table(found: pd.DataFrame, first: str, second: str, mark: str) -> Table:
    common = _same_for_all(found)
    load, what, verdict = words("load", "quantity", "verdict")
    table = tabulate(
        found[found["verdict"].isin(_SHOWN)],
        (
            *columns.layout(),
            (load, _load),
            (what, _what),
            (first, lambda row: shown.number(row["first"])),
            (second, lambda row: shown.number(row["second"])),
            (say("change (%)"), _change),
            (verdict, _word),
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


def _environment(on: pd.DataFrame, first: str, second: str, mark: str) -> Table:
    return tabulate(
        on,
        (
            (say("of"), lambda row: say("the machine") if row["kind"] == "machine" else say("the software")),
            (say("fact"), _fact),
            (first, lambda row: str(row["first"])),
            (second, lambda row: str(row["second"])),
        ),
        name="changed_environment",
        caption=say("What {first} and {second} ran on, where both tell and it differs", first=first, second=second),
        mark=mark,
    )


def _places(found: pd.DataFrame) -> Text:
    """Every engine, model and layout of the rows with its loads."""
    loads: dict[Text, dict[Text, None]] = {}
    for row in found.to_dict("records"):
        loads.setdefault(_who(row), {})[_load(row)] = None
    each = [say("{what}: {loads}", what=who, loads=join(say(", "), several)) for who, several in loads.items()]
    return join(say("; "), each)


def _who(row: Mapping[Any, Any]) -> Text:
    return join(say(", "), [shown.engine(row), str(row["model"]), layout_title(row["tp"], row["split"])])


def _load(row: Mapping[Any, Any]) -> Text:
    if row["rate"] > 0:
        return say("{rate:g} requests/s", rate=row["rate"])
    if row["concurrency"] > 0:
        return say("{count:.0f} in flight", count=row["concurrency"])
    return say("batch {batch}", batch=row["batch"])


def _what(row: Mapping[Any, Any]) -> Text:
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


def _change(row: Mapping[Any, Any]) -> str:
    change = shown.percent(row["change_ratio"])
    if pd.isna(row["change_low_ratio"]):
        return change
    return f"{change} [{shown.percent(row['change_low_ratio'])}, {shown.percent(row['change_high_ratio'])}]"


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
    parts = [part for part in str(row["differs"]).split("; ") if part and part not in common]
    return say("not the same in both: {what}", what=_parts(parts)) if parts else ""


def _parts(differs: Iterable[str]) -> Text:
    return join(say("; "), [read(part) for part in differs])


def _fact(row: Mapping[Any, Any]) -> Text:
    """A fact of the environment by its name; of an engine's own environment with the engine before it."""
    engine, _, fact = str(row["fact"]).rpartition(": ")
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
    name = names.get(fact, Text(fact))
    return say("{engine}: {fact}", engine=engine, fact=name) if engine else name
