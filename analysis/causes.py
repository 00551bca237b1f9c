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
import numpy.typing as npt
import pandas as pd

from analysis import tables
from analysis.intervals import Ints, latest_end_before
from analysis.iterations import Trace

Floats = npt.NDArray[np.float64]

CLASSES = {"launch": "kernel", "copy": "copy", "set": "set", "graph": "graph"}
_CLASSES = tuple(CLASSES.values())
_CLASS_DTYPE = pd.CategoricalDtype(list(_CLASSES))
CAUSES = ("launch", "dependency", "graph", "overlap", "unknown", "none")
TOLERANCE_NS = 2_000
# Fewer calls on an idle GPU are too few for a constant; work then counts as due when its call returns.
_IDLE_LEAST = 8
# The share of the spread that two modes must explain: splitting one bell-shaped mode in two explains 0.64.
_TWO_MODES = 0.7
# Only dependent launches begin before what they follow ends, and not all of them: the share that must.
_EARLY = 0.05
_LONG_AGO = -(2**62)


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
    placed = _placed(trace)
    steady = placed[placed["iteration"] >= 0]
    starters = steady[~steady["later_node"] & steady["api_class"].notna()]
    idle = starters[starters["previous_end_ns"] < starters["call_start_ns"]]
    lambda_ns, lag_ns = _after_call(idle, "call_start_ns"), _after_call(idle, "call_end_ns")
    due_ns = _due_ns(starters, "call_end_ns", lag_ns)
    # What runs beside another stream's work neither waits for that nor says how soon it could start.
    waiting = starters[(starters["previous_end_ns"] > due_ns + TOLERANCE_NS) & ~starters["beside"]]
    graphed = waiting["api_class"] == "graph"
    nodes = steady.loc[steady["later_node"], "from_end_ns"]
    first_nodes = waiting.loc[graphed, "from_end_ns"]
    delta_ns, queued, pdl_pairs = _modes(waiting[~graphed])
    delta_ns |= {key: float(seen.median()) for key, seen in _kinds(nodes, first_nodes).items()}
    queued |= {key: len(seen) for key, seen in _kinds(nodes, first_nodes).items()}
    alone = starters[starters["api_class"] != "graph"]
    ready_ns = alone["previous_end_ns"] + _delta_ns(alone, delta_ns, pdl_pairs)
    return Law(
        lambda_ns=lambda_ns,
        lag_ns=lag_ns,
        delta_ns=delta_ns,
        pdl_pairs=pdl_pairs,
        fit_ratio=_fit(alone, _due_ns(alone, "call_end_ns", lag_ns), ready_ns),
        begin_fit_ratio=_fit(alone, _due_ns(alone, "call_start_ns", lambda_ns), ready_ns),
        operations=len(alone),
        beside=int(alone["beside"].sum()),
        idle={str(key): int(number) for key, number in idle.groupby("api_class", observed=True).size().items()},
        queued=queued,
    )


def label(trace: Trace, law: Law) -> pd.DataFrame:
    """The gap before every operation of the steady iterations, and its cause.

    Returns rank, iteration, start_ns, gap_ns, overlap_ns, cause (a category of CAUSES), launch_exposed_ns; a row an
    operation, with its index in `trace.operations`, rank by rank in order of start.

    gap_ns is how long the GPU had run nothing, and overlap_ns how long before the latest end of all earlier operations
    this one began: one of the two is 0. launch_exposed_ns is the part of a launch-caused gap that an earlier launch
    would have saved. A gap inside a graph is `graph`; one whose launch the trace does not hold is `unknown`; an
    operation that starts in the very nanosecond, or first of its rank, has the cause `none`.
    """
    placed = _placed(trace)
    placed = placed[placed["iteration"] >= 0]
    gap_ns = placed["from_end_ns"].clip(lower=0).astype("int64")
    overlap_ns = (-placed["from_end_ns"]).clip(lower=0).astype("int64")
    ready_ns = placed["previous_end_ns"] + _delta_ns(placed, law.delta_ns, law.pdl_pairs)
    late = _due_ns(placed, "call_end_ns", law.lag_ns) > ready_ns
    cause = np.select(
        [overlap_ns > 0, gap_ns == 0, placed["later_node"], placed["api_class"].isna(), late],
        ["overlap", "none", "graph", "unknown", "launch"],
        "dependency",
    )
    exposed_ns = (placed["start_ns"] - ready_ns).clip(lower=0).round().clip(upper=gap_ns)
    return placed[["rank", "iteration", "start_ns"]].assign(
        gap_ns=gap_ns,
        overlap_ns=overlap_ns,
        cause=pd.Categorical(cause, categories=CAUSES),
        launch_exposed_ns=np.where(cause == "launch", exposed_ns, 0).astype("int64"),
    )


def _placed(trace: Trace) -> pd.DataFrame:
    """Every operation with its call and with what ran before it on its rank, in order of start."""
    operations = trace.operations.sort_values(["rank", "start_ns"], kind="stable")
    starts_ns, call = operations["start_ns"].to_numpy(np.int64), operations["call"].to_numpy(np.int64)
    latest_ns, first = latest_end_before(operations["rank"].to_numpy(np.int64), operations["end_ns"].to_numpy(np.int64))
    calls = trace.activity.calls
    codes = np.array([_CLASSES.index(CLASSES[kind]) if kind in CLASSES else -1 for kind in tables.CALL_KINDS])
    return operations.assign(
        previous_end_ns=np.where(first, _LONG_AGO, latest_ns),
        from_end_ns=np.where(first, 0, starts_ns - latest_ns),
        before=np.where(first, -1, operations["signature"].shift(fill_value=-1)),
        beside=(starts_ns < latest_ns) & (_stream_end_ns(operations) < latest_ns),
        call_start_ns=_of_call(calls["start_ns"].to_numpy(np.int64), call, _LONG_AGO),
        call_end_ns=_of_call(calls["end_ns"].to_numpy(np.int64), call, _LONG_AGO),
        api_class=pd.Categorical.from_codes(
            _of_call(codes[calls["kind"].cat.codes.to_numpy()], call, -1), dtype=_CLASS_DTYPE
        ),
        later_node=(operations["graph_node"] >= 0) & (call >= 0) & operations["call"].duplicated(),
    )


def _stream_end_ns(operations: pd.DataFrame) -> Ints:
    """The latest end of all earlier operations of each operation's stream. Rows lie rank by rank in order of start."""
    streams = np.asarray(operations.groupby(["rank", "stream"], sort=False).ngroup(), np.int64)
    order = np.argsort(streams, kind="stable")
    ends_ns, first = latest_end_before(streams[order], operations["end_ns"].to_numpy(np.int64)[order])
    latest_ns = np.empty(len(order), np.int64)
    latest_ns[order] = np.where(first, _LONG_AGO, ends_ns)
    return latest_ns


def _of_call(values: Ints, call: Ints, absent: int) -> Ints:
    """The value of each operation's call, `absent` for an operation (-1) that has none."""
    return np.append(values, absent)[call]


def _after_call(idle: pd.DataFrame, side: str) -> dict[str, float]:
    """How long after a side of their call operations start on an idle GPU, by API class; none of too few calls."""
    late_ns = (idle["start_ns"] - idle[side]).groupby(idle["api_class"], observed=True)
    fitted = late_ns.median()[late_ns.size() >= _IDLE_LEAST]
    return {str(key): float(value) for key, value in fitted.items()}


def _kinds(nodes: "pd.Series[int]", first_nodes: "pd.Series[int]") -> dict[str, "pd.Series[int]"]:
    return {key: seen for key, seen in (("graph", nodes), ("graph_launch", first_nodes)) if len(seen)}


def _modes(waiting: pd.DataFrame) -> tuple[dict[str, float], dict[str, int], frozenset[tuple[int, int]]]:
    """The two deltas of queued operations, how many show each, and the pairs of signatures that show the lesser."""
    if waiting.empty:
        return {}, {}, frozenset()
    pairs = waiting.groupby(["before", "signature"])["from_end_ns"]
    typical_ns = pairs.transform("median").to_numpy(np.float64)
    dependent = typical_ns <= _between_modes(typical_ns)
    if (waiting.loc[dependent, "from_end_ns"] < 0).sum() < _EARLY * dependent.sum():
        dependent[:] = False
    both = {"pdl": waiting["from_end_ns"][dependent], "other": waiting["from_end_ns"][~dependent]}
    of_pdl = waiting.loc[dependent, ["before", "signature"]].drop_duplicates()
    return (
        {key: float(seen.median()) for key, seen in both.items() if len(seen)},
        {key: len(seen) for key, seen in both.items()},
        frozenset(zip(of_pdl["before"].tolist(), of_pdl["signature"].tolist(), strict=True)),
    )


def _between_modes(values: Floats) -> float:
    """The value that divides two modes such that least spread is left within them; -inf where there is but one mode."""
    low, high = np.quantile(values, (0.05, 0.95))
    values = np.sort(np.clip(values, low, high))
    if values[0] == values[-1]:
        return -np.inf
    left = np.arange(1, len(values))
    sums = np.cumsum(values)
    means = sums[:-1] / left, (sums[-1] - sums[:-1]) / (len(values) - left)
    explained = left * (len(values) - left) * (means[0] - means[1]) ** 2 / len(values)
    explained[values[1:] == values[:-1]] = 0
    best = int(explained.argmax())
    if explained[best] < _TWO_MODES * ((values - values.mean()) ** 2).sum():
        return -np.inf
    return float((values[best] + values[best + 1]) / 2)


def _delta_ns(placed: pd.DataFrame, delta_ns: Mapping[str, float], pdl_pairs: frozenset[tuple[int, int]]) -> Floats:
    """The delta of each operation; 0 where the trace shows none."""
    other = delta_ns.get("other", 0.0)
    pairs = pd.MultiIndex.from_arrays([placed["before"], placed["signature"]])
    dependent = pairs.isin(list(pdl_pairs)) if pdl_pairs else np.zeros(len(placed), bool)
    of_graph = (placed["api_class"] == "graph").to_numpy(bool)
    return np.select(
        [placed["later_node"].to_numpy(bool), of_graph, dependent],
        [delta_ns.get("graph", 0.0), delta_ns.get("graph_launch", other), delta_ns.get("pdl", other)],
        other,
    ).astype(np.float64)


def _due_ns(starters: pd.DataFrame, side: str, constants_ns: Mapping[str, float]) -> "pd.Series[float]":
    """When each operation could start at the soonest, by its call; NaN where the trace has no such call."""
    known = {key: constants_ns.get(key, 0.0) for key in _CLASSES}
    return starters[side] + starters["api_class"].map(known).astype("float64")


def _fit(starters: pd.DataFrame, due_ns: "pd.Series[float]", ready_ns: "pd.Series[float]") -> float:
    if starters.empty:
        return float("nan")
    late_ns = starters["start_ns"] - np.maximum(due_ns, ready_ns)
    return float((late_ns.abs() <= TOLERANCE_NS).mean())
