"""Where a capture is cut into steps, the same on all ranks: at the ends of an anchor, an operation of every step.

The smallest stretch of operations that returns as a whole gives the anchor (periods.py), unless something that every
step runs once comes more or less often than that (anchors.py).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import anchors, periods
from analysis.anchors import Anchor
from analysis.errors import TraceError
from analysis.extract import Activity
from analysis.intervals import Ints
from analysis.periods import RECORD_MORE

# Profiler start and prefill end within the first four; the first rank to stop ends the capture for all.
DROPPED_FIRST, DROPPED_LAST = 4, 1
"""How many steps of a capture are never kept."""
WHY_DROPPED = "profiler start and prefill (first 4), end of the capture (last 1)"
# So many ends of an anchor may lie before the first bound and after the last.
_UNSEEN_MOST = 2


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The capture in steps: the anchor's signatures, and when it ends, ranks by steps and one more."""

    bounds: Ints
    signatures: Ints
    period_operations: int
    match_ratio: float


def find(activity: Activity, lead: int) -> Cut:
    """By what returns regularly, unless something that every step runs once comes more or less often than that."""
    names = anchors.names(activity, lead)
    sampled = anchors.samplings(names)
    once = anchors.once(names) if sampled is None else anchors.sampler(names)
    try:
        regular = _regular(activity, lead)
    except TraceError:
        if once is None:
            raise
        return _served(activity, lead, once)
    if once is not None:
        ends = _ends(activity, once.signatures)[lead]
        # Between two that sample, what the later one tells would count for the step after.
        between = anchors.SAMPLERS.search(str(activity.signatures["name"].iloc[regular.signatures[0]])) is not None
        if between or _other_steps(regular.bounds[lead], ends):
            return _served(activity, lead, once)
    if once is None and sampled is not None and 2 * sampled < regular.bounds.shape[1]:
        raise TraceError(
            f"{activity.path}: no decode iterations: what returns, {regular.bounds.shape[1]} times, is a part of one "
            f"step, such as a layer: only {sampled} sampled a token; {RECORD_MORE}"
        )
    return regular


def _other_steps(bounds: Ints, ends: Ints) -> bool:
    """Whether there are steps that the bounds do not tell apart, by the ends of what runs once in each step.

    The first interval may hold prefill without the anchor, and a step before the first bound may have none either.
    """
    between = np.diff(np.searchsorted(ends, bounds, side="right"))
    return bool((between[1:] != 1).any()) or len(ends) - len(bounds) > _UNSEEN_MOST


def _regular(activity: Activity, lead: int) -> Cut:
    rows = periods.busiest(activity.operations)
    stream = activity.operations[["rank", "signature", "start_ns", "end_ns"]].iloc[rows].reset_index(drop=True)
    of_lead = (stream["rank"] == lead).to_numpy(bool)
    least = periods.largest_graph(activity.operations[["graph_node", "call"]].iloc[rows[of_lead]])
    lag, match = periods.period(stream["signature"].to_numpy(np.int64)[of_lead], least, activity)
    signatures = np.array([periods.anchor(stream, lead, lag, activity)])
    ends = stream[stream["signature"] == signatures[0]].groupby("rank")["end_ns"].apply(np.array)
    return Cut(bounds=_aligned(ends, activity), signatures=signatures, period_operations=lag, match_ratio=match)


def _served(activity: Activity, lead: int, anchor: Anchor) -> Cut:
    bounds = _aligned(_ends(activity, anchor.signatures), activity)
    operations = activity.operations
    ends = operations.loc[operations["rank"] == lead, "end_ns"].to_numpy(np.int64)
    between = np.bincount(np.searchsorted(bounds[lead], ends))[1:]
    period = int(np.median(between[: bounds.shape[1] - 1]))
    return Cut(bounds=bounds, signatures=anchor.signatures, period_operations=period, match_ratio=anchor.forward_ratio)


def _ends(activity: Activity, signatures: Ints) -> "pd.Series[Any]":
    """When operations of these signatures end, an array for each rank, in order."""
    operations = activity.operations[np.isin(activity.operations["signature"].to_numpy(np.int64), signatures)]
    return operations.sort_values("end_ns").groupby("rank")["end_ns"].apply(np.array)


def _aligned(ends: "pd.Series[Any]", activity: Activity) -> Ints:
    """Ends of the anchor, ranks by iterations, cut to those that all ranks have."""
    by_rank = [np.sort(np.asarray(ends[rank], np.int64)) for rank in activity.ranks["rank"]]
    shortest = min(by_rank, key=len)
    bounds = np.stack([_nearest(times, shortest) for times in by_rank])
    if bounds.shape[1] - 1 <= DROPPED_FIRST + DROPPED_LAST:
        raise TraceError(
            f"{activity.path}: too few decode iterations: found {bounds.shape[1] - 1}, of which "
            f"{DROPPED_FIRST + DROPPED_LAST} are dropped ({WHY_DROPPED}); {RECORD_MORE}"
        )
    return bounds


def _nearest(times: Ints, reference: Ints) -> Ints:
    """The run of times, as many as in the reference, that lies nearest to it: ranks start and stop apart."""
    shifts = range(len(times) - len(reference) + 1)
    runs = [times[shift : shift + len(reference)] for shift in shifts]
    return min(runs, key=lambda run: float(np.median(np.abs(run - reference))))
