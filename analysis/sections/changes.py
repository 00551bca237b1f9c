"""What changed between two studies: what analysis.changes found, in sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import changes, shown, together
from analysis.blocks import Row, Section
from analysis.changes import APART, BEYOND, FIRST, OPEN, SECOND, VOID, WITHIN
from analysis.figures import layout_title
from analysis.gathered import Gathered
from analysis.language import Text, join, say
from analysis.sections import change_tables
from analysis.stats import COVERAGE

# As many changes are told in sentences; the table has them all.
_TOLD_MOST = 8


def build(gathered: Gathered) -> Section | None:
    """From the first study to the second; None where there are not exactly two."""
    if len(gathered.studies) != 2:
        return None
    studies = [(name, study.records) for name, study in gathered.studies]
    found = changes.find(studies, gathered.windows, gathered.points, gathered.pairs)
    on = changes.environment(studies)
    first, second = (name for name, _ in studies)
    overall = together.find(first, second, gathered.windows, gathered.points, gathered.pairs)
    mark = "; ".join(dict.fromkeys(source.short_mark for source in gathered.sources))
    tables = (
        change_tables.overall(overall, mark),
        change_tables.one_by_one(found, first, second, mark),
        change_tables.environment(on, first, second, mark),
    )
    return Section(
        id="changes",
        title=say("What changed from {first} to {second}", first=first, second=second),
        leads=(*_told(overall), _verdict(found), _machines(on, changes.share_gpus(studies)), *_common(found)),
        blocks=tuple(table for table in tables if table.rows or table.name == "changed"),
        notes=tuple(_notes(overall, found, first, second)),
    )


def _verdict(found: pd.DataFrame) -> Text:
    counted = {verdict: int((found["verdict"] == verdict).sum()) for verdict in change_tables.SHOWN}
    parts = [
        say("{count} changed beyond noise", count=counted[BEYOND]),
        say("{count} stayed within noise", count=counted[WITHIN]),
        say("{count} lie apart, but with too few starts to rule out chance", count=counted[APART]),
        say("{count} cannot be told from so few starts", count=counted[OPEN]),
        say("{count} are excluded, for a trace contradicts a label", count=counted[VOID]),
    ]
    told = [part for part, verdict in zip(parts, change_tables.SHOWN, strict=True) if counted[verdict]]
    if not told:
        return say("Nothing was measured in both studies, so that nothing can be compared.")
    return say(
        "One by one, of {compared} quantities that both measured {parts}.",
        compared=sum(counted.values()),
        parts=join(say(", "), told),
    )


def _common(found: pd.DataFrame) -> tuple[Text, ...]:
    common = change_tables.same_for_all(found)
    return (say("Not the same in both, throughout: {what}.", what=change_tables.parts(common)),) if common else ()


def _machines(on: pd.DataFrame, shared: bool) -> Text:
    machine = on[on["kind"] == "machine"].to_dict("records")
    if not machine and shared:
        return say("Both ran on one machine: GPUs took part in both.")
    if not machine:
        return say("Both ran on machines of one description; whether it was the same machine is not recorded.")
    facts = [
        say("{fact} {first} → {second}", fact=change_tables.fact(row), first=row["first"], second=row["second"])
        for row in machine
    ]
    return say(
        "DIFFERENT MACHINES ({facts}): what changed may be the machines' doing, or that of anything else that differs.",
        facts=join(say("; "), facts),
    )


def _told(overall: pd.DataFrame) -> list[Text]:
    """The largest changes beyond noise, then those that lie apart, layouts and loads taken together."""
    if overall.empty:
        return []
    told = [*_largest(overall, BEYOND), *_largest(overall, APART)][:_TOLD_MOST]
    return [_change(row) for row in told] or [_unchanged(overall["verdict"])]


def _largest(overall: pd.DataFrame, verdict: str) -> list[Row]:
    mine = overall[overall["verdict"] == verdict]
    order = np.log(mine["change_ratio"]).abs().sort_values(ascending=False).index
    rows: list[Row] = mine.loc[order].to_dict("records")
    return rows


def _change(row: Row) -> Text:
    about = {
        "engine": shown.engine(row),
        "model": row["model"],
        "what": change_tables.quantity(row),
        "change": change_tables.change(row),
        "layouts": row["layouts"],
    }
    if row["verdict"] == BEYOND:
        return say("{engine}, {model}, {what}: {change} %, beyond noise, over {layouts} together.", **about)
    return say(
        "{engine}, {model}, {what}: {change} %, over {layouts} together: all starts lie apart, but they are so few "
        "that chance alone has it in {percent:.0f} %.",
        percent=100 * (1 - row["coverage_ratio"]),
        **about,
    )


def _unchanged(verdicts: pd.Series[str]) -> Text:
    """That nothing is beyond noise, or apart, as far as there are starts to tell."""
    open_count = int((verdicts == OPEN).sum())
    if not open_count:
        return say("Taken together over layouts and loads, nothing changed beyond noise.")
    if open_count == len(verdicts):
        return say(
            "Taken together over layouts and loads, it cannot be told whether anything changed: there are too few "
            "starts."
        )
    return say(
        "Taken together over layouts and loads, of {open} of {all} quantities it cannot be told whether they changed, "
        "for there are too few starts; the others stayed within noise.",
        open=open_count,
        all=len(verdicts),
    )


def _notes(overall: pd.DataFrame, found: pd.DataFrame, first: str, second: str) -> list[Text]:
    notes = [
        say(
            "Noise is the spread over engine starts within each study; what differs from day to day or from machine to "
            "machine is not in it. The change is the ratio of the medians, its interval that of the rank-sum test: it "
            "covers 95 % from 4 starts on either side, 90 % with 3, 67 % with 2. With so few starts "
            "a change that does not set all of them apart cannot be told. Taken together, the starts of each "
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


def _places(found: pd.DataFrame) -> Text:
    """Every engine, model and layout of the rows with its loads."""
    loads: dict[Text, dict[Text, None]] = {}
    for row in found.to_dict("records"):
        loads.setdefault(_who(row), {})[change_tables.load(row)] = None
    each = [say("{what}: {loads}", what=who, loads=join(say(", "), several)) for who, several in loads.items()]
    return join(say("; "), each)


def _who(row: Mapping[Any, Any]) -> Text:
    return join(say(", "), [shown.engine(row), str(row["model"]), layout_title(row["tp"], row["split"])])
