"""The traces themselves: what tracing costs, and what is wrong with captures."""

from __future__ import annotations

from analysis import evidence_tables, headline, shown
from analysis.blocks import Section, tabulate
from analysis.gathered import Gathered
from analysis.language import read, say
from analysis.sections import columns


def build(gathered: Gathered) -> Section | None:
    """None where nothing was traced."""
    if not gathered.evidence:
        return None
    overhead = evidence_tables.tracing_overhead(gathered.evidence, headline.per_configuration(gathered.countable))
    failed = evidence_tables.fitness_table(gathered.evidence)
    cost = tabulate(
        overhead,
        [
            *columns.traced(),
            columns.figure(say("traced iteration (ms)"), "traced_iter_ms"),
            columns.figure(say("untraced TPOT (ms)"), "untraced_tpot_ms"),
            (say("overhead (%)"), lambda row: shown.percent(row["overhead_ratio"])),
            *columns.source(gathered),
        ],
        name="overhead",
        caption=say("Overhead of tracing: iteration time in the trace against untraced TPOT"),
        mark=gathered.short_mark_of(overhead),
    )
    checks = tabulate(
        failed,
        [
            *columns.traced(),
            (say("verdict"), lambda row: say("UNFIT") if row["gates"] else say("note")),
            (say("check"), lambda row: read(str(row["check"]))),
            (say("found"), lambda row: read(str(row["found"]))),
            (say("expected"), lambda row: read(str(row["expected"]))),
            (say("remedy"), lambda row: read(str(row["remedy"]))),
            *columns.source(gathered),
        ],
        name="fitness",
        caption=say("What is wrong with captures: UNFIT gives no verdict, a note weakens it"),
        mark=gathered.short_mark_of(failed),
    )
    return Section(
        id="traces",
        title=say("The traces"),
        blocks=tuple(table for table in (cost, checks) if table.rows),
    )
