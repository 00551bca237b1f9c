"""Iteration time by tensor-parallel size and by batch, every engine start a point."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis import headline, shown
from analysis.blocks import Graphic, Section, Table, tabulate
from analysis.gathered import Gathered
from analysis.language import read, say
from analysis.plots import batches, iteration_time
from analysis.recordings import VARIANT
from analysis.sections import columns, switches


def build(gathered: Gathered) -> Section | None:
    """None where nothing that counts was measured untraced."""
    countable = gathered.countable
    if countable.empty:
        return None
    starts = headline.per_start(countable)
    captured = countable.drop_duplicates("case").set_index("case")["captured_batch"]
    starts = _without_corners(starts.assign(captured_batch=starts["case"].map(captured)))
    if starts.empty:
        return None
    return Section(
        id="iterations",
        title=say("Iteration time by TP and by batch"),
        blocks=(
            *(_by_tp(gathered, *one) for one in columns.figures_of(_ends(starts))),
            *(_by_batch(gathered, *one) for one in columns.figures_by_tp(_several_batches(starts))),
        ),
        notes=columns.chosen_by_batch(_several_batches(starts)),
    )


def _without_corners(starts: pd.DataFrame) -> pd.DataFrame:
    """What does not belong to four corners of graphs and torch.compile, which have a section of their own."""
    shown = switches.corners(starts)[switches.KEYS].drop_duplicates()
    marked = starts.merge(shown.assign(shown=True), on=switches.KEYS, how="left")
    return marked[marked["shown"].isna() | (marked["compile"] == "engine")].drop(columns="shown")


def _several_batches(starts: pd.DataFrame) -> pd.DataFrame:
    """Of the starts those of models that were measured at more than one batch."""
    return starts[starts.groupby(["model", *VARIANT])["batch"].transform("nunique") > 1]


def _ends(starts: pd.DataFrame) -> pd.DataFrame:
    """Of several batches the smallest and the largest, where there are several TPs of them: batches shows the others.

    A batch at one TP alone would be a figure of one place; a model that has only one batch is shown all the same.
    """
    sizes = starts.groupby(["model", *VARIANT])
    batch, several = starts["batch"], sizes["batch"].transform("nunique") > 1
    end = (batch == sizes["batch"].transform("min")) | (batch == sizes["batch"].transform("max"))
    tps_count = starts.groupby(["model", *VARIANT, "batch"])["tp"].transform("nunique")
    return starts[~several | (end & (tps_count > 1))]


def _by_tp(gathered: Gathered, what: str, file: str, starts: pd.DataFrame) -> Graphic:
    title = say("{what}: iteration time by tensor-parallel size", what=what)
    return Graphic(
        name=f"iteration_time_{file}",
        draw=partial(iteration_time.draw, starts, mark=gathered.mark_of(starts), title=title),
        alt=say(
            "{what}: iteration time by tensor-parallel size. Points are engine starts, lines medians, whiskers the "
            "range over starts, labels off / on.",
            what=what,
        ),
        table=_table(gathered, starts, f"iteration_time_{file}"),
        mark=gathered.short_mark_of(starts),
    )


def _by_batch(gathered: Gathered, what: str, file: str, starts: pd.DataFrame) -> Graphic:
    title = say("{what}: iteration time by batch", what=what)
    return Graphic(
        name=f"batches_{file}",
        draw=partial(batches.draw, gathered.with_gpu(starts), mark=gathered.mark_of(starts), title=title),
        alt=say(
            "{what}: iteration time by batch, graphs off and on. Points are engine starts, lines medians over starts; "
            "beyond a dotted line no size has a graph.",
            what=what,
        ),
        table=_table(gathered, starts, f"batches_{file}"),
        mark=gathered.short_mark_of(starts),
    )


def _table(gathered: Gathered, starts: pd.DataFrame, name: str) -> Table:
    times = (
        starts.groupby([*headline.PAIR_KEYS, "graphs"], sort=False)["tpot_ms"]
        .agg(["median", "min", "max", "size"])
        .reset_index()
    )
    return tabulate(
        times,
        [
            *columns.configuration(),
            (say("graphs"), lambda row: read(str(row["graphs"]))),
            (say("median (ms)"), lambda row: shown.number(row["median"])),
            (say("lowest, highest (ms)"), lambda row: shown.bracket(row["min"], row["max"])),
            (say("starts"), lambda row: str(row["size"])),
            *columns.source(gathered),
        ],
        name=name,
        caption=say("Iteration time (TPOT, untraced) over engine starts"),
        mark=gathered.short_mark_of(starts),
    )
