"""Checks of what nsys recorded: every call and node, each graph launch once, and starts that the calls explain."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.checks import Check, checked
from analysis.iterations import Trace
from analysis.words import counted

# Operations that start neither when their launch allows nor when the GPU is free again have a cause that is not known.
UNEXPLAINED_MOST = 0.1
NODES = "--cuda-graph-trace=node"
"""The option of nsys that records what runs in graphs."""


def complete(trace: Trace) -> Iterator[Check]:
    """Every operation has its call, every graph its nodes, every launch of a graph as many."""
    yield _joined(trace)
    yield _recording(trace)
    yield from _replays(trace)


def lawful(trace: Trace, law: Mapping[str, Any]) -> Iterator[Check]:
    """Operations start when the law of launching says, as account.find fitted it; nothing where it did not."""
    if law["fit_ratio"] is None:
        return
    steady = int((trace.operations["iteration"] >= 0).sum())
    unexplained = (1 - law["fit_ratio"]) * law["operations"] / max(steady, 1)
    yield checked(
        "launch law",
        unexplained <= UNEXPLAINED_MOST,
        f"{100 * unexplained:.1f} % of all operations start elsewhen than the launch law says "
        f"({100 * law['fit_ratio']:.1f} % of the {law['operations']} outside graphs fit)",
        f"at most {100 * UNEXPLAINED_MOST:.0f} %",
        "record the calls of all threads, and one engine on the GPUs alone",
    )


def _joined(trace: Trace) -> Check:
    steady = (trace.operations["iteration"] >= 0).to_numpy(bool)
    lost = int(((trace.operations["call"] < 0).to_numpy(bool) & steady).sum())
    return checked(
        "launches joined",
        lost == 0,
        f"{lost} of {int(steady.sum())} operations without the call that launched them",
        "a call for every operation of the steady iterations",
        "record the calls of all processes: nsys profile --trace=cuda,nvtx --trace-fork-before-exec=true, and begin "
        "the capture some steps earlier",
    )


def _recording(trace: Trace) -> Check:
    how = trace.activity.graph_tracing
    found = {
        "node": "every node",
        "none": "no graph ran",
        "graph": "a launch as one operation: what ran in it is unseen",
        "unseen": "the calls alone: what the graphs ran is unseen",
    }
    return checked(
        "graph nodes",
        how in ("node", "none"),
        found.get(how, how),
        "every node of every graph launch, for causes inside graphs",
        f"record with: nsys profile {NODES}",
    )


def _replays(trace: Trace) -> Iterator[Check]:
    """Every graph launch counts once, with as many nodes as any other launch of that graph."""
    if trace.activity.graph_tracing != "node":
        return
    launches = _graph_launches(trace)
    counts = launches.groupby(["rank", "graph"])["nodes"].agg(["min", "max", "size"])
    uneven = counts[counts["min"] != counts["max"]]
    empty = _empty_launches(trace, launches)
    launched, graphs = counted(len(launches), "launch"), counted(len(counts), "graph")
    found = [f"{launched} of {graphs}, {counts['min'].min()} to {counts['max'].max()} nodes each"]
    if len(uneven):
        first = uneven.iloc[0]
        found.append(f"{counted(len(uneven), 'graph')} ran {first['min']} nodes once and {first['max']} another time")
    if empty:
        found.append(f"{counted(empty, 'launch')} ran no node that was recorded")
    yield checked(
        "graph launches",
        not len(uneven) and not empty,
        "; ".join(found),
        "as many nodes in every launch of a graph, and nodes in all of them",
        f"record a shorter window with {NODES}: nsys drops what its buffers cannot hold",
    )


def _graph_launches(trace: Trace) -> pd.DataFrame:
    """The graph launches that ran in the steady iterations: rank, call, graph (its first node), nodes."""
    operations = trace.operations
    node, call = (operations[name].to_numpy(np.int64) for name in ("graph_node", "call"))
    graphed = np.flatnonzero((node >= 0) & (call >= 0))
    steady = graphed[operations["iteration"].to_numpy(np.int64)[graphed] >= 0]
    size = len(trace.activity.calls)
    nodes = np.bincount(call[graphed], minlength=size)
    first, rank = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    # Of several values for one place the last one stays: the first node in order of start.
    backwards = graphed[::-1]
    first[call[backwards]] = node[backwards]
    rank[call[backwards]] = operations["rank"].to_numpy(np.int64)[backwards]
    ran = np.flatnonzero(np.bincount(call[steady], minlength=size))
    return pd.DataFrame({"rank": rank[ran], "call": ran, "graph": first[ran], "nodes": nodes[ran]})


def _empty_launches(trace: Trace, launches: pd.DataFrame) -> int:
    """Graph launches between the first and the last of a rank's steady ones of which nothing was recorded."""
    calls = trace.activity.calls
    ran = np.zeros(len(calls), bool)
    ran[np.unique(trace.operations["call"].to_numpy(np.int64)[(trace.operations["call"] >= 0).to_numpy(bool)])] = True
    silent = np.flatnonzero((calls["kind"] == "graph").to_numpy(bool) & ~ran)
    starts_ns, of_rank = calls["start_ns"].to_numpy(np.int64), calls["rank"].to_numpy(np.int64)
    between = 0
    for rank, mine in launches.groupby("rank")["call"]:
        at = starts_ns[mine.to_numpy(np.int64)]
        lost = starts_ns[silent[of_rank[silent] == rank]]
        between += int(((lost > at.min()) & (lost < at.max())).sum())
    return between
