"""CUDA graphs and torch.compile set apart: what either does alone, where a study has the four corners."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from analysis import headline, shown
from analysis.blocks import Graphic, Section, Table, tabulate
from analysis.figures import engine_title, layout_title
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import switches
from analysis.sections import columns

_CORNERS = [(compiled, graphs) for compiled in ("off", "on") for graphs in ("off", "on")]
KEYS = ["study", "made_by", "engine", "model", "batch", "tp", "settings", "split"]
CORNERS = ("neither_ms", "graphs_ms", "compile_ms", "both_ms")


def build(gathered: Gathered) -> Section | None:
    """None where no study set the two switches apart."""
    apart = gathered.countable[gathered.countable["compile"].isin(["off", "on"])]
    starts = headline.per_start(apart)
    found = corners(starts)
    if found.empty:
        return None
    whole = starts.merge(found[KEYS], on=KEYS)
    drawn = [_figure(gathered, *one) for one in columns.figures_by_tp(whole, "compile")]
    return Section(
        id="switches",
        title=say("CUDA graphs and torch.compile, set apart"),
        leads=tuple(_leads(found)),
        blocks=(*drawn, _table(gathered, found, "switches")),
        notes=columns.chosen_by_batch(whole.assign(compile="engine")),
    )


def corners(starts: pd.DataFrame) -> pd.DataFrame:
    """KEYS and CORNERS, the median time of each corner, a row a configuration that has all four."""
    times = starts.groupby([*KEYS, "compile", "graphs"])["tpot_ms"].median().unstack(["compile", "graphs"])
    if not set(_CORNERS) <= set(times.columns):
        return pd.DataFrame(columns=[*KEYS, *CORNERS])
    found = times[_CORNERS].dropna()
    return found.set_axis(list(CORNERS), axis=1).reset_index()


def _leads(found: pd.DataFrame) -> Iterator[str]:
    for row in found.to_dict("records"):
        yield say(
            "{engine}, {model}, {layout}, batch {batch}{source}: with neither {neither_ms} ms, with torch.compile "
            "alone {compile_ms} ms, with CUDA graphs alone {graphs_ms} ms, with both {both_ms} ms.",
            engine=engine_title(row["engine"]),
            model=row["model"],
            layout=layout_title(row["tp"], row["split"]),
            batch=row["batch"],
            source=columns.source_of(row, found),
            **{corner: shown.number(row[corner]) for corner in CORNERS},
        )


def _figure(gathered: Gathered, what: str, file: str, starts: pd.DataFrame) -> Graphic:
    title = say("{what}: CUDA graphs and torch.compile, each off and on", what=what)
    return Graphic(
        name=f"switches_{file}",
        draw=partial(switches.draw, gathered.with_gpu(starts), mark=gathered.mark_of(starts), title=title),
        alt=say(
            "{what}: iteration time by batch with CUDA graphs and torch.compile each off and on. Filled marks are "
            "compiled, open ones are not.",
            what=what,
        ),
        table=_table(gathered, corners(starts), f"switches_{file}"),
        mark=gathered.short_mark_of(starts),
    )


def _table(gathered: Gathered, found: pd.DataFrame, name: str) -> Table:
    return tabulate(
        found.assign(compile="engine"),
        [
            *columns.configuration(),
            columns.figure(say("neither (ms)"), "neither_ms"),
            columns.figure(say("torch.compile alone (ms)"), "compile_ms"),
            columns.figure(say("CUDA graphs alone (ms)"), "graphs_ms"),
            columns.figure(say("both (ms)"), "both_ms"),
            (say("graphs, not compiled (ratio)"), lambda row: shown.gain(row["neither_ms"] / row["graphs_ms"])),
            (say("graphs, compiled (ratio)"), lambda row: shown.gain(row["compile_ms"] / row["both_ms"])),
            *columns.source(gathered),
        ],
        name=name,
        caption=say(
            "Iteration time (TPOT, untraced) with CUDA graphs and torch.compile each off and on: medians over engine "
            "starts. The ratios say how many times faster graphs make decoding"
        ),
        mark=gathered.short_mark_of(found),
    )
