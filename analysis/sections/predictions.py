"""Predictions beside measurements: one half of each pair foretold from a trace of the other."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import foretold, shown
from analysis.blocks import Graphic, Row, Section, Table, tabulate
from analysis.figures import engine_title
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import foretold as plot
from analysis.sections import columns


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
            *_not_claimed(found[~found["claimed"]]),
        ),
    )


def _not_claimed(found: pd.DataFrame) -> Iterator[str]:
    if len(found):
        yield say(
            "Of {engines} no prediction is claimed: its graphs run other work than is launched without them, or leave "
            "a part of the step outside. What predicting makes of it all the same is shown, off by {worst:.0%} at "
            "most.",
            engines=", ".join(engine_title(engine) for engine in sorted(set(found["engine"]))),
            worst=found["error_ratio"].abs().max(),
        )


def _leads(found: pd.DataFrame) -> Iterator[str]:
    names = {foretold.ON_FROM_OFF: say("Graphs on, PREDICTED from traces with graphs off"),
             foretold.OFF_FROM_ON: say("Graphs off, PREDICTED from traces with graphs on")}  # fmt: skip
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
        figure=plot.draw(found, mark=gathered.mark_of(found), title="PREDICTED iteration time beside the measured one"),
        alt=say(
            "PREDICTED iteration time, with its interval, over the measured one; on the line they agree. Left: graphs "
            "on from traces with graphs off; right: the reverse."
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
    return say("on, from off") if row["direction"] == foretold.ON_FROM_OFF else say("off, from on")
