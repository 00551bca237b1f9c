"""Predictions beside measurements: one half of each pair foretold from a trace of the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from analysis import claims, foretold, shown
from analysis.blocks import Graphic, Row, Section, Table, tabulate
from analysis.figures import engine_title
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import foretold as plot
from analysis.sections import columns

_DRAWN = (foretold.ON_FROM_OFF, foretold.OFF_FROM_ON)


def build(gathered: Gathered) -> Section | None:
    """None where no pair was both traced and measured untraced."""
    pairs = foretold.recorded(gathered)
    if not pairs:
        return None
    found, apart = foretold.predictions(pairs)
    drawn = _figure(gathered, found)
    return Section(
        id="predictions",
        title=say("Predictions beside measurements"),
        leads=tuple(_leads(found[found["claimed"]])),
        blocks=(drawn,),
        notes=(
            say("Each configuration is PREDICTED by a model that the other configurations gave.")
            if apart
            else say(
                "Too few pairs to predict each from the others: the model that ships was asked. Where it was fitted on "
                "this very recording, its error here is no test of it; `python -m analysis fit` gives that."
            ),
            *_not_foretold(found),
            *_not_claimed(found),
        ),
    )


def _not_claimed(found: pd.DataFrame) -> Iterator[str]:
    for why, rows in claims.reasons(found.to_dict("records"), engine_title).items():
        yield say(
            "Not claimed: {why}. What predicting makes of it all the same is shown, off by {worst:.0%} at most.",
            why=why,
            worst=max(abs(row["error_ratio"]) for row in rows),
        )


def _not_foretold(found: pd.DataFrame) -> Iterator[str]:
    if (found["direction"] == foretold.OFF_ALONE).any():
        yield say(
            "Not predictable from a trace with graphs on alone is what the host takes for a launch: such a trace holds "
            "no launches of single operations, and hosts recorded with the same engine differ by a factor of two. A "
            "short trace with graphs off on that host, also of another batch, is enough to calibrate by."
        )


def _leads(found: pd.DataFrame) -> Iterator[str]:
    names = {foretold.ON_FROM_OFF: say("Graphs on, PREDICTED from traces with graphs off"),
             foretold.OFF_FROM_ON: say(
                 "Graphs off, PREDICTED from traces with graphs on, launches calibrated by the trace with graphs off "
                 "of that very configuration"),
             foretold.OFF_BY_ANOTHER: say(
                 "Graphs off, PREDICTED from traces with graphs on, launches calibrated by the trace with graphs off "
                 "of another configuration of that engine on that host"),
             foretold.OFF_ALONE: say(
                 "Graphs off, PREDICTED from traces with graphs on alone, launches as recorded of that engine in other "
                 "configurations, those of that host too")}  # fmt: skip
    for direction, rows in found.groupby("direction", sort=False):
        errors = rows["error_ratio"].abs()
        yield say(
            "{direction}: {count} configurations, off by {mean:.1%} on average, by {worst:.1%} at most; {covered} of "
            "them within their interval.",
            direction=names[str(direction)],
            count=len(rows),
            mean=errors.mean(),
            worst=errors.max(),
            covered=int(rows["covered"].sum()),
        )


def _figure(gathered: Gathered, found: pd.DataFrame) -> Graphic:
    mark = say("PREDICTED beside: {mark}", mark=gathered.short_mark_of(found))
    return Graphic(
        name="predictions",
        draw=partial(
            plot.draw,
            found[found["direction"].isin(_DRAWN)],
            mark=gathered.mark_of(found),
            title=say("PREDICTED iteration time beside the measured one"),
        ),
        alt=say(
            "PREDICTED iteration time, with its interval, over the measured one; on the line they agree. Left: graphs "
            "on from traces with graphs off; right: the reverse, launches calibrated by the trace with graphs off of "
            "that very configuration."
        ),
        table=_table(gathered, found, mark),
        mark=mark,
    )


def _table(gathered: Gathered, found: pd.DataFrame, mark: str) -> Table:
    return tabulate(
        found,
        [
            *columns.configuration(),
            (say("predicted"), _direction),
            (
                say("PREDICTED (ms)"),
                lambda row: shown.interval(row["predicted_ms"], row["predicted_low_ms"], row["predicted_high_ms"]),
            ),
            columns.figure(say("measured (ms)"), "measured_ms"),
            (say("error (%)"), lambda row: shown.percent(1 + row["error_ratio"])),
            (say("within its interval"), lambda row: say("yes") if row["covered"] else say("no")),
            *(
                []
                if found["claimed"].all()
                else [(say("claimed"), lambda row: say("yes") if row["claimed"] else say("no"))]
            ),
            *columns.source(gathered),
        ],
        name="predictions",
        caption=say("Untraced iteration time, PREDICTED from a trace of the other half, beside what was measured"),
        mark=mark,
    )


def _direction(row: Row) -> str:
    names = {
        foretold.ON_FROM_OFF: say("on, from off"),
        foretold.OFF_FROM_ON: say("off, from on, launches of this configuration"),
        foretold.OFF_BY_ANOTHER: say("off, from on, launches of another configuration"),
        foretold.OFF_ALONE: say("off, from on alone"),
    }
    return names[row["direction"]]
