"""What one decode iteration is, found from what the GPUs ran; no engine, NVTX range or API call is relied on.

On its busiest stream a decoding rank runs the same operations again and again. The smallest stretch that returns as a
whole is one iteration; an operation that occurs once in it, the anchor, marks where it ends.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import tables
from analysis.errors import TraceError
from analysis.extract import Activity
from analysis.intervals import Ints, Mask, latest_end_before

# What lies between two layers is all but the same, too: only what runs once in an iteration (embedding, head,
# sampling, together three operations at the least) tells layers from iterations.
_ALIKE_TOLERANCE = 0.004
_ONCE_LEAST = 1.5
_ALIKE_LEAST = 0.8
# Profiler start and prefill end within the first four; the first rank to stop ends the capture for all.
_DROPPED_FIRST, _DROPPED_LAST = 4, 1
_WHY_DROPPED = "profiler start and prefill (first 4), end of the capture (last 1)"
# The share of a decode step's operations that may differ from the others': a growing context changes the grids of
# attention (7 % of the operations), another number of requests those of all but the matrix products (over 30 %).
_UNUSUAL = 0.2
_PARTS = 5
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
    """The smallest distance at which an operation returns and everything between returns with it; and how much does.

    Counting what lies between returns, rather than comparing the sequence with itself at a lag, forgives a step that
    has an operation more: every 16 tokens or so a new block of KV cache shifts all that follows.
    """
    returns = _returns(tokens)
    alike = np.array([_alike(tokens, token) for token in returns["token"]])
    if not len(alike) or alike.max() < _ALIKE_LEAST:
        best = f" (at best {alike.max():.0%} of them, {_ALIKE_LEAST:.0%} expected)" if len(alike) else ""
        raise TraceError(
            f"{activity.path}: no decode iterations: the {len(tokens)} operations on the busiest stream of a rank do "
            f"not repeat{best}; {RECORD_MORE}"
        )
    # In iterations of few operations, as where graphs are single ones, one more in 16 steps weighs more than that.
    allowed = max(_ALIKE_TOLERANCE, min(_ONCE_LEAST / returns["distance"].iloc[int(alike.argmax())], 0.03))
    at = int(np.flatnonzero(alike >= alike.max() - allowed)[0])
    return int(returns["distance"].iloc[at]), float(alike[at])


def _returns(tokens: Ints) -> pd.DataFrame:
    """Distances at which some operation returns regularly, ascending, each with the operation that does so most."""
    order = np.argsort(tokens, kind="stable")
    pairs = pd.DataFrame({"token": tokens[order][1:], "at": order[1:], "distance": np.diff(order)})
    pairs = pairs[np.diff(tokens[order]) == 0]
    counted = pairs.groupby(["token", "distance"]).size().rename("regular").reset_index()
    counted = counted.sort_values("regular", ascending=False).drop_duplicates("token")
    whole = pairs.groupby("token").agg(times=("at", "size"), last=("at", "max"), span=("distance", "sum"))
    counted = counted.join(whole, on="token")
    regular = counted["regular"] >= np.maximum(_ANCHOR_REGULARITY * counted["times"], 2)
    # Not within prefill alone, whose layers are like each other.
    throughout = counted["span"] >= len(tokens) // 2
    found: pd.DataFrame = counted[regular & throughout].drop_duplicates("distance").sort_values("distance")
    return found


def _alike(tokens: Ints, token: int) -> float:
    """How much of what lies between two returns of an operation is what usually lies there, in the median of parts.

    The median, because prefill and the end of a request change a few steps; a lag of one layer fails in every part.
    """
    cuts = np.flatnonzero(tokens == token)
    counts = _counts(np.repeat(np.arange(len(cuts) - 1), np.diff(cuts)), tokens[cuts[0] : cuts[-1]], len(cuts) - 1)
    unusual = np.abs(counts - np.median(counts, axis=0)).sum(axis=1)
    parts = (cuts[:-1] - cuts[0]) * _PARTS // (cuts[-1] - cuts[0])
    by_part = np.bincount(parts, unusual) / np.maximum(np.bincount(parts, counts.sum(axis=1)), 1)
    return 1 - float(np.median(by_part))


def _counts(row: Ints, what: Ints, rows: int) -> Ints:
    """How often each of the things occurs in each row."""
    codes, distinct = pd.factorize(what)
    return np.bincount(row * len(distinct) + codes, minlength=rows * len(distinct)).reshape(rows, len(distinct))


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
    inner = np.ones(bounds.shape[1] - 1, dtype=bool)
    number = _iteration_of(operations, bounds, inner)
    inner[:_DROPPED_FIRST], inner[-_DROPPED_LAST:] = False, False
    like = np.ones(len(inner), dtype=bool)
    for rank in activity.ranks["rank"]:
        mine = ((operations["rank"] == rank) & (number > 0)).to_numpy(bool)
        counts = _counts(number[mine] - 1, operations["signature"].to_numpy(np.int64)[mine], len(inner))
        usual = np.median(counts[inner], axis=0)
        unusual = np.abs(counts - usual).sum(axis=1) / (counts + usual).sum(axis=1)
        like &= unusual <= _UNUSUAL
    odd = int((inner & ~like).sum())
    return inner & like, _WHY_DROPPED + (f", {odd} that ran other operations than the rest" if odd else "")


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
