"""The break-even map: above which host time a launch graphs pay, by GPU, beside what hosts took.

Break-evens are PREDICTED, what hosts took is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from analysis import breakeven as crossing
from analysis import claims, foretold, launch_map, shown
from analysis.blocks import Graphic, Row, Section, Table, tabulate
from analysis.figures import engine_title
from analysis.gathered import Gathered
from analysis.language import say
from analysis.pairs import variant
from analysis.recordings import VARIANT
from analysis.sections import columns

_BATCH_COLUMNS = (
    "study", "engine", "model", "tp", *VARIANT, "predicted_batch", "claimed", "measured_up_to", "measured_ratio",
)  # fmt: skip


def build(gathered: Gathered) -> Section | None:
    """None where neither a fit trace with graphs off has measured times, nor several batches were measured."""
    pairs = foretold.recorded(gathered)
    rows = foretold.breakevens(pairs)
    batches = _batches(gathered)
    if not rows and batches.empty:
        return None
    return Section(
        id="breakeven",
        title=say("Break-even: when launching is the longer side"),
        blocks=(
            *(_figure(gathered, model, rows) for model in sorted({row["model"] for row in rows})),
            *((_table(gathered, rows, "breakeven"),) if rows else ()),
            *((_batch_table(gathered, batches),) if len(batches) else ()),
        ),
        notes=(
            say(
                "PREDICTED: recorded iterations are played again with the work that another GPU's bandwidth would "
                "allow. Above the break-even launching is the longer side, and graphs pay."
            ),
            *_left_out(crossing.left_out(pairs), batches),
        ),
    )


def _left_out(pairs: list[dict[str, Any]], batches: pd.DataFrame) -> Iterator[str]:
    """Which configurations have nothing foretold here, and why: a sentence a reason."""
    every: list[Row] = [*pairs, *batches.to_dict("records")]
    for why, mine in claims.reasons(every, engine_title).items():
        yield say(
            "Left out: {configurations}. Not claimed: {why}.",
            configurations="; ".join(dict.fromkeys(f"{row['model']} TP{row['tp']}{variant(row)}" for row in mine)),
            why=why,
        )


def _batches(gathered: Gathered) -> pd.DataFrame:
    windows = gathered.countable
    rows = [
        {"study": study, **row}
        for (study, _), mine in windows.groupby(["study", "made_by"])
        for row in crossing.batches(mine)
    ]
    return pd.DataFrame(rows, columns=list(_BATCH_COLUMNS))


def _figure(gathered: Gathered, model: str, every: list[dict[str, Any]]) -> Graphic:
    rows = [row for row in every if row["model"] == model]
    table = foretold.breakeven_table(rows)
    return Graphic(
        name=columns.file_name(f"breakeven_{model}"),
        draw=partial(
            launch_map.draw,
            rows,
            mark=gathered.mark_of(table),
            title=say("{model}: break-even, PREDICTED", model=model),
        ),
        alt=say(
            "{model}: how long a GPU hides a launch, by GPU and TP, PREDICTED (bars with intervals), and how long "
            "recorded hosts take for one, measured (lines). Where the line is above the bar, graphs pay.",
            model=model,
        ),
        table=_table(gathered, rows, columns.file_name(f"breakeven_{model}")),
        mark=say("PREDICTED from: {mark}", mark=gathered.short_mark_of(table)),
    )


def _table(gathered: Gathered, rows: list[dict[str, Any]], name: str) -> Table:
    found = foretold.breakeven_table(rows)
    sides = {"launch": say("launching"), "gpu": say("the GPU"), "undecided": say("undecided")}
    return tabulate(
        found,
        [
            *columns.configuration(),
            (say("GPU"), lambda row: str(row["gpu"])),
            (
                say("PREDICTED break-even (us a launch)"),
                lambda row: shown.interval(
                    row["predicted_breakeven_us"], row["predicted_low_us"], row["predicted_high_us"]
                ),
            ),
            columns.figure(say("recorded host, measured (us a launch)"), "measured_launch_us"),
            (say("PREDICTED longer side"), lambda row: sides.get(row["predicted_bound"], shown.NONE)),
            *columns.source(gathered),
        ],
        name=name,
        caption=say("Break-even by GPU, PREDICTED, beside what the recorded host takes for a launch"),
        mark=say("PREDICTED from: {mark}", mark=gathered.short_mark_of(found)),
    )


def _batch_table(gathered: Gathered, batches: pd.DataFrame) -> Table:
    return tabulate(
        batches,
        [
            *columns.layout(),
            columns.figure(say("largest batch measured"), "measured_up_to"),
            (say("off / on there, measured (ratio)"), lambda row: shown.gain(row["measured_ratio"])),
            (say("PREDICTED GPU-bound from batch, a guess"), _from_batch),
            *columns.source(gathered),
        ],
        name="breakeven_batches",
        caption=say(
            "Up to which batch launching stays the longer side: measured at the largest batch, and PREDICTED by a line "
            "through the times with graphs on, without an interval"
        ),
        mark=gathered.short_mark_of(batches),
    )


def _from_batch(row: Row) -> str:
    return shown.number(row["predicted_batch"]) if row["claimed"] else say("not claimed")
