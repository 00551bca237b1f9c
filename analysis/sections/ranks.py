"""Every GPU: useful work, waiting for others inside collectives, idle. Why one row of a trace misleads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from analysis import evidence_tables, shown
from analysis.blocks import Cell, Graphic, Row, Section, Table, tabulate
from analysis.gathered import Gathered
from analysis.language import read, say
from analysis.plots import ranks as plot
from analysis.sections import columns

# Where GPUs idle so unlike one another, which of them is looked at decides what is seen.
_UNLIKE_RATIO = 0.2


def build(gathered: Gathered) -> Section | None:
    """None where no trace was read."""
    table = evidence_tables.rank_table(gathered.evidence)
    if table.empty:
        return None
    counted = table[(table["proof"] == "proven") & table["useful_ms"].notna() & table["idle_ms"].notna()]
    return Section(
        id="ranks",
        title=say("Every GPU: work, waiting, idle"),
        leads=tuple(leads(counted)),
        blocks=(
            *(_figure(gathered, *one) for one in columns.traced_figures(counted)),
            _table(gathered, table, "traces"),
        ),
        notes=(
            say(
                "nsys shows a GPU that waits inside a collective as busy: its kernel runs. Waiting is what a GPU "
                "spends in a collective beyond what the last to arrive takes for it. Idle and waiting together are "
                "alike on all GPUs; how they are split says only which GPU was looked at."
            ),
            *columns.left_out(table),
        ),
    )


def leads(ranks: pd.DataFrame) -> Iterator[str]:
    """A sentence for each trace in which GPUs look unlike though they do the same."""
    for _, trace in ranks.groupby(["study", "case", "batch", "tracing"], sort=False):
        ordered = trace.sort_values("idle_ms").to_dict("records")
        least, most = ordered[0], ordered[-1]
        if most["idle_ms"] - least["idle_ms"] > _UNLIKE_RATIO * most["iter_median_ms"]:
            yield say(
                "{engine}, {model}, TP{layout}, batch {batch}{source}, graphs {graphs}: GPU {most} idles {most_ms} of "
                "{iter_ms} ms, GPU {least} only {least_ms} ms, though it does the same work: for {wait_ms} ms it waits "
                "for others inside collectives.",
                engine=shown.engine(most),
                model=most["model"],
                layout=shown.layout(most),
                batch=shown.batch(most),
                source=columns.source_of(most, ranks),
                graphs=read(str(most["graphs"])),
                most=most["rank"],
                most_ms=shown.number(most["idle_ms"]),
                iter_ms=shown.number(most["iter_median_ms"]),
                least=least["rank"],
                least_ms=shown.number(least["idle_ms"]),
                wait_ms=shown.number(least["wait_ms"]),
            )


def _figure(gathered: Gathered, what: str, file: str, ranks: pd.DataFrame) -> Graphic:
    title = say("{what}: what every GPU does in an iteration (traced)", what=what)
    return Graphic(
        name=f"ranks_{file}",
        draw=partial(plot.draw, gathered.with_gpu(ranks), mark=gathered.mark_of(ranks), title=title),
        alt=say(
            "{what}: what every GPU does in a traced iteration, graphs off above graphs on: useful work, busy waiting "
            "for another GPU, idle.",
            what=what,
        ),
        table=_table(gathered, ranks, f"ranks_{file}"),
        mark=gathered.short_mark_of(ranks),
    )


def _table(gathered: Gathered, table: pd.DataFrame, name: str) -> Table:
    return tabulate(
        table,
        [
            *columns.traced(),
            _told(say("rank"), lambda row: shown.count(row["rank"])),
            _told(say("iterations"), lambda row: shown.count(row["iterations"])),
            _told(say("iteration (ms)"), _iteration),
            _told(say("useful (ms)"), lambda row: shown.number(row["useful_ms"])),
            _told(say("waiting (ms)"), lambda row: shown.number(row["wait_ms"])),
            _told(say("idle (ms)"), lambda row: shown.number(row["idle_ms"])),
            _told(say("gap p50 / p90 / p99 (us)"), _gaps),
            _told(say("launches"), lambda row: shown.number(row["launches"])),
            _told(say("graph launches"), lambda row: shown.number(row["graph_launches"])),
            _told(say("last to arrive (%)"), lambda row: shown.number(100 * row["straggler_ratio"])),
            (say("label"), shown.proof),
            *columns.source(gathered),
        ],
        name=name,
        caption=say(
            "Every trace and GPU, medians over decode iterations (iteration: median, [p10, p90]). Gaps: idle time "
            "before an operation. Last to arrive: share of the collectives in which the others waited for this GPU"
        ),
        mark=gathered.short_mark_of(table),
        void=shown.void,
    )


def _told(heading: str, cell: Cell) -> tuple[str, Cell]:
    """A column that a refused trace has nothing in."""
    return heading, lambda row: shown.NONE if row["proof"] == "refused" else cell(row)


def _iteration(row: Row) -> str:
    return shown.interval(row["iter_median_ms"], row["iter_p10_ms"], row["iter_p90_ms"])


def _gaps(row: Row) -> str:
    return " / ".join(shown.number(row[f"gap_{quantile}_us"]) for quantile in ("p50", "p90", "p99"))
