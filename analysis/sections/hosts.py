"""The host: what the thread that launches does in an iteration, and what a launch takes it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from analysis import evidence_tables, shown
from analysis.blocks import Graphic, Section, Table, tabulate
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import hosts as plot
from analysis.sections import columns


def build(gathered: Gathered) -> Section | None:
    """None where no trace that proves its label holds what the host did."""
    table = evidence_tables.rank_table(gathered.evidence)
    told = table[(table["proof"] == "proven") & table["host_framework_us"].notna()]
    if told.empty:
        return None
    busiest = plot.busiest(told)
    return Section(
        id="hosts",
        title=say("What the host does"),
        leads=tuple(_leads(busiest)),
        blocks=(
            *(_figure(gathered, *one) for one in columns.traced_figures(busiest)),
            _table(gathered, told, "hosts"),
        ),
        notes=(
            say(
                "Traced: nsys adds about 2 us to each call. Python and the engine is what is left of an iteration "
                "beside CUDA calls; with graphs on, a host that polls looks the same, so that it is an upper bound."
            ),
            *columns.left_out(told),
        ),
    )


def _leads(ranks: pd.DataFrame) -> Iterator[str]:
    for row in ranks[ranks["graphs"] == "off"].to_dict("records"):
        yield say(
            "{engine}, {model}, TP{layout}, batch {batch}{source}, graphs off: {launches} launches an iteration, "
            "{launch_us} us of the host each, of which {call_us} us are in the launch call and the rest mostly in "
            "Python and the engine.",
            engine=shown.engine(row),
            model=row["model"],
            layout=shown.layout(row),
            batch=shown.batch(row),
            source=columns.source_of(row, ranks),
            launches=shown.count(row["launches"]),
            launch_us=shown.number(row["t_launch_us"]),
            call_us=shown.number(row["host_launch_call_us"] / row["launches"] if row["launches"] else float("nan")),
        )


def _figure(gathered: Gathered, what: str, file: str, ranks: pd.DataFrame) -> Graphic:
    title = say("{what}: what the host does in an iteration (traced)", what=what)
    return Graphic(
        name=f"hosts_{file}",
        draw=partial(plot.draw, ranks, mark=gathered.mark_of(ranks), title=title),
        alt=say(
            "{what}: what the thread that launches does in a traced iteration, graphs off (left bars) and on (right "
            "bars), of the rank whose host works the longest.",
            what=what,
        ),
        table=_table(gathered, ranks, f"hosts_{file}"),
        mark=gathered.short_mark_of(ranks),
    )


def _table(gathered: Gathered, ranks: pd.DataFrame, name: str) -> Table:
    return tabulate(
        ranks,
        [
            *columns.traced(),
            (say("rank"), lambda row: shown.count(row["rank"])),
            columns.figure(say("launches"), "launches"),
            columns.figure(say("launch calls (us)"), "host_launch_call_us"),
            columns.figure(say("other CUDA calls (us)"), "host_other_call_us"),
            columns.figure(say("Python and the engine (us)"), "host_framework_us"),
            columns.figure(say("blocked (us)"), "host_wait_us"),
            columns.figure(say("host time a launch (us)"), "t_launch_us"),
            columns.figure(say("lead, call to start (us)"), "lead_us"),
            *columns.source(gathered),
        ],
        name=name,
        caption=say(
            "The thread that launches, medians over traced iterations. Blocked: in calls that wait for the GPU. Host "
            "time a launch: all but blocked time over the number of launches"
        ),
        mark=gathered.short_mark_of(ranks),
    )
