"""Why the GPU stood idle before an operation: its launch came late, or it waited for the operation before it.

An operation that no graph holds starts at

    start = max(return of its launch call + lag, end of the operation before + delta)

and the side that wins is the cause. lag is a constant of the API class, delta of what the operation follows; both are
fitted on the trace itself: lag where the GPU stood idle before the call began, delta where the call had long returned.
The lag counts from the return of the call, not from its begin: a call lasts longer for many reasons (a copy that
looks at its memory, a graph of many nodes), but work reaches the GPU as it returns. Counted from the begin, the law
holds less often; both shares are reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import grouped, placed
from analysis.grouped import Floats
from analysis.intervals import Ints, Mask
from analysis.iterations import Trace
from analysis.placed import CLASSES, GRAPH, Placed
from analysis.tables import CAUSES

_CAUSE_DTYPE = pd.CategoricalDtype(list(CAUSES))
TOLERANCE_NS = 2_000
# Fewer calls on an idle GPU are too few for a constant; work then counts as due when its call returns.
_IDLE_LEAST = 8
# The share of the spread that two modes must explain: splitting one bell-shaped mode in two explains 0.64.
_TWO_MODES = 0.7
# Only dependent launches begin before what they follow ends, and not all of them: the share that must.
_EARLY = 0.05
_LOW = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True)
class Law:
    """The constants of the queue law, as fitted on one trace, and how well it holds there.

    A constant is absent where the trace holds too little to fit it on: calls on an idle GPU (lambda_ns, lag_ns, fewer
    than eight), operations that were queued (delta_ns). It then counts as 0, an absent kind of delta as `other`.
    """

    lambda_ns: Mapping[str, float]
    """Median from begin of the call to start on an idle GPU, by API class (kernel, copy, set, graph)."""
    lag_ns: Mapping[str, float]
    """Median from return of the call to start on an idle GPU, by API class; negative where work starts before."""
    delta_ns: Mapping[str, float]
    """Median from end of the operation before to start of one that was queued: `pdl` and `other` (bimodal),
    `graph` (between nodes of one launch), `graph_launch` (before the first node)."""
    pdl_pairs: frozenset[tuple[int, int]]
    """Signatures (before, after) of which the later starts about as the earlier ends: dependent launches."""
    fit_ratio: float
    """Share of ungraphed operations within TOLERANCE_NS of the law; NaN where there are none."""
    begin_fit_ratio: float
    """The same share where lambda_ns counts from the begin of the call, in place of lag_ns from its return."""
    operations: int
    """Ungraphed operations of the steady iterations, of which the fit is a share."""
    beside: int
    """Those of them that began beside work of another stream: the law does not hold for them, and fit_ratio says so."""
    idle: Mapping[str, int]
    """Calls made while the GPU was idle, by API class: what lambda_ns and lag_ns rest on."""
    queued: Mapping[str, int]
    """Operations that delta_ns rests on, by its keys."""


def law(trace: Trace) -> Law:
    """Fit the queue law on the steady iterations of all ranks. Times in ns."""
    return _fit(placed.steady(trace))


def label(trace: Trace, law: Law) -> pd.DataFrame:
    """The gap before every operation of the steady iterations, and its cause.

    Returns rank, iteration, start_ns, gap_ns, overlap_ns, cause (a category of CAUSES), launch_exposed_ns; a row an
    operation, with its index in `trace.operations`, rank by rank in order of start.

    gap_ns is how long the GPU had run nothing, and overlap_ns how long before the latest end of all earlier operations
    this one began: one of the two is 0. launch_exposed_ns is the part of a launch-caused gap that an earlier launch
    would have saved. A gap inside a graph is `graph`; one whose launch the trace does not hold is `unknown`; an
    operation that starts in the very nanosecond, or first of its rank, has the cause `none`.
    """
    return _labelled(trace, placed.steady(trace), law)


def find(trace: Trace) -> tuple[Law, pd.DataFrame]:
    """The law of a trace and its labels; sooner than one after the other."""
    steady = placed.steady(trace)
    fitted = _fit(steady)
    return fitted, _labelled(trace, steady, fitted)


def _fit(steady: Placed) -> Law:
    starters = steady.only(~steady.later_node & (steady.api_class >= 0))
    idle = starters.previous_end_ns < starters.call_start_ns
    lambda_ns = _after_call(starters, idle, starters.call_start_ns)
    lag_ns = _after_call(starters, idle, starters.call_end_ns)
    due_ns = _due_ns(starters, starters.call_end_ns, lag_ns)
    graphed = starters.api_class == GRAPH
    # What runs beside another stream's work neither waits for that nor says how soon it could start.
    waiting = (starters.previous_end_ns - starters.start_ns > due_ns + TOLERANCE_NS) & ~starters.beside
    nodes, first_nodes = steady.from_end_ns[steady.later_node], starters.from_end_ns[waiting & graphed]
    delta_ns, queued, pdl_pairs = _modes(starters, waiting & ~graphed)
    delta_ns |= {key: float(np.median(seen)) for key, seen in _kinds(nodes, first_nodes).items()}
    queued |= {key: len(seen) for key, seen in _kinds(nodes, first_nodes).items()}
    ready_ns = _ready_ns(starters, delta_ns, pdl_pairs)
    begin_due_ns = _due_ns(starters, starters.call_start_ns, lambda_ns)
    return Law(
        lambda_ns=lambda_ns,
        lag_ns=lag_ns,
        delta_ns=delta_ns,
        pdl_pairs=pdl_pairs,
        fit_ratio=_share_within(due_ns, ready_ns, ~graphed),
        begin_fit_ratio=_share_within(begin_due_ns, ready_ns, ~graphed),
        operations=int((~graphed).sum()),
        beside=int((starters.beside & ~graphed).sum()),
        idle={
            name: int(number)
            for name, number in zip(CLASSES, np.bincount(starters.api_class[idle], minlength=len(CLASSES)), strict=True)
            if number
        },
        queued=queued,
    )


def _labelled(trace: Trace, steady: Placed, law: Law) -> pd.DataFrame:
    gap_ns, overlap_ns = np.maximum(steady.from_end_ns, 0), np.maximum(-steady.from_end_ns, 0)
    ready_ns = _ready_ns(steady, law.delta_ns, law.pdl_pairs)
    unknown = steady.api_class < 0
    late = ~unknown & (_due_ns(steady, steady.call_end_ns, law.lag_ns) > ready_ns)
    cause = np.full(len(gap_ns), CAUSES.index("dependency"), np.int8)
    # The last that holds decides.
    for name, holds in (
        *(("launch", late), ("unknown", unknown), ("graph", steady.later_node)),
        *(("none", gap_ns == 0), ("overlap", overlap_ns > 0)),
    ):
        cause[holds] = CAUSES.index(name)
    exposed_ns = np.minimum(np.round(np.maximum(-ready_ns, 0)), gap_ns).astype(np.int64)
    exposed_ns[cause != CAUSES.index("launch")] = 0
    return pd.DataFrame(
        {
            **{name: trace.operations[name].to_numpy(np.int64)[steady.row] for name in ("rank", "iteration")},
            "start_ns": steady.start_ns,
            "gap_ns": gap_ns,
            "overlap_ns": overlap_ns,
            "cause": pd.Categorical.from_codes(cause, dtype=_CAUSE_DTYPE),
            "launch_exposed_ns": exposed_ns,
        },
        index=steady.row,
        copy=False,
    )


def _after_call(starters: Placed, idle: Mask, side_ns: Ints) -> dict[str, float]:
    """How long after a side of their call operations start on an idle GPU, by API class; none of too few calls."""
    found = {}
    for number, name in enumerate(CLASSES):
        mine = idle & (starters.api_class == number)
        if mine.sum() >= _IDLE_LEAST:
            found[name] = float(np.median(starters.start_ns[mine] - side_ns[mine]))
    return found


def _kinds(nodes: Ints, first_nodes: Ints) -> dict[str, Ints]:
    return {key: seen for key, seen in (("graph", nodes), ("graph_launch", first_nodes)) if len(seen)}


def _modes(starters: Placed, queued: Mask) -> tuple[dict[str, float], dict[str, int], frozenset[tuple[int, int]]]:
    """The two deltas of queued operations, how many show each, and the pairs of signatures that show the lesser."""
    if not queued.any():
        return {}, {}, frozenset()
    from_end_ns = starters.from_end_ns[queued]
    pair, pairs = starters.pair[queued], starters.pairs
    typical_ns, times = grouped.medians(pair, len(pairs), from_end_ns), grouped.counts(pair, len(pairs))
    lesser = typical_ns <= _between_modes(typical_ns[times > 0], times[times > 0])
    dependent = lesser[pair]
    if (from_end_ns[dependent] < 0).sum() < _EARLY * dependent.sum():
        lesser[:], dependent[:] = False, False
    both = {"pdl": from_end_ns[dependent], "other": from_end_ns[~dependent]}
    return (
        {key: float(np.median(seen)) for key, seen in both.items() if len(seen)},
        {key: len(seen) for key, seen in both.items()},
        frozenset((int(number >> 32) - 1, int(number & _LOW)) for number in pairs[lesser]),
    )


def _between_modes(values: Floats, times: Ints) -> float:
    """The value that divides two modes such that least spread is left within them; -inf where there is but one mode.

    Each value occurs as many times as `times` says.
    """
    order = np.argsort(values)
    low, high = _quantiles(values[order], times[order], (0.05, 0.95))
    values, times = np.clip(values[order], low, high), times[order]
    if values[0] == values[-1]:
        return -np.inf
    rows, total = int(times.sum()), float((values * times).sum())
    left, sums = np.cumsum(times)[:-1], np.cumsum(values * times)[:-1]
    means = sums / left, (total - sums) / (rows - left)
    explained = left * (rows - left) * (means[0] - means[1]) ** 2 / rows
    explained[values[1:] == values[:-1]] = 0
    best = int(explained.argmax())
    if explained[best] < _TWO_MODES * (times * (values - total / rows) ** 2).sum():
        return -np.inf
    return float((values[best] + values[best + 1]) / 2)


def _quantiles(values: Floats, times: Ints, shares: tuple[float, ...]) -> list[float]:
    """Quantiles, between neighbours in proportion, of ascending values that occur so many times."""
    until = np.cumsum(times)
    at = np.array(shares) * (until[-1] - 1)
    below, above = (values[np.searchsorted(until, side(at), side="right")] for side in (np.floor, np.ceil))
    return [float(value) for value in below + (above - below) * (at - np.floor(at))]


def _delta_ns(rows: Placed, delta_ns: Mapping[str, float], pdl_pairs: frozenset[tuple[int, int]]) -> Floats:
    """The delta of each operation; 0 where the trace shows none."""
    other = delta_ns.get("other", 0.0)
    found = np.full(len(rows.row), other)
    if pdl_pairs:
        dependent = np.array([((before + 1) << 32) + after for before, after in pdl_pairs])
        found = np.where(np.isin(rows.pairs, dependent), delta_ns.get("pdl", other), other)[rows.pair]
    found[rows.api_class == GRAPH] = delta_ns.get("graph_launch", other)
    found[rows.later_node] = delta_ns.get("graph", 0.0)
    return found


def _due_ns(rows: Placed, side_ns: Ints, constants_ns: Mapping[str, float]) -> Floats:
    """How long after its start each operation could start at the soonest, by its call, mostly negative.

    It means nothing where the trace has no such call. Counted from the start, because a float does not hold the
    nanoseconds of a time since 1970, which an export may have.
    """
    known = np.array([*(constants_ns.get(name, 0.0) for name in CLASSES), 0.0])
    due_ns: Floats = side_ns - rows.start_ns + known[rows.api_class]
    return due_ns


def _ready_ns(rows: Placed, delta_ns: Mapping[str, float], pdl_pairs: frozenset[tuple[int, int]]) -> Floats:
    """How long after its start each operation could start at the soonest, by what ran before it; as in _due_ns."""
    ready_ns: Floats = rows.previous_end_ns - rows.start_ns + _delta_ns(rows, delta_ns, pdl_pairs)
    return ready_ns


def _share_within(due_ns: Floats, ready_ns: Floats, counted: Mask) -> float:
    """Of the counted operations, how many start within TOLERANCE_NS of the law; NaN where there are none."""
    if not counted.any():
        return float("nan")
    return float((np.abs(np.maximum(due_ns, ready_ns)) <= TOLERANCE_NS)[counted].mean())
