"""What one decode iteration is, found from what the GPUs ran; no engine, NVTX range or API call is relied on.

On its busiest stream a decoding rank runs the same operations again and again. The smallest lag at which that
sequence matches itself is one iteration; an operation that occurs once in it, the anchor, marks where it ends.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import tables
from analysis.errors import TraceError
from analysis.extract import Activity
from analysis.intervals import Ints, Mask, latest_end_before

# An iteration's last layers differ a little from step to step, a lag of one layer matches clearly worse.
_MATCH_TOLERANCE = 0.01
_MATCH_LEAST = 0.8
# Operations over which a match is judged: more than one iteration of any model here, so that no stretch lies
# between two ends of iterations, where a lag of one layer would match as well.
_STRETCH = 2048
# Profiler start and prefill end within the first four; the first rank to stop ends the capture for all.
_DROPPED_FIRST, _DROPPED_LAST = 4, 1
_WHY_DROPPED = "profiler start and prefill (first 4), end of the capture (last 1)"
# How far the number of operations of one decode step may be from that of the others.
_SAME_SIZE = 0.1
_ANCHOR_REGULARITY = 0.8
RECORD_MORE = "record at least 64 decode steps of one batch in one capture window"


@dataclass(frozen=True, kw_only=True)
class Trace:
    """An activity whose decode iterations are known.

    `operations` has one more column than the activity's, `iteration`: -1 outside the steady iterations. An operation
    belongs to the iteration in which it ends.
    """

    activity: Activity
    ranks: pd.DataFrame
    operations: pd.DataFrame
    iterations: pd.DataFrame
    anchor: str
    period_operations: int
    match_ratio: float
    dropped: int
    why_dropped: str

    def per_iteration(self, values: "pd.Series[Any]", name: str, *, absent: float = 0) -> pd.DataFrame:
        """A column of values indexed by (rank, iteration), one row for every steady iteration of every rank."""
        wanted = pd.MultiIndex.from_frame(self.iterations[["rank", "iteration"]])
        return values.reindex(wanted, fill_value=absent).rename(name).reset_index()

    def launches(self) -> pd.DataFrame:
        """The API calls that started operations, each once, with the iteration of the first operation they started.

        Not the iteration of the call's own time: the host may run iterations ahead. Returns rank, iteration, call.
        """
        launched = self.operations.loc[self.operations["call"] >= 0, ["rank", "iteration", "call"]]
        return launched.drop_duplicates(["rank", "call"]).reset_index(drop=True)


def find(activity: Activity) -> Trace:
    """Cut the activity into decode iterations, the same on all ranks; raises TraceError where that cannot be done."""
    operations = activity.operations
    stream = _busiest(operations)
    lead = int(activity.ranks["operations"].to_numpy().argmax())
    tokens = stream.loc[stream["rank"] == lead, "signature"].to_numpy(np.int64)
    lag, match = _period(tokens, activity)
    anchor = _anchor(stream, lead, lag, activity)
    ends = stream[stream["signature"] == anchor].groupby("rank")["end_ns"].apply(np.array)
    bounds = _aligned(ends, activity)
    kept, why = _steady(operations, bounds, activity)
    iterations = _iterations(bounds, kept)
    row = activity.signatures.iloc[anchor]
    return Trace(
        activity=activity,
        ranks=activity.ranks,
        operations=operations.assign(iteration=_iteration_of(operations, bounds, kept)),
        iterations=tables.conform(iterations, tables.ITERATIONS, "iterations"),
        anchor=f"{row['name']} {row['grid']} {row['block']}".strip(),
        period_operations=lag,
        match_ratio=match,
        dropped=bounds.shape[1] - 1 - int(kept.sum()),
        why_dropped=why,
    )


def _busiest(operations: pd.DataFrame) -> pd.DataFrame:
    """The operations of each rank's stream with most of them, in order of start."""
    counts = operations.groupby(["rank", "stream"]).size()
    streams = counts[counts.groupby("rank").idxmax()].reset_index()[["rank", "stream"]]
    return operations.merge(streams, on=["rank", "stream"])


def _period(tokens: Ints, activity: Activity) -> tuple[int, float]:
    """The smallest lag at which the sequence matches itself about as well as at any, and how well."""
    # The period is a distance between neighbours of the same kind, because the anchor occurs once in it.
    order = np.argsort(tokens, kind="stable")
    distances = np.diff(order)[np.diff(tokens[order]) == 0]
    lags, counts = np.unique(distances, return_counts=True)
    lags = lags[(counts > 1) & (lags <= len(tokens) // 2)]
    steady = tokens[len(tokens) // 4 :]  # prefill comes first, and its layers match each other
    matches = np.array([_typical_match(steady[lag:] == steady[: len(steady) - lag]) for lag in lags])
    if not len(lags) or matches.max() < _MATCH_LEAST:
        best = f"; the best lag matches {matches.max():.0%}" if len(lags) else ""
        raise TraceError(
            f"{activity.path}: no decode iterations: the {len(tokens)} operations on the busiest stream of a rank do "
            f"not repeat{best}, {_MATCH_LEAST:.0%} expected; {RECORD_MORE}"
        )
    at = int(np.flatnonzero(matches >= matches.max() - _MATCH_TOLERANCE)[0])
    return int(lags[at]), float(matches[at])


def _typical_match(same: Mask) -> float:
    """The share of equal operations in the median stretch.

    Not over the whole: every 16 tokens or so a step has an operation more (a new block of KV cache), which shifts
    all that follows by one and would make 16 steps look like the better period.
    """
    stretch = min(_STRETCH, max(len(same) // 4, 1))
    whole = same[: len(same) // stretch * stretch]
    return float(np.median(whole.reshape(-1, stretch).mean(axis=1)))


def _anchor(stream: pd.DataFrame, lead: int, lag: int, activity: Activity) -> int:
    """The signature that occurs once per period on every rank and is followed by the largest bubble."""
    of_rank = stream["rank"].to_numpy(np.int64)
    position = stream.groupby("rank").cumcount()
    step = position.groupby([stream["rank"], stream["signature"]]).diff()
    seen = stream.assign(regular=step == lag, bubble_ns=_bubbles(of_rank, stream))
    facts = seen.groupby(["rank", "signature"]).agg(
        times=("regular", "size"), regular=("regular", "sum"), bubble_ns=("bubble_ns", "median")
    )
    once = facts[(facts["times"] > 2) & (facts["regular"] >= _ANCHOR_REGULARITY * (facts["times"] - 1))]
    once = once[once["times"] >= _ANCHOR_REGULARITY * once["times"].groupby("rank").transform("max")]
    by_signature = once.groupby("signature").agg(
        ranks=("times", "size"), spread=("times", np.ptp), bubble_ns=("bubble_ns", "median")
    )
    common = by_signature[by_signature["ranks"] == len(activity.ranks)]
    if common.empty:
        raise TraceError(
            f"{activity.path}: no decode iterations: {len(by_signature)} operations occur once every {lag} on some "
            f"rank, none on all {len(activity.ranks)} ranks; trace all ranks in one file, and {RECORD_MORE}"
        )
    return int(common.sort_values(["spread", "bubble_ns"], ascending=[True, False]).index[0])


def _bubbles(of_rank: Ints, stream: pd.DataFrame) -> Ints:
    """How long the stream stood idle after each operation."""
    latest, first = latest_end_before(of_rank, stream["end_ns"].to_numpy(np.int64))
    idle = np.where(first, 0, np.maximum(stream["start_ns"].to_numpy(np.int64) - latest, 0))
    return np.concatenate((idle[1:], np.zeros(1, np.int64)))


def _aligned(ends: "pd.Series[Any]", activity: Activity) -> Ints:
    """Ends of the anchor, ranks by iterations, cut to those that all ranks have."""
    by_rank = [np.sort(np.asarray(ends[rank], np.int64)) for rank in activity.ranks["rank"]]
    shortest = min(by_rank, key=len)
    bounds = np.stack([_nearest(times, shortest) for times in by_rank])
    if bounds.shape[1] - 1 <= _DROPPED_FIRST + _DROPPED_LAST:
        raise TraceError(
            f"{activity.path}: too few decode iterations: found {bounds.shape[1] - 1}, of which "
            f"{_DROPPED_FIRST + _DROPPED_LAST} are dropped ({_WHY_DROPPED}); {RECORD_MORE}"
        )
    return bounds


def _nearest(times: Ints, reference: Ints) -> Ints:
    """The run of times, as many as in the reference, that lies nearest to it: ranks start and stop apart."""
    shifts = range(len(times) - len(reference) + 1)
    runs = [times[shift : shift + len(reference)] for shift in shifts]
    return min(runs, key=lambda run: float(np.median(np.abs(run - reference))))


def _steady(operations: pd.DataFrame, bounds: Ints, activity: Activity) -> tuple[Mask, str]:
    """Which intervals between bounds are kept, and why the others are not."""
    everything = np.ones(bounds.shape[1] - 1, dtype=bool)
    number = _iteration_of(operations, bounds, everything)
    sizes = np.stack(
        [
            np.bincount(number[(operations["rank"] == rank) & (number > 0)], minlength=bounds.shape[1])[1:]
            for rank in activity.ranks["rank"]
        ]
    )
    usual = np.median(sizes, axis=1, keepdims=True)
    same = (np.abs(sizes - usual) <= _SAME_SIZE * usual).all(axis=0)
    inner = everything.copy()
    inner[:_DROPPED_FIRST], inner[-_DROPPED_LAST:] = False, False
    odd = int((inner & ~same).sum())
    return inner & same, _WHY_DROPPED + (f", {odd} with another number of operations" if odd else "")


def _iteration_of(operations: pd.DataFrame, bounds: Ints, kept: Mask) -> Ints:
    """The iteration in which each operation ends, -1 where that is none of the kept."""
    number = np.full(len(operations), -1, np.int64)
    numbers = np.concatenate(([-1], np.where(kept, np.arange(1, len(kept) + 1), -1), [-1]))
    of_rank, ends = operations["rank"].to_numpy(np.int64), operations["end_ns"].to_numpy(np.int64)
    for rank, times in enumerate(bounds):
        mine = of_rank == rank
        number[mine] = numbers[np.searchsorted(times, ends[mine], side="left")]
    return number


def _iterations(bounds: Ints, kept: Mask) -> pd.DataFrame:
    rank, at = np.nonzero(np.broadcast_to(kept, (len(bounds), len(kept))))
    return pd.DataFrame(
        {"rank": rank, "iteration": at + 1, "start_ns": bounds[rank, at], "end_ns": bounds[rank, at + 1]}
    )
