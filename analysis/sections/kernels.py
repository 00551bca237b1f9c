"""What kernels differ between graphs off and on: other work, which graphs did not take away."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from analysis import evidence_tables, shown
from analysis.blocks import Graphic, Section, Table, tabulate
from analysis.gathered import Gathered
from analysis.groups import GROUPS
from analysis.language import read, say
from analysis.names import short
from analysis.plots import kernel_groups
from analysis.sections import columns


def build(gathered: Gathered) -> Section | None:
    """None where there is no pair of fit traces."""
    found = evidence_tables.difference_table(gathered.evidence)
    if found.empty:
        return None
    changed = _kernels(gathered)
    return Section(
        id="kernels",
        title=say("What the GPUs compute, off and on"),
        leads=tuple(_leads(found)),
        blocks=(
            *(_figure(gathered, *one) for one in columns.traced_figures(found)),
            _table(gathered, found, "differences"),
            *([changed] if changed.rows else []),
        ),
        notes=columns.left_out(found),
    )


def _kernels(gathered: Gathered) -> Table:
    changes = {
        "only_off": say("graphs off alone"),
        "only_on": say("graphs on alone"),
        "variant": say("another variant"),
        "count": say("other number"),
        "time": say("other time"),
    }
    found = evidence_tables.kernel_table(gathered.evidence)
    return tabulate(
        found,
        [
            *columns.configuration(),
            (say("how it differs"), lambda row: changes[row["change"]]),
            (say("group"), lambda row: read(str(row["group"]))),
            (say("kernel, graphs off"), lambda row: short(row["off_name"]) or shown.NONE),
            (say("kernel, graphs on"), lambda row: short(row["on_name"]) or shown.NONE),
            columns.both(say("an iteration"), "per_iteration"),
            columns.both(say("work (us)"), "us"),
            columns.figure(say("saved (us)"), "saved_us"),
            *columns.source(gathered),
        ],
        name="kernels",
        caption=say(
            "Kernels that differ most between graphs off and on, per traced decode iteration; names in full are in "
            "the table's files"
        ),
        mark=gathered.short_mark_of(found),
    )


def _pairs(found: pd.DataFrame) -> Iterator[pd.DataFrame]:
    keys = [key for key in found.columns if key not in ("group", "off_us", "on_us")]
    yield from (pair for _, pair in found.groupby(keys, sort=False, dropna=False))


def _leads(found: pd.DataFrame) -> Iterator[str]:
    for pair in _pairs(found):
        row = pair.iloc[0].to_dict()
        if pd.notna(row["idle_saved_us"]):
            yield say(
                "{engine}, {model}, TP{layout}, batch {batch}{source}: graphs on saves {idle} us of idle time and "
                "{work} us of other work an iteration, traced.",
                engine=shown.engine(row),
                model=row["model"],
                layout=shown.layout(row),
                batch=shown.batch(row),
                source=columns.source_of(row, found),
                idle=shown.number(row["idle_saved_us"]),
                work=shown.number(row["work_saved_us"]),
            )


def _figure(gathered: Gathered, what: str, file: str, found: pd.DataFrame) -> Graphic:
    title = say("{what}: work of the GPUs by group of kernels (traced)", what=what)
    return Graphic(
        name=f"kernels_{file}",
        draw=partial(kernel_groups.draw, gathered.with_gpu(found), mark=gathered.mark_of(found), title=title),
        alt=say(
            "{what}: useful time of each group of kernels in a traced iteration, graphs off and on, without waiting in "
            "collectives.",
            what=what,
        ),
        table=_table(gathered, found, f"kernels_{file}"),
        mark=gathered.short_mark_of(found),
    )


def _table(gathered: Gathered, found: pd.DataFrame, name: str) -> Table:
    groups = [group for group in GROUPS if (found["group"] == group).any()]
    more = [*columns.configuration(), columns.tracing()]
    source = columns.source(gathered)
    rows = []
    for pair in _pairs(found):
        row = pair.iloc[0].to_dict()
        times = {str(one["group"]): shown.either(one["off_us"], one["on_us"]) for one in pair.to_dict("records")}
        rows.append((
            *(cell(row) for _, cell in more), shown.number(row["idle_saved_us"]), shown.number(row["work_saved_us"]),
            *(times.get(group, shown.NONE) for group in groups), *(cell(row) for _, cell in source),
        ))  # fmt: skip
    return Table(
        name=name,
        caption=say(
            "What differs between graphs off and on, per traced decode iteration. Saved: off less on along the "
            "critical path, as idle time of the GPU and as other work. Then the time of each group of kernels, off / "
            "on, without the spinning in collectives: a difference there is other work, not waiting that graphs took "
            "away"
        ),
        columns=(
            *(heading for heading, _ in more), say("idle saved (us)"), say("work saved (us)"),
            *(say("{group} (us)", group=read(group)) for group in groups), *(heading for heading, _ in source),
        ),
        rows=tuple(rows),
        mark=gathered.short_mark_of(found),
        data=found,
    )  # fmt: skip
