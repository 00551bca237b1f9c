"""The same collective on every rank: how long it takes once all have arrived, and how long each rank waits for that.

A collective cannot end before its last rank begins, and until then the others spin, which looks like work. The rank
that arrives last spins least, so the shortest duration over the ranks is what the collective itself takes, and what
a rank spends beyond it is waiting. Durations only make that split, so that the clocks of the ranks need not agree for
it; who arrived last is told by their clocks.

A collective that is launched early (dependent launch) begins while what it follows still runs. It counts from its
begin nonetheless, and the end of what it follows as a part of it: on two GPUs with graphs 574 of 1170 all-reduces began
early on the rank that came last, and took 2.43 us so and 1.76 us counted from the end of what they followed, where the
same all-reduce without graphs, never early, took 2.34 us. Of other kernels' time 20 of 158 us an iteration counted so
as collectives there, and at most 0.5 us on all other recorded traces.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import tables
from analysis.intervals import Ints, Mask, busy_by_rank, covered_ns
from analysis.iterations import Trace
from analysis.tables import Column

INSTANCES = (
    Column(name="instance", dtype="int64", meaning="number of the collective, the same on all ranks"),
    Column(name="rank", dtype="int64", meaning="row of `ranks`"),
    Column(name="iteration", dtype="int64", meaning="the steady iteration in which it ends on the first rank"),
    Column(name="signature", dtype="int64", meaning="row of `signatures`"),
    Column(name="stream", dtype="int64", meaning="CUDA stream, unique within its rank"),
    Column(name="start_ns", dtype="int64", meaning="when the rank arrived"),
    Column(name="end_ns", dtype="int64", meaning="when it ended on the rank"),
    Column(name="duration_ns", dtype="int64", meaning="how long it ran on the rank"),
    Column(name="intrinsic_ns", dtype="int64", meaning="its shortest duration over the ranks"),
    Column(name="wait_ns", dtype="int64", meaning="duration beyond the intrinsic one: the rank spun"),
    Column(name="last", dtype="bool", meaning="whether this rank arrived last; true of one rank of each instance"),
)
WAITS = (
    Column(name="rank", dtype="int64", meaning="row of `ranks`"),
    Column(name="iteration", dtype="int64", meaning="number of the decode iteration"),
    Column(name="wait_ms", dtype="float64", meaning="waited in collectives with no kernel of another stream beside"),
    Column(name="useful_ms", dtype="float64", meaning="busy without waiting"),
    Column(name="idle_plus_wait_ratio", dtype="float64", meaning="share of the iteration that was not useful"),
)
# By the function's own name, since namespaces, template arguments and parameters mention what is not run.
_KINDS = (
    ("all-reduce", re.compile(r"all_?reduce|^cross_device_reduce", re.IGNORECASE)),
    ("all-gather", re.compile(r"all_?gather", re.IGNORECASE)),
    ("reduce-scatter", re.compile(r"reduce_?scatter", re.IGNORECASE)),
    ("all-to-all", re.compile(r"all_?(to|2)_?all|a2a", re.IGNORECASE)),
    ("broadcast", re.compile(r"^nccl\w*Kernel\w*_Broadcast")),
    ("reduce", re.compile(r"^nccl\w*Kernel\w*_Reduce")),
    ("send-receive", re.compile(r"^nccl\w*Kernel\w*_SendRecv")),
    ("collective", re.compile(r"^nccl\w*Kernel")),
)
# What torch.compile computes around a collective is named after it; the collective itself is a kernel of its own.
_FUSED = re.compile(r"^triton_(poi|red|per|tem|foreach|mm)_")
# The all-to-all of mixtures of experts has names that mean it in this namespace alone.
_EXPERTS = re.compile(r"^deep_ep::\w+::(dispatch|combine)$")
_UNNAMED = re.compile(r"<unnamed>::|\(anonymous namespace\)::|\{anonymous\}::")
_ON_STREAM = ["rank", "stream", "start_ns", "end_ns"]
_WHOLE = "graphs were recorded whole, so the collectives in them are unseen; record with --cuda-graph-trace=node"
_UNSEEN = "graphs were launched, but nothing that they ran was recorded; record with --cuda-graph-trace=node"
# Ranks of one group meet in every collective; groups that do not wait for one another meet by chance.
_MET_LEAST = 0.95


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The collectives of the steady iterations, matched over the ranks.

    `instances` has a row for every collective and rank, in that order, in the columns of INSTANCES; `rows` says which
    row of the trace's operations each of them is. Both are empty where there is no collective, and where
    `disagreement` says why the ranks' collectives cannot be matched.
    """

    instances: pd.DataFrame
    rows: Ints
    disagreement: str | None


@dataclass(frozen=True, kw_only=True)
class EndSkew:
    """How far apart the ranks see the end of one collective, earliest to latest; NaN without collectives."""

    median_us: float
    p99_us: float


def kind(name: str) -> str:
    """What a kernel of this demangled name does between GPUs; empty for one that is no collective."""
    function = re.split(r"[<(]", _UNNAMED.sub("", name), maxsplit=1)[0].split(" ")[-1]
    if _EXPERTS.search(function):
        return "all-to-all"
    own = function.rpartition("::")[2]
    if _FUSED.search(own):
        return ""
    return next((found for found, pattern in _KINDS if pattern.search(own)), "")


def among(trace: Trace) -> Mask:
    """Which of the trace's operations are collectives."""
    rows = trace.activity.signatures
    of_signature = (rows["kind"] == "kernel") & (rows["name"].map(kind) != "")
    found: Mask = of_signature.to_numpy(bool)[trace.operations["signature"].to_numpy(np.int64)]
    return found


def match(trace: Trace) -> Matched:
    """Match the n-th collective of each rank with the n-th of the others, within the steady iterations.

    Where those do not match, because one beside the anchor ends before it on one rank and after it on another, they are
    the first rank's, and of each other rank those that end with them. Nothing is forced: where counts or names differ,
    where the ranks never meet, or where what graphs ran is unseen, there are no instances but a sentence.
    """
    how = trace.activity.graph_tracing
    if how == "unseen" or (how == "graph" and len(trace.ranks) > 1):
        return _matched(trace, np.empty(0, np.int64), _UNSEEN if how == "unseen" else _WHOLE)
    rows = np.flatnonzero(among(trace))
    steady = (trace.operations["iteration"].to_numpy(np.int64)[rows]) >= 0
    found = _matched(trace, rows[steady])
    if found.disagreement is None:
        return found
    together = _ending_together(trace, rows, steady)
    again = found if together is None else _matched(trace, together)
    return found if again.disagreement else again


def _matched(trace: Trace, rows: Ints, why: str | None = None) -> Matched:
    """The n-th of these collectives, which lie rank by rank, of each rank; none where something speaks against it."""
    why = why or _disagreement(trace, rows)
    instances = _instances(trace, rows[:0] if why else rows)
    if why is None and (why := _apart(instances)):
        instances = instances[:0]
    order = np.arange(len(rows)).reshape(len(trace.ranks), -1).T.ravel() if why is None else rows[:0]
    return Matched(instances=instances, rows=rows[order], disagreement=why)


def _ending_together(trace: Trace, rows: Ints, steady: Mask) -> Ints | None:
    """The steady ones of the first rank, and of each other rank the run of as many that ends with them; None where
    there is none.
    """
    of_rank, ends_ns = (trace.operations[name].to_numpy(np.int64)[rows] for name in ("rank", "end_ns"))
    wanted = np.flatnonzero(steady[of_rank == 0])
    found = []
    for rank in range(len(trace.ranks)):
        mine = np.flatnonzero(of_rank == rank)
        at = wanted + _shift(ends_ns[mine], ends_ns[wanted], wanted) if len(mine) and len(wanted) else wanted
        if len(at) and (at[0] < 0 or at[-1] >= len(mine)):
            return None
        found.append(rows[mine[at]])
    return np.concatenate(found)


def _shift(ends_ns: Ints, wanted_ns: Ints, at: Ints) -> int:
    """How many places after `at` the collective is that ends nearest to each wanted end, in the median."""
    order = np.argsort(ends_ns, kind="stable")
    times_ns = ends_ns[order]
    nearest = order[np.searchsorted((times_ns[1:] + times_ns[:-1]) // 2, wanted_ns)]
    return int(np.median(nearest - at))


def waits(trace: Trace, matched: Matched) -> pd.DataFrame:
    """What each iteration of each rank lost to waiting, in the columns of WAITS; NaN where ranks disagree.

    Waiting beside a kernel of another stream loses nothing. A kernel of the same stream that starts early (dependent
    launch) waits itself, so it hides nothing. idle + wait + useful is the iteration.
    """
    windows = trace.iterations
    length_ns = (windows["end_ns"] - windows["start_ns"]).to_numpy(np.float64)
    wait_ns = _exposed_ns(trace, matched.instances) if matched.disagreement is None else np.full(len(windows), np.nan)
    useful_ns = covered_ns(trace.busy, windows) - wait_ns
    found = windows[["rank", "iteration"]].assign(
        wait_ms=wait_ns / 1e6, useful_ms=useful_ns / 1e6, idle_plus_wait_ratio=1 - useful_ns / length_ns
    )
    return tables.conform(found, WAITS, "waits")


def stragglers(matched: Matched) -> pd.DataFrame:
    """How often each rank arrived last. Returns rank, instances, straggler_ratio; the ratios add up to 1."""
    by_rank = matched.instances.groupby("rank")["last"]
    return by_rank.agg(instances="size", straggler_ratio="mean").reset_index()


def end_skew(matched: Matched) -> EndSkew:
    """How well the ranks agree on when a collective ends, which bounds the error of comparing their clocks."""
    ends = matched.instances.groupby("instance")["end_ns"]
    skew_us = (ends.max() - ends.min()) / 1e3
    return EndSkew(median_us=float(skew_us.median()), p99_us=float(skew_us.quantile(0.99)))


def spread_points(waited: pd.DataFrame, iter_ms: "pd.Series[float]") -> float:
    """How far the ranks are apart in idle + wait over all iterations, in percentage points; 0 for one rank.

    `waited` is what `waits` returns and `iter_ms` the length of each of its rows.
    """
    lost_ms = (waited["idle_plus_wait_ratio"] * iter_ms).groupby(waited["rank"]).sum(min_count=1)
    ratio = lost_ms / iter_ms.groupby(waited["rank"]).sum()
    return float(100 * (ratio.max() - ratio.min()))


def _disagreement(trace: Trace, rows: Ints) -> str | None:
    """Why these collectives cannot be matched, None where they can."""
    ranks, named = len(trace.ranks), trace.activity.signatures["name"].to_numpy()
    of_rank, of_signature = (trace.operations[name].to_numpy(np.int64)[rows] for name in ("rank", "signature"))
    counts = np.bincount(of_rank, minlength=ranks)
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[least] != counts[most]:
        few, many = (pd.Series(named[of_signature[of_rank == rank]]).value_counts() for rank in (least, most))
        differs = (many.sub(few, fill_value=0)).abs().idxmax()
        return (
            f"ranks ran different numbers of collectives: rank {least} {counts[least]}, rank {most} {counts[most]}; "
            f"of {_short(str(differs))} {few.get(differs, 0)} and {many.get(differs, 0)}"
        )
    by_rank = pd.factorize(named)[0][of_signature].reshape(ranks, -1)
    unequal = by_rank != by_rank[:1]
    if not unequal.any():
        return None
    at = int(unequal.any(axis=0).argmax())
    rank = int(unequal[:, at].argmax())
    mine, first = (_short(named[of_signature[row * counts[0] + at]]) for row in (rank, 0))
    return f"ranks ran different collectives: number {at} is {first} on rank 0 and {mine} on rank {rank}"


def _apart(instances: pd.DataFrame) -> str | None:
    """What shows that the ranks are not of one group: one has ended what another has yet to begin."""
    by_instance = instances.groupby("instance")
    met = by_instance["start_ns"].max() <= by_instance["end_ns"].min()
    if not len(met) or met.mean() >= _MET_LEAST:
        return None
    return (
        f"ranks do not meet: {(~met).sum()} of {len(met)} collectives ended on one rank before they began on another; "
        "the ranks are several groups, or their clocks differ"
    )


def _instances(trace: Trace, rows: Ints) -> pd.DataFrame:
    """These operations, which lie rank by rank and are as many on every rank, as rows of INSTANCES."""
    ranks = len(trace.ranks)
    count = len(rows) // ranks
    found = trace.operations[["rank", "iteration", "signature", "stream", "start_ns", "end_ns"]].iloc[rows]
    starts, ends = (found[name].to_numpy(np.int64).reshape(ranks, count) for name in ("start_ns", "end_ns"))
    durations = ends - starts
    intrinsic = np.broadcast_to(durations.min(axis=0), durations.shape)
    last = np.arange(ranks)[:, None] == starts.argmax(axis=0)
    table = found.assign(
        instance=np.tile(np.arange(count), ranks),
        iteration=np.tile(found["iteration"].to_numpy(np.int64)[:count], ranks),
        duration_ns=durations.ravel(),
        intrinsic_ns=intrinsic.ravel(),
        wait_ns=(durations - intrinsic).ravel(),
        last=last.ravel(),
    )
    return tables.conform(table.sort_values(["instance", "rank"]), INSTANCES, "instances")


def _exposed_ns(trace: Trace, instances: pd.DataFrame) -> Ints:
    """How much of each iteration of each rank was waiting with nothing beside it on another stream.

    Of collectives that wait side by side, one hides nothing of the other, and both count once.
    """
    windows = trace.iterations
    exposed = np.zeros(len(windows), np.int64)
    waiting = instances.assign(end_ns=instances["start_ns"] + instances["wait_ns"])[_ON_STREAM]
    of_rank = windows["rank"].to_numpy(np.int64)
    others = trace.operations.loc[~among(trace), _ON_STREAM]
    for (rank, stream), mine in waiting.groupby(["rank", "stream"]):
        at = of_rank == rank
        counted = waiting[((waiting["rank"] == rank) & (waiting["stream"] < stream)).to_numpy(bool)]
        working = others[((others["rank"] == rank) & (others["stream"] != stream)).to_numpy(bool)]
        beside = pd.concat([working, counted])
        exposed[at] += covered_ns(busy_by_rank(pd.concat([mine, beside])), windows[at])
        if len(beside):
            exposed[at] -= covered_ns(busy_by_rank(beside), windows[at])
    return exposed


def _short(name: str) -> str:
    """The start of a kernel's name: the template arguments of some fill a screen."""
    return name if len(name) <= 60 else name[:57] + "..."
