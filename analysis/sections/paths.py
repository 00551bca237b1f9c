"""Where the time goes: the critical path of an iteration, graphs off beside graphs on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from analysis import evidence, evidence_tables, shown
from analysis.blocks import Graphic, Section, Table, tabulate
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import critical_path
from analysis.sections import columns

_PARTS = ("wall", "compute", "collective", "launch_idle", "graph_gap", "other_gap", "residual")


def build(gathered: Gathered) -> Section | None:
    """None where no fit trace proves its label."""
    found = evidence_tables.path_table(gathered.evidence)
    if found.empty:
        return None
    figures = [_figure(gathered, *one) for one in columns.traced_figures(found)]
    return Section(
        id="paths",
        title=say("Where the time goes"),
        leads=tuple(_leads(found)),
        blocks=(*figures, _table(gathered, found, "paths")),
        notes=(
            say(
                "Traced iterations: tracing slows graphs off down, about 2 us a launch. How long an iteration takes "
                "comes from untraced runs; traces say where the time goes."
            ),
            *columns.chosen(found),
            *columns.left_out(found),
        ),
    )


def _leads(found: pd.DataFrame) -> Iterator[str]:
    keys = [key for key in evidence.TRACE_KEYS if key not in ("case", "graphs")]
    for _, pair in found.groupby(keys, sort=False):
        halves = {row["graphs"]: row for row in pair.to_dict("records")[::-1]}
        if halves.keys() == {"off", "on"}:
            off, on = halves["off"], halves["on"]
            yield say(
                "{engine}, {model}, TP{layout}, batch {batch}{source}: with graphs off GPUs wait for launches during "
                "{off_wait} of {off_wall} ms, with graphs on during {on_wait} of {on_wall} ms; the work takes "
                "{off_work} and {on_work} ms.",
                engine=shown.engine(off),
                model=off["model"],
                layout=shown.layout(off),
                batch=shown.batch(off),
                source=columns.source_of(off, found),
                off_wait=shown.number(off["launch_idle_ms"]),
                off_wall=shown.number(off["wall_ms"]),
                on_wait=shown.number(on["launch_idle_ms"]),
                on_wall=shown.number(on["wall_ms"]),
                off_work=shown.number(off["compute_ms"] + off["collective_ms"]),
                on_work=shown.number(on["compute_ms"] + on["collective_ms"]),
            )


def _table(gathered: Gathered, found: pd.DataFrame, name: str) -> Table:
    words = (
        say("wall (ms)"), say("compute (ms)"), say("collectives (ms)"), say("waiting for launches (ms)"),
        say("gaps in graphs (ms)"), say("other gaps (ms)"), say("residual (ms)"),
    )  # fmt: skip
    parts = [columns.figure(word, f"{part}_ms") for word, part in zip(words, _PARTS, strict=True)]
    return tabulate(
        found,
        [*columns.traced(), *parts, *columns.source(gathered)],
        name=name,
        caption=say(
            "Critical path over all GPUs, per traced decode iteration: the parts add up to the wall time. "
            "Collectives count with their own time, not with the waiting of those who arrive early"
        ),
        mark=gathered.short_mark_of(found),
    )


def _figure(gathered: Gathered, what: str, file: str, found: pd.DataFrame) -> Graphic:
    title = say("{what}: where a decode iteration goes (traced)", what=what)
    return Graphic(
        name=f"critical_path_{file}",
        draw=partial(critical_path.draw, found, mark=gathered.mark_of(found), title=title),
        alt=say(
            "{what}: where a traced decode iteration goes. Critical path over all GPUs, graphs off (left bars) and on "
            "(right bars).",
            what=what,
        ),
        table=_table(gathered, found, f"critical_path_{file}"),
        mark=gathered.short_mark_of(found),
    )
