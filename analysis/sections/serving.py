"""Serving: throughput, time to first token and time per token by load, graphs off and on."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis import served, shown
from analysis.blocks import Graphic, Row, Section, Table, tabulate
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import load
from analysis.sections import columns


def build(gathered: Gathered) -> Section | None:
    """None where nothing was served."""
    if gathered.served.empty:
        return None
    drawn = [_figure(gathered, *one) for one in columns.figures_by_tp(gathered.points)]
    return Section(
        id="serving",
        title=say("Under load"),
        leads=tuple(served.answers(gathered.served)),
        blocks=(*drawn, _table(gathered, gathered.served, "serving")),
        notes=(
            *columns.chosen_by_load(gathered.points),
            *(text for name, study in gathered.studies for text in served.caveats(study, name)),
        ),
    )


def short_table(gathered: Gathered) -> Table:
    """What a study that only served has on its first screen: a row a load, what decides whether graphs should be on."""
    return tabulate(
        gathered.served,
        [
            *columns.layout(),
            (say("load"), _load),
            (say("verdict"), _verdict),
            columns.both(say("output (tokens/s)"), "output_tok_s"),
            columns.both(say("TTFT p50 (ms)"), "ttft_ms_p50"),
            columns.both(say("TPOT p50 (ms)"), "tpot_ms_p50"),
            (say("TPOT off / on (ratio)"), lambda row: shown.gain_of(row, "tpot")),
            columns.both(say("starts"), "starts_count"),
            *columns.source(gathered),
        ],
        name="answer_served",
        caption=say("Serving, graphs off / on: medians over engine starts of each load"),
        mark=gathered.short_mark_of(gathered.served),
        caution=shown.caution,
    )


def _verdict(row: Row) -> str:
    return served.verdict(row) if min(row["off_starts_count"], row["on_starts_count"]) > 0 else shown.NONE


def _figure(gathered: Gathered, what: str, file: str, points: pd.DataFrame) -> Graphic:
    numeric = {name: pd.to_numeric(points[name]) for name in ("output_tok_s", "ttft_ms_p50", "tpot_ms_p50")}
    loads = {name: pd.to_numeric(points[name]).astype("float64") for name in ("rate", "concurrency")}
    told = points.assign(**numeric, **loads)
    beside = gathered.served.merge(points[served.KEYS].drop_duplicates(), on=served.KEYS)
    return Graphic(
        name=f"load_{file}",
        draw=partial(load.draw, told, mark=gathered.mark_of(told), title=say("{what}: serving by load", what=what)),
        alt=say(
            "{what}: output throughput, time to first token and time per token by load, graphs off and on. Points are "
            "engine starts, lines medians over starts.",
            what=what,
        ),
        table=_table(gathered, beside, f"load_{file}"),
        mark=gathered.short_mark_of(told),
    )


def _load(row: Row) -> str:
    if row["rate"] > 0:
        return say("{rate:g} requests/s", rate=row["rate"])
    return say("{count:.0f} in flight", count=row["concurrency"])


def _table(gathered: Gathered, table: pd.DataFrame, name: str) -> Table:
    return tabulate(
        table,
        [
            *columns.layout(),
            (say("load"), _load),
            columns.both(say("answered (requests/s)"), "qps"),
            columns.both(say("output (tokens/s)"), "output_tok_s"),
            columns.both(say("TTFT p50 (ms)"), "ttft_ms_p50"),
            columns.both(say("TTFT p99 (ms)"), "ttft_ms_p99"),
            columns.both(say("TPOT p50 (ms)"), "tpot_ms_p50"),
            columns.both(say("ITL p99 (ms)"), "itl_ms_p99"),
            columns.both(say("goodput (requests/s)"), "goodput_qps"),
            (say("TPOT off / on (ratio)"), lambda row: shown.gain_of(row, "tpot")),
            columns.both(say("starts"), "starts_count"),
            *columns.source(gathered),
        ],
        name=name,
        caption=say(
            "Serving, graphs off / on: medians over engine starts of each load point; the load is requests a second "
            "(Poisson) or requests kept in flight. What is answered and put out a second counts until the last answer. "
            "A saturated server's latencies grow with the length of the run"
        ),
        mark=gathered.short_mark_of(table),
        caution=shown.caution,
    )
