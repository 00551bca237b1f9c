"""What an iteration's time went to, along the one chain of work over the ranks that decided it; the parts add up.

A collective holds all ranks until the last has arrived, so between two collectives the time is that rank's: what it
computed, why it stood idle. Each collective then takes its intrinsic time. What the others did meanwhile, spinning
included, delayed nothing. From anchor to anchor the path is one piece: an iteration starts on the rank that the one
before ended on, so that the walls of all iterations add up to the time that passed.
"""

import numpy as np
import pandas as pd

from analysis import tables
from analysis.collectives import Matched
from analysis.intervals import Ints, covered_ns, rows_by
from analysis.iterations import Trace
from analysis.tables import Column

PATH = (
    Column(name="iteration", dtype="int64", meaning="number of the decode iteration"),
    Column(name="wall_us", dtype="float64", meaning="from anchor end to anchor end, along the path"),
    Column(name="compute_us", dtype="float64", meaning="anything but collectives ran on the rank followed"),
    Column(name="collective_us", dtype="float64", meaning="collectives, from the last rank's arrival"),
    Column(name="launch_idle_us", dtype="float64", meaning="idle before operations whose launch came late"),
    Column(
        name="graph_gap_us",
        dtype="float64",
        meaning="idle between nodes of one graph launch; NaN where these are unseen",
    ),
    Column(name="other_gap_us", dtype="float64", meaning="idle for any other cause"),
    Column(name="residual_us", dtype="float64", meaning="wall less these parts: what ranks see differently"),
    Column(name="launch_exposed_us", dtype="float64", meaning="of launch_idle_us, what earlier launches would save"),
)
_PARTS = {
    "compute_us": "compute_ns",
    "collective_us": "collective_ns",
    "launch_idle_us": "launch_ns",
    "graph_gap_us": "graph_ns",
    "other_gap_us": "other_ns",
}
_CAUSES = ("launch", "graph")
SEGMENTS = (
    Column(name="iteration", dtype="int64", meaning="number of the decode iteration"),
    Column(name="rank", dtype="int64", meaning="the rank followed"),
    Column(name="start_ns", dtype="int64", meaning="end of a collective, or of the anchor, on that rank"),
    Column(name="end_ns", dtype="int64", meaning="arrival at the next collective, or end of the anchor, on that rank"),
    Column(name="collective_ns", dtype="int64", meaning="intrinsic time of the collective at its end; 0 at an anchor"),
)


def find(trace: Trace, gaps: pd.DataFrame, matched: Matched) -> pd.DataFrame:
    """The parts of each steady iteration along the critical path, in the columns of PATH.

    `gaps` is what causes.label returns for the trace, `matched` what collectives.match does. Empty where ranks
    disagree on their collectives: then no path is known. Where graphs were recorded whole they are compute as a whole,
    and gaps inside them are not known.
    """
    path = segments(trace, matched)
    spent = pd.concat([path.assign(compute_ns=covered_ns(trace.busy, path)), _idle_ns(path, gaps)], axis=1)
    by_iteration = spent.groupby("iteration")
    found = by_iteration[list(_PARTS.values())].sum().div(1e3).set_axis(list(_PARTS), axis=1)
    if trace.activity.graph_tracing == "graph":
        found["graph_gap_us"] = np.nan
    wall_us = (by_iteration["end_ns"].last() - by_iteration["start_ns"].first()) / 1e3
    whole = found.assign(
        wall_us=wall_us,
        residual_us=wall_us - found.sum(axis=1),
        launch_exposed_us=by_iteration["exposed_ns"].sum() / 1e3,
    )
    return tables.conform(whole.reset_index(), PATH, "critical path")


def typical(path: pd.DataFrame) -> dict[str, float]:
    """The median over iterations of each column of PATH, in us; NaN without iterations.

    Medians of parts need not add up to the median wall: the residual is what makes them, so that these do, without
    those that are not known.
    """
    medians = {str(name): float(value) for name, value in path.drop(columns="iteration").median().items()}
    known = [medians[part] for part in _PARTS if not np.isnan(medians[part])]
    return medians | {"residual_us": medians["wall_us"] - sum(known)}


def segments(trace: Trace, matched: Matched) -> pd.DataFrame:
    """The stretches of the path between collectives, in order, in the columns of SEGMENTS."""
    if matched.disagreement is not None:
        return tables.conform(pd.DataFrame(columns=[column.name for column in SEGMENTS]), SEGMENTS, "segments")
    ranks, windows = len(trace.ranks), trace.iterations
    numbers = windows.loc[windows["rank"] == 0, "iteration"].to_numpy(np.int64)
    begins, closes = (windows[name].to_numpy(np.int64).reshape(ranks, -1) for name in ("start_ns", "end_ns"))
    # Of collectives side by side, on two streams, the path goes on from the later end.
    ends = np.maximum.accumulate(matched.instances["end_ns"].to_numpy(np.int64).reshape(-1, ranks))
    events = _events(matched.instances, numbers, closes)
    of_rank, iteration = events["rank"].to_numpy(np.int64), events["iteration"].to_numpy(np.int64)
    first = np.concatenate(([True], iteration[1:] != iteration[:-1]))
    before = np.where(first, 0, events["instance"].shift(fill_value=0))
    opened = begins[of_rank, np.searchsorted(numbers, iteration)]
    start_ns = np.where(first, opened, ends[before, of_rank] if len(ends) else opened)
    end_ns = np.maximum(events["start_ns"].to_numpy(np.int64), start_ns)
    left_ns = np.maximum(events["end_ns"].to_numpy(np.int64) - end_ns, 0)
    collective_ns = np.minimum(events["collective_ns"].to_numpy(np.int64), left_ns)
    found = events.assign(start_ns=start_ns, end_ns=end_ns, collective_ns=collective_ns)
    return tables.conform(found, SEGMENTS, "segments")


def _events(instances: pd.DataFrame, numbers: Ints, closes: Ints) -> pd.DataFrame:
    """What ends each segment: the last arrivals at collectives and, after those of its iteration, each anchor.

    `closes` is when the anchors end, ranks by iterations. An anchor is followed on the rank that the next iteration
    begins on, so that nothing is lost between the two; where there is no next, on the rank where it ends last.
    """
    arrivals = instances[instances["last"]].rename(columns={"intrinsic_ns": "collective_ns"})
    head = arrivals.groupby("iteration")["rank"].first().reindex(numbers + 1, fill_value=-1).to_numpy(np.int64)
    rank = np.where(head >= 0, head, closes.argmax(axis=0))
    close_ns = closes[rank, np.arange(len(numbers))]
    anchors = pd.DataFrame({"iteration": numbers, "rank": rank, "start_ns": close_ns, "end_ns": close_ns})
    anchors = anchors.assign(instance=len(instances), collective_ns=0)
    events = pd.concat([arrivals[anchors.columns], anchors])
    return events.sort_values(["iteration", "instance"], kind="stable").reset_index(drop=True)


def _idle_ns(path: pd.DataFrame, gaps: pd.DataFrame) -> pd.DataFrame:
    """Idle time within each segment by cause: launch_ns (of it, exposed_ns), graph_ns, other_ns; its rows.

    No gap reaches beyond its segment: on the rank a collective or the anchor ended where that begins, and one begins
    or ends where that ends.
    """
    sums = np.zeros((len(path), 4), np.int64)
    idle = gaps.loc[gaps["gap_ns"] > 0, ["rank", "start_ns", "gap_ns", "cause", "launch_exposed_ns"]]
    of_rank = rows_by(idle["rank"].to_numpy(np.int64))
    for rank in path["rank"].unique():
        at, mine = np.flatnonzero(path["rank"] == rank), idle.iloc[of_rank(rank)]
        starts, ends = (path[name].to_numpy(np.int64)[at] for name in ("start_ns", "end_ns"))
        until = mine["start_ns"].to_numpy(np.int64)
        segment = np.searchsorted(starts, until, side="left") - 1
        within = (segment >= 0) & (until <= ends[segment])
        segment, mine = segment[within], mine[within]
        gap_ns, exposed_ns = mine["gap_ns"].to_numpy(np.int64), mine["launch_exposed_ns"].to_numpy(np.int64)
        launch_ns, graph_ns = (np.where((mine["cause"] == cause).to_numpy(bool), gap_ns, 0) for cause in _CAUSES)
        other_ns = gap_ns - launch_ns - graph_ns
        np.add.at(sums, at[segment], np.stack([launch_ns, graph_ns, other_ns, exposed_ns], axis=1))
    return pd.DataFrame(sums, columns=["launch_ns", "graph_ns", "other_ns", "exposed_ns"])
