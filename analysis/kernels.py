"""What a rank's time goes to, kernel by kernel and in groups of what they do; the parts add up to its useful time.

Operations overlap: a dependent launch (PDL) begins before what it follows ends, and then waits for it; a copy runs
beside compute; a collective spins until the last rank arrives. Summed durations count such time twice, or count
waiting as work. Here each instant belongs to one operation: of a stream to the one that began first, of several
streams to the one whose turn came first; a collective has its intrinsic time alone.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis import collectives, tables
from analysis.collectives import Matched
from analysis.groups import GROUPS, UNNAMED_POINTWISE, group
from analysis.intervals import Ints, latest_end_before
from analysis.iterations import Trace
from analysis.tables import Column, one_of

Floats = npt.NDArray[np.float64]

KERNELS = (
    Column(name="group", dtype="category", meaning=f"what it does, {one_of(GROUPS)}"),
    Column(name="kind", dtype="category", meaning=one_of(tables.KINDS)),
    Column(name="name", dtype="str", meaning="demangled kernel name, copy kind, or graph number"),
    Column(name="shapes", dtype="int64", meaning="how many grids and blocks it ran with"),
    Column(
        name="per_iteration", dtype="float64", meaning="how often it runs in an iteration of one rank (median rank)"
    ),
    Column(
        name="us_per_iteration", dtype="float64", meaning="useful time in an iteration, mean over ranks; NaN unknown"
    ),
    Column(name="in_graph_ratio", dtype="float64", meaning="share of them that were nodes of a graph"),
)
BY_GROUP = (
    Column(name="group", dtype="category", meaning=f"{one_of(GROUPS)}, in that order, those that ran"),
    Column(name="names", dtype="int64", meaning="how many different names"),
    Column(name="per_iteration", dtype="float64", meaning="operations in an iteration of one rank (sum of the names')"),
    Column(
        name="us_per_iteration", dtype="float64", meaning="useful time in an iteration, mean over ranks; NaN unknown"
    ),
    Column(name="share_ratio", dtype="float64", meaning="of the useful time of all groups; NaN where one is unknown"),
)
_GROUP_DTYPE = pd.CategoricalDtype(list(GROUPS))
# What is fused without a name and nearly always runs right before the cache is written is the rotary embedding.
_BEFORE_CACHE = 0.9


def table(trace: Trace, matched: Matched | None = None) -> pd.DataFrame:
    """What ran in the steady iterations, in the columns of KERNELS: a row a group and name, longest time first.

    us_per_iteration adds up to the useful time of the ranks (busy without waiting in collectives), which is what
    collectives.waits reports. Where the ranks' collectives do not match, theirs is NaN; where graphs are unseen, all
    are. `matched` is what
    collectives.match returns for the trace, for callers that have it.
    """
    matched = collectives.match(trace) if matched is None else matched
    what = trace.activity.signatures
    counts, useful_ns, graphed = _by_signature(trace, matched)
    ran = np.flatnonzero(counts.sum(axis=0))
    rows = what.iloc[ran][["kind", "name"]].assign(group=_groups(trace, ran))
    iterations = len(trace.iterations) / len(trace.ranks)
    keys = ["group", "kind", "name"]
    code, _ = pd.factorize(pd.MultiIndex.from_frame(rows[keys]))
    first = rows.iloc[np.unique(code, return_index=True)[1]]
    per_rank = np.stack([np.bincount(code, weights=mine[ran]) for mine in counts]) / iterations
    found = first[keys].assign(
        shapes=np.bincount(code),
        per_iteration=np.median(per_rank, axis=0),
        us_per_iteration=np.bincount(code, weights=useful_ns[ran]) / (len(trace.iterations) * 1e3),
        in_graph_ratio=np.bincount(code, weights=graphed[ran]) / np.bincount(code, weights=counts.sum(axis=0)[ran]),
    )
    if matched.disagreement is not None:
        # Beside graphs of which nothing was recorded, no kernel's own time is known.
        unknown = (found["group"] == "collective") | (trace.activity.graph_tracing == "unseen")
        found.loc[unknown, "us_per_iteration"] = np.nan
    found = found.astype({"group": _GROUP_DTYPE})
    found = found.sort_values(["us_per_iteration", "per_iteration", "name"], ascending=[False, False, True])
    return tables.conform(found, KERNELS, "kernels")


def by_group(kernels: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` summed over each group that ran, in the columns of BY_GROUP."""
    grouped = kernels.groupby("group", observed=True)
    found = grouped.agg(names=("name", "size"), per_iteration=("per_iteration", "sum"))
    found["us_per_iteration"] = grouped["us_per_iteration"].sum(min_count=1)
    found["share_ratio"] = found["us_per_iteration"] / found["us_per_iteration"].sum(skipna=False)
    return tables.conform(found.reset_index(), BY_GROUP, "kernel groups")


def useful_ns(starts_ns: Ints, ends_ns: Ints, streams: Ints, waits_ns: Ints) -> Ints:
    """The part of each operation of one rank that is its own, in the order given, which is that of their starts.

    On its stream an operation has its turn once all earlier ones have ended, a collective once it has waited as
    well. What several streams then run at one time belongs to the one whose turn came first.
    """
    if not len(starts_ns):
        return starts_ns
    order = np.argsort(streams, kind="stable")
    latest_ns, first = latest_end_before(streams[order], ends_ns[order])
    turns_ns = starts_ns.copy()
    turns_ns[order] = np.where(first, starts_ns[order], np.maximum(starts_ns[order], latest_ns))
    turns_ns = np.maximum(turns_ns, starts_ns + waits_ns)
    until_ns = np.maximum(ends_ns, turns_ns)
    if streams[order[0]] == streams[order[-1]]:
        alone_ns: Ints = until_ns - turns_ns
        return alone_ns
    order = np.argsort(turns_ns, kind="stable")
    latest_ns, first = latest_end_before(np.zeros(len(order), np.int64), until_ns[order])
    own_ns: Ints = np.empty(len(order), np.int64)
    begins_ns = np.where(first, turns_ns[order], np.maximum(turns_ns[order], latest_ns))
    own_ns[order] = np.maximum(until_ns[order] - begins_ns, 0)
    return own_ns


def _by_signature(trace: Trace, matched: Matched) -> tuple[Ints, Floats, Ints]:
    """Per signature: operations (ranks by signatures), their useful time over all ranks, how many were in graphs."""
    operations, size = trace.operations, len(trace.activity.signatures)
    steady = (operations["iteration"] >= 0).to_numpy(bool)
    of_rank = operations["rank"].to_numpy(np.int64)
    waits_ns = matched.instances["wait_ns"].to_numpy(np.int64)
    counts, spent_ns, graphed = np.zeros((len(trace.ranks), size), np.int64), np.zeros(size), np.zeros(size, np.int64)
    names = ("start_ns", "end_ns", "stream", "signature", "graph_node")
    columns = {name: operations[name].to_numpy(np.int64) for name in names}
    for rank in range(len(trace.ranks)):
        at = np.flatnonzero(steady & (of_rank == rank))
        starts_ns, ends_ns, streams, signature, node = (column[at] for column in columns.values())
        waited_ns = np.zeros(len(at), np.int64)
        mine = matched.rows[rank :: len(trace.ranks)]
        place = np.searchsorted(at, mine)
        # One of another rank's last iteration may be of none here.
        here = at[np.minimum(place, len(at) - 1)] == mine
        waited_ns[place[here]] = waits_ns[rank :: len(trace.ranks)][here]
        own_ns = useful_ns(starts_ns, ends_ns, streams, waited_ns)
        counts[rank] = np.bincount(signature, minlength=size)
        spent_ns += np.bincount(signature, weights=own_ns, minlength=size)
        graphed += np.bincount(signature[node >= 0], minlength=size)
    return counts, spent_ns, graphed


def _groups(trace: Trace, ran: Ints) -> list[str]:
    """The group of each signature that ran; of fused kernels without a name it is told by what they run before."""
    what = trace.activity.signatures.iloc[ran]
    known: dict[tuple[str, str], str] = {}
    for name, kind in zip(what["name"], what["kind"], strict=True):
        known.setdefault((name, kind), group(name, kind))
    found = [known[key] for key in zip(what["name"], what["kind"], strict=True)]
    unnamed = what["name"].str.match(UNNAMED_POINTWISE).to_numpy(bool)
    # One kernel for the queries, one for the keys: each pass finds the one before.
    while len(rotary := _before_cache(trace, ran[np.array(found) == "rope/cache"], ran[unnamed])):
        at = np.isin(ran, rotary)
        found = ["rope/cache" if rotates else of for of, rotates in zip(found, at, strict=True)]
        unnamed = unnamed & ~at
    return found


def _before_cache(trace: Trace, cache: Ints, unnamed: Ints) -> Ints:
    """Which of the unnamed signatures nearly always run right before one of the cache's, on the same stream."""
    if not len(unnamed) or not len(cache):
        return unnamed[:0]
    operations = trace.operations[trace.operations["iteration"] >= 0]
    operations = operations.sort_values(["rank", "stream", "start_ns"], kind="stable")
    signature = operations["signature"].to_numpy(np.int64)
    followed = np.isin(signature[1:], cache)
    size = len(trace.activity.signatures)
    times, hits = (np.bincount(signature[:-1], weights=of, minlength=size) for of in (np.ones(len(followed)), followed))
    return unnamed[hits[unnamed] > _BEFORE_CACHE * times[unnamed]]
