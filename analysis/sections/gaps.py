"""How long GPUs idle before an operation, and why: distributions on a logarithmic scale, graphs off against on."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from analysis import evidence, evidence_tables
from analysis.blocks import Graphic, Section, tabulate
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import gap_causes, launch_gaps
from analysis.sections import columns

_QUANTILES = (0.1, 0.5, 0.9, 0.99)
CAUSE_NAMES = {
    "launch": say("its launch came late"),
    "graph": say("between nodes of a graph"),
    "dependency": say("after what came before"),
    "unknown": say("its launch was not recorded"),
}


def build(gathered: Gathered) -> Section | None:
    """None where no trace proves its label."""
    caused = evidence_tables.cause_table(gathered.evidence)
    if gathered.curves.empty and caused.empty:
        return None
    return Section(
        id="gaps",
        title=say("Gaps between operations"),
        blocks=(
            *(_causes(gathered, *one) for one in columns.traced_figures(caused)),
            *(_curves(gathered, *one) for one in columns.traced_figures(gathered.curves)),
        ),
    )


def _causes(gathered: Gathered, what: str, file: str, gaps: pd.DataFrame) -> Graphic:
    title = say("{what}: gaps of an iteration by length and cause (traced)", what=what)
    by = gaps.groupby([*evidence.TRACE_KEYS, "rank", "cause"], sort=False)[["gaps_count", "idle_us"]].sum()
    return Graphic(
        name=f"gap_causes_{file}",
        draw=partial(gap_causes.draw, gathered.with_gpu(gaps), mark=gathered.mark_of(gaps), title=title),
        alt=say(
            "{what}: how many gaps of which length a traced iteration has, and why, graphs off against on, on a "
            "logarithmic scale. Of each trace the GPU that idles most: the others wait for it.",
            what=what,
        ),
        table=tabulate(
            by.reset_index(),
            [
                *columns.traced(),
                (say("rank"), lambda row: str(row["rank"])),
                (say("the GPU idles because"), lambda row: CAUSE_NAMES.get(row["cause"], str(row["cause"]))),
                columns.figure(say("gaps an iteration"), "gaps_count"),
                columns.figure(say("idle, an iteration (us)"), "idle_us"),
                *columns.source(gathered),
            ],
            name=f"gap_causes_{file}",
            caption=say("Gaps of a traced iteration by cause, GPU by GPU"),
            mark=gathered.short_mark_of(gaps),
        ),
        mark=gathered.short_mark_of(gaps),
    )


def _curves(gathered: Gathered, what: str, file: str, curves: pd.DataFrame) -> Graphic:
    title = say("{what}: launch gaps (traced)", what=what)
    by = curves.groupby([*evidence.TRACE_KEYS, "rank"], sort=False)["gap_us"].quantile(np.array(_QUANTILES)).unstack()
    quantiles = by.set_axis([f"p{100 * share:.0f}_us" for share in _QUANTILES], axis=1).reset_index()
    return Graphic(
        name=f"launch_gaps_{file}",
        draw=partial(launch_gaps.draw, gathered.with_gpu(curves), mark=gathered.mark_of(curves), title=title),
        alt=say(
            "{what}: launch gaps. Share of gaps up to x, a curve a GPU; bold: the GPU with the longest gaps.", what=what
        ),
        table=tabulate(
            quantiles,
            [
                *columns.traced(),
                (say("rank"), lambda row: str(row["rank"])),
                columns.figure(say("p10 (us)"), "p10_us"),
                columns.figure(say("p50 (us)"), "p50_us"),
                columns.figure(say("p90 (us)"), "p90_us"),
                columns.figure(say("p99 (us)"), "p99_us"),
                *columns.source(gathered),
            ],
            name=f"launch_gaps_{file}",
            caption=say("Idle time before an operation, quantiles over the gaps of a GPU"),
            mark=gathered.short_mark_of(curves),
        ),
        mark=gathered.short_mark_of(curves),
    )
