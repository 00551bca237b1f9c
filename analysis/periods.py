"""The smallest stretch of operations that returns as a whole, and an operation that occurs once in it."""

import numpy as np
import pandas as pd

from analysis import grouped
from analysis.errors import TraceError
from analysis.extract import Activity
from analysis.intervals import Ints, latest_end_before

# What lies between two layers is all but the same, too: only what runs once in an iteration (embedding, head,
# sampling, together three operations at the least) tells layers from iterations.
_ALIKE_TOLERANCE = 0.004
_ONCE_LEAST = 1.5
_ALIKE_LEAST = 0.8
_PARTS = 5
_ANCHOR_REGULARITY = 0.8
RECORD_MORE = "record at least 64 decode steps of one batch in one capture window"


def busiest(operations: pd.DataFrame) -> Ints:
    """The rows of the operations of each rank's stream with most of them."""
    of, streams = pd.factorize(operations["stream"].to_numpy(np.int64), sort=True)
    ranks = operations["rank"].to_numpy(np.int64)
    of += ranks * len(streams)
    counts = np.bincount(of, minlength=(int(ranks.max()) + 1) * len(streams)).reshape(-1, len(streams))
    wanted = np.zeros(counts.size, dtype=bool)
    wanted[counts.argmax(axis=1) + np.arange(len(counts)) * len(streams)] = True
    return np.flatnonzero(wanted[of])


def largest_graph(operations: pd.DataFrame) -> int:
    """The most operations of one graph launch: no step is shorter."""
    nodes = operations.loc[(operations["graph_node"] >= 0) & (operations["call"] >= 0), "call"].to_numpy(np.int64)
    return int(np.unique(nodes, return_counts=True)[1].max()) if len(nodes) else 1


def period(tokens: Ints, least: int, activity: Activity) -> tuple[int, float]:
    """The smallest distance at which an operation returns and everything between returns with it; and how much does.

    Counting what lies between returns, rather than comparing the sequence with itself at a lag, forgives a step that
    has an operation more: every 16 tokens or so a new block of KV cache shifts all that follows. It is `least` at the
    least, and 1, an operation that follows itself, only where nothing returns later: no step is one of its kernels.
    """
    returns = _returns(tokens)
    returns = returns[returns["distance"] >= least]
    alike = np.array([_alike(tokens, token) for token in returns["token"]])
    if not len(alike) or alike.max() < _ALIKE_LEAST:
        best = f" (at best {alike.max():.0%} of them, {_ALIKE_LEAST:.0%} expected)" if len(alike) else ""
        raise TraceError(
            f"{activity.path}: no decode iterations: the {len(tokens)} operations on the busiest stream of a rank do "
            f"not repeat{best}; {RECORD_MORE}"
        )
    # In iterations of few operations, as where graphs are single ones, one more in 16 steps weighs more than that.
    allowed = max(_ALIKE_TOLERANCE, min(_ONCE_LEAST / returns["distance"].iloc[int(alike.argmax())], 0.03))
    near = np.flatnonzero(alike >= alike.max() - allowed)
    at = int(near[min(int(returns["distance"].iloc[near[0]] == 1), len(near) - 1)])
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
    counts = tally(np.repeat(np.arange(len(cuts) - 1), np.diff(cuts)), tokens[cuts[0] : cuts[-1]], len(cuts) - 1)
    unusual = np.abs(counts - np.median(counts, axis=0)).sum(axis=1)
    parts = (cuts[:-1] - cuts[0]) * _PARTS // (cuts[-1] - cuts[0])
    by_part = np.bincount(parts, unusual) / np.maximum(np.bincount(parts, counts.sum(axis=1)), 1)
    return 1 - float(np.median(by_part))


def tally(row: Ints, what: Ints, rows: int) -> Ints:
    """How often each of the things, which are numbers from 0, occurs in each row; a column for each that does."""
    times = np.bincount(what)
    distinct = np.flatnonzero(times)
    column = np.cumsum(times > 0) - 1
    counts = np.bincount(row * len(distinct) + column[what], minlength=rows * len(distinct))
    return counts.reshape(rows, len(distinct))


def anchor(stream: pd.DataFrame, lead: int, lag: int, activity: Activity) -> int:
    """The signature that occurs once per period on every rank and is followed by the largest bubble."""
    kinds = len(activity.signatures)
    group, groups = _groups(stream, kinds), len(activity.ranks) * kinds
    times = grouped.counts(group, groups)
    # What returns so regularly has no time to run more often.
    seldom = times * _ANCHOR_REGULARITY * lag <= len(stream) + lag
    at = np.flatnonzero(seldom[group])
    at = at[np.argsort(group[at], kind="stable")]
    returns = (np.diff(group[at]) == 0) & (np.diff(at) == lag)
    facts = pd.DataFrame(
        {
            "times": times,
            "regular": grouped.counts(group[at[1:]][returns], groups),
            "bubble_ns": grouped.medians(group[at], groups, _bubbles(stream, at)),
        },
        index=pd.MultiIndex.from_product([range(len(activity.ranks)), range(kinds)], names=["rank", "signature"]),
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


def _groups(stream: pd.DataFrame, kinds: int) -> Ints:
    """One number for the rank and the signature of each operation."""
    found: Ints = stream["rank"].to_numpy(np.int64) * kinds
    found += stream["signature"].to_numpy(np.int64)
    return found


def _bubbles(stream: pd.DataFrame, rows: Ints) -> Ints:
    """How long the stream stood idle after each of the rows."""
    latest, first = latest_end_before(stream["rank"].to_numpy(np.int64), stream["end_ns"].to_numpy(np.int64))
    after = np.minimum(rows + 1, len(stream) - 1)
    idle = stream["start_ns"].to_numpy(np.int64)[after] - latest[after]
    return np.where(first[after] | (rows == len(stream) - 1), 0, np.maximum(idle, 0))
