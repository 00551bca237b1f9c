"""What graphs cost in memory and time, and the cliff: batches beyond the largest one that has a graph."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from analysis import headline, shown
from analysis.blocks import Graphic, Section, Table, tabulate
from analysis.figures import layout_title
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import room
from analysis.recordings import VARIANT
from analysis.sections import columns

_KEYS = ["study", "made_by", "engine", "model", "tp", *VARIANT]


def build(gathered: Gathered) -> Section | None:
    """None where no engine told of either."""
    costs = gathered.capacity
    told = costs[costs[["on_kv_tokens", "capture_s", "graph_gib", "on_ready_s"]].notna().any(axis=1)]
    cliff = cliffs(gathered.countable)
    if told.empty and cliff.empty:
        return None
    return Section(
        id="capacity",
        title=say("What graphs cost, and where they end"),
        leads=(*_costs(told), *_cliffs(cliff)),
        blocks=(
            *((_figure(gathered, told), _table(gathered, told, "capacity")) if len(told) else ()),
            *((_cliff_table(gathered, cliff),) if len(cliff) else ()),
        ),
    )


def cliffs(windows: pd.DataFrame) -> pd.DataFrame:
    """Graphs on just below and just above the largest captured batch: _KEYS, captured_batch, below and above.

    below and above are batches, below_ms and above_ms their medians over starts, off_ms graphs off at `above` (NaN
    where it was not measured). A row a configuration that was measured on both sides.
    """
    starts = headline.per_start(windows)
    captured = windows.drop_duplicates("case").set_index("case")["captured_batch"]
    starts = starts.assign(captured_batch=starts["case"].map(captured))
    rows = []
    for key, found in starts.groupby(_KEYS, sort=True):
        on, off = (found[found["graphs"] == graphs] for graphs in ("on", "off"))
        largest = on["captured_batch"].max()
        medians = on.groupby("batch")["tpot_ms"].median()
        under, over = medians[medians.index <= largest], medians[medians.index > largest]
        if len(under) and len(over):
            rows.append({
                **dict(zip(_KEYS, key, strict=True)), "captured_batch": largest,
                "below": under.index[-1], "below_ms": under.iloc[-1], "above": over.index[0], "above_ms": over.iloc[0],
                "off_ms": off.loc[off["batch"] == over.index[0], "tpot_ms"].median(),
            })  # fmt: skip
    names = [*_KEYS, "captured_batch", "below", "below_ms", "above", "above_ms", "off_ms"]
    return pd.DataFrame(rows, columns=names)


def _costs(told: pd.DataFrame) -> Iterator[str]:
    # Less than half of a thousandth is no cost worth a sentence; the table has it.
    for row in told[(told["kv_ratio"] - 1).abs() >= 0.0005].to_dict("records"):
        yield say(
            "{engine}, {model}, {layout}{source}: with graphs on the KV cache holds {kept} % of the tokens that it "
            "holds with graphs off.",
            engine=shown.engine(row),
            model=row["model"],
            layout=layout_title(row["tp"], row["split"]),
            source=columns.source_of(row, told),
            kept=f"{100 * row['kv_ratio']:.1f}",
        )


def _cliffs(cliff: pd.DataFrame) -> Iterator[str]:
    for row in cliff.to_dict("records"):
        yield say(
            "{engine}, {model}, {layout}{source}: the largest batch with a graph is {captured:.0f}; from batch {below} "
            "to {above} an iteration goes from {below_ms} to {above_ms} ms.",
            engine=shown.engine(row),
            model=row["model"],
            layout=layout_title(row["tp"], row["split"]),
            source=columns.source_of(row, cliff),
            captured=row["captured_batch"],
            below=row["below"],
            above=row["above"],
            below_ms=shown.number(row["below_ms"]),
            above_ms=shown.number(row["above_ms"]),
        )


def _figure(gathered: Gathered, costs: pd.DataFrame) -> Graphic:
    title = say("Room for the KV cache, and time until an engine can be asked")
    return Graphic(
        name="room",
        draw=partial(room.draw, costs, mark=gathered.mark_of(costs), title=title),
        alt=say("Tokens that the KV cache holds, and seconds until an engine can be asked, graphs off and on."),
        table=_table(gathered, costs, "room"),
        mark=gathered.short_mark_of(costs),
    )


def _table(gathered: Gathered, costs: pd.DataFrame, name: str) -> Table:
    return tabulate(
        costs,
        [
            *columns.layout(),
            columns.figure(say("sizes captured"), "captured"),
            columns.both(say("KV tokens"), "kv_tokens"),
            columns.figure(say("KV tokens on / off (ratio)"), "kv_ratio"),
            columns.figure(say("capture (s)"), "capture_s"),
            columns.figure(say("graphs (GiB)"), "graph_gib"),
            columns.both(say("until ready (s)"), "ready_s"),
            columns.both(say("starts"), "starts_count"),
            *columns.source(gathered),
        ],
        name=name,
        caption=say(
            "What graphs cost, graphs off / on, by the engines' own word: KV-cache tokens of a replica, and of the "
            "worker that needed most the time to capture and the memory that graphs hold"
        ),
        mark=gathered.short_mark_of(costs),
    )


def _cliff_table(gathered: Gathered, cliff: pd.DataFrame) -> Table:
    return tabulate(
        cliff,
        [
            *columns.layout(),
            columns.figure(say("largest batch with a graph"), "captured_batch"),
            (say("batch below"), lambda row: str(row["below"])),
            columns.figure(say("graphs on, below (ms)"), "below_ms"),
            (say("batch above"), lambda row: str(row["above"])),
            columns.figure(say("graphs on, above (ms)"), "above_ms"),
            columns.figure(say("graphs off, above (ms)"), "off_ms"),
            *columns.source(gathered),
        ],
        name="cliff",
        caption=say(
            "The cliff: iteration time (TPOT, untraced) on either side of the largest batch that has a graph, medians "
            "over engine starts"
        ),
        mark=gathered.short_mark_of(cliff),
    )
