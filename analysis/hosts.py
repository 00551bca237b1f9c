"""What the host did in each decode iteration: launching, other CUDA calls, waiting, and everything else.

Of each rank it looks at the thread that launches most. An iteration of the host lies between the returns of the calls
that launched the anchor, which is not when the GPU ran it: the host may be iterations ahead. Why the GPU waited for
the host is in causes.py.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis import grouped, host_calls
from analysis.host_calls import PARTS, HostCalls, Launched
from analysis.intervals import Ints, rows_by
from analysis.iterations import Trace
from analysis.threads import side_by_side

Names = npt.NDArray[np.object_]

# How many times longer than the trace's typical interval between launches a slow site takes.
SLOW_RATIO = 2.0
_PARTS = [*PARTS, "framework_us", "asking_us"]
_KEYS = ["rank", "iteration"]


class _Pairs(NamedTuple):
    """Launches of a rank that follow one another: what each side launched, and the time in between."""

    names: Ints
    """The number of the name before, times how many names there are, plus that of the name after."""
    interval_ns: Ints


class _Intervals(NamedTuple):
    """From each launch to the next of its thread, within an iteration of the host, without what blocked in between."""

    window: Ints
    call_before: Ints
    call_after: Ints
    interval_ns: Ints


def measure(trace: Trace) -> pd.DataFrame:
    """Account for the host's time, per rank and iteration, a row for every steady iteration.

    Returns rank, iteration, and as float64, NaN where the trace lacks the anchor's calls or one process drives
    several ranks:

    launches                calls that start work (kernels, graphs, copies, memsets)
    launch_call_us, other_call_us, wait_us, framework_us
                            time in those calls; in other CUDA calls; in calls that block (synchronise, copies that are
                            not asynchronous); in none of these. Together they are the iteration of the host
    asking_us               of other_call_us, in calls that only ask (api.QUERIES); NaN where a recording does not say,
                            and their time is in framework_us
    largest_interval_us     the longest stretch between two launches, without blocking calls in it
    host_ms                 the iteration of the host without wait_us and largest_interval_us: what it takes at least,
                            because there the host may be polling for work or for the GPU, which looks like framework
    t_launch_us             the iteration of the host without wait_us, per launch
    lead_us                 median from return of the launch call to start, of the iteration's ungraphed operations
    graph_lead_us           median from begin of the launch call to start of the first node, of its graphs
    queue_median_launches, queue_max_launches
                            launches of the thread that had returned, but whose work had not started, as each began
    """
    return _measured(trace, *_by_rank(trace)[:2])


def sites(trace: Trace) -> pd.DataFrame:
    """Where the host spends its time between launches, by what it launched before and after, longest total first.

    Returns before, after (names of kernels, copies or memsets, of a graph's last and first node), per_iteration (how
    often in an iteration of one rank), interval_us (median from return of one launch to begin of the next, blocking
    calls taken out), total_ms (in an iteration of one rank) and typical_ratio (interval_us over the median interval
    of the whole trace).
    """
    windows, _, pairs = _by_rank(trace)
    return _sites(trace, len(windows), pairs)


def slow_sites(trace: Trace) -> pd.DataFrame:
    """Those of `sites` that take SLOW_RATIO times the trace's typical interval or more, in the same columns."""
    return _slow(sites(trace))


def find(trace: Trace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `measure` and `slow_sites` return; sooner than one after the other."""
    windows, spent, pairs = _by_rank(trace)
    return _measured(trace, windows, spent), _slow(_sites(trace, len(windows), pairs))


def _by_rank(trace: Trace) -> tuple[pd.DataFrame, pd.DataFrame, _Pairs]:
    """The windows of the host, what was measured in them, and the launches that follow one another."""
    windows, threads = host_calls.iteration_windows(trace), host_calls.launching_threads(trace)
    of_signature, names = pd.factorize(trace.activity.signatures["name"].to_numpy(object))
    count = len(names) + len(trace.activity.calls["name"].cat.categories)

    def look(rank: int) -> tuple[pd.DataFrame, _Pairs]:
        mine = windows[windows["rank"] == rank]
        calls = host_calls.find(trace, mine, threads[rank])
        started = host_calls.launched(trace, rank, calls)
        between = _intervals(calls)
        first, last = _launched_names(trace, calls, started, of_signature)
        pairs = _Pairs(last[between.call_before] * count + first[between.call_after], between.interval_ns)
        return _in_windows(trace, mine, calls, started, between), pairs

    found = side_by_side(look, threads)
    if not found:
        return windows, windows, _Pairs(*[np.empty(0, np.int64)] * len(_Pairs._fields))
    pairs = (np.concatenate(side) for side in zip(*(pairs for _, pairs in found), strict=True))
    return windows, pd.concat([spent for spent, _ in found]), _Pairs(*pairs)


def _in_windows(
    trace: Trace, windows: pd.DataFrame, calls: HostCalls, started: Launched, between: _Intervals
) -> pd.DataFrame:
    count, (spent_us, asking_us) = len(windows), _spent_us(calls, len(windows))
    if not trace.activity.asking_known:
        asking_us = np.full(count, np.nan)
    length_us = ((windows["until_ns"] - windows["after_ns"]) / 1e3).to_numpy(np.float64)
    working_us = length_us - spent_us[:, PARTS.index("wait_us")]
    largest_us = grouped.largest(between.window, count, between.interval_ns) / 1e3
    window, queue = calls.window[calls.launches], host_calls.queued(trace, calls, started)
    launches = grouped.counts(window, count).astype(np.float64)
    launches[launches == 0] = np.nan
    return windows[_KEYS].assign(
        launches=launches,
        **{part: spent_us[:, at] for at, part in enumerate(PARTS)},
        framework_us=length_us - spent_us.sum(axis=1),
        asking_us=asking_us,
        largest_interval_us=largest_us,
        host_ms=(working_us - largest_us) / 1e3,
        t_launch_us=working_us / launches,
        queue_median_launches=grouped.medians(window, count, queue),
        queue_max_launches=grouped.largest(window, count, queue),
    )


def _measured(trace: Trace, windows: pd.DataFrame, spent: pd.DataFrame) -> pd.DataFrame:
    lead_us, graph_lead_us = _leads_us(trace)
    rows = trace.iterations[_KEYS].assign(lead_us=lead_us, graph_lead_us=graph_lead_us)
    order = ["launches", *_PARTS, "largest_interval_us", "host_ms", "t_launch_us", "lead_us", "graph_lead_us"]
    order = [*order, "queue_median_launches", "queue_max_launches"]
    found = rows.merge(spent, on=_KEYS, how="left").reindex(columns=[*_KEYS, *order])
    return found.astype(dict.fromkeys(order, "float64"))


def _spent_us(calls: HostCalls, count: int) -> tuple[grouped.Floats, grouped.Floats]:
    """Time in calls, windows by PARTS, and of it in calls that only ask; NaN in a window without calls."""
    parts = np.where(calls.window < 0, -1, calls.window * len(PARTS) + calls.part)
    spent_us = grouped.sums(parts, count * len(PARTS), calls.end_ns - calls.start_ns).reshape(count, len(PARTS)) / 1e3
    asking_us = grouped.sums(calls.window, count, calls.asking_ns) / 1e3
    spent_us[:, PARTS.index("other_call_us")] += asking_us
    without = grouped.counts(calls.window, count) == 0
    spent_us[without] = asking_us[without] = np.nan
    return spent_us, asking_us


def _sites(trace: Trace, windows: int, pairs: _Pairs) -> pd.DataFrame:
    names = _names(trace)
    pair, distinct = pd.factorize(pairs.names, sort=True)
    count = len(distinct)
    found = pd.DataFrame(
        {
            "size": grouped.counts(pair, count),
            "median": grouped.medians(pair, count, pairs.interval_ns) / 1e3,
            "sum": grouped.sums(pair, count, pairs.interval_ns) / 1e3,
        },
        index=distinct,
    ).sort_values("sum", ascending=False)
    typical_us = np.median(pairs.interval_ns) / 1e3 if len(pair) else np.nan
    return pd.DataFrame(
        {
            "before": names[found.index // max(len(names), 1)],
            "after": names[found.index % max(len(names), 1)],
            "per_iteration": found["size"].to_numpy() / max(windows, 1),
            "interval_us": found["median"].to_numpy(),
            "total_ms": found["sum"].to_numpy() / max(windows, 1) / 1e3,
            "typical_ratio": found["median"].to_numpy() / typical_us,
        }
    )


def _slow(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["typical_ratio"] >= SLOW_RATIO].reset_index(drop=True)


def _intervals(calls: HostCalls) -> _Intervals:
    rows = np.flatnonzero(calls.launches)
    begins_ns, returns_ns, blocked_ns = (values[rows] for values in (calls.start_ns, calls.end_ns, calls.blocked_ns))
    own_ns = np.where(calls.part[rows] == PARTS.index("wait_us"), returns_ns - begins_ns, 0)
    begins_ns -= blocked_ns - own_ns
    returns_ns -= blocked_ns
    inside = calls.window[rows[1:]] >= 0
    return _Intervals(
        window=calls.window[rows[1:]][inside],
        call_before=calls.call[rows[:-1]][inside],
        call_after=calls.call[rows[1:]][inside],
        interval_ns=(begins_ns[1:] - returns_ns[:-1])[inside],
    )


def _leads_us(trace: Trace) -> tuple[grouped.Floats, grouped.Floats]:
    """Medians over each iteration of the GPU: from return of the call to start of ungraphed operations, and of graphs
    from begin of the call to start of the first node, which may be before the call returns."""
    operations, calls = trace.operations, trace.activity.calls
    starts_ns, of_graph = operations["start_ns"].to_numpy(np.int64), (calls["kind"] == "graph").to_numpy(bool)
    leads_us = np.full((2, len(trace.iterations)), np.nan)
    rows_of, windows_of = (rows_by(rows["rank"].to_numpy(np.int64)) for rows in (operations, trace.iterations))

    def look(rank: int) -> None:
        rows = np.arange(len(operations))[rows_of(rank)]
        rows = rows[operations["call"].to_numpy(np.int64)[rows] >= 0]
        graphed = of_graph[operations["call"].to_numpy(np.int64)[rows]]
        first = operations["first_of_call"].to_numpy(bool)[rows]
        for side, (mine, since) in enumerate(((rows[~graphed], "end_ns"), (rows[graphed & first], "start_ns"))):
            call = operations["call"].to_numpy(np.int64)[mine]
            lead_ns = starts_ns[mine] - calls[since].to_numpy(np.int64)[call]
            found = grouped.medians(trace.window[mine], len(trace.iterations), lead_ns)
            leads_us[side, windows_of(rank)] = found[windows_of(rank)] / 1e3

    side_by_side(look, trace.ranks["rank"].tolist())
    return leads_us[0], leads_us[1]


def _names(trace: Trace) -> Names:
    """All names: of what runs on the GPU, then of API functions."""
    names = pd.unique(trace.activity.signatures["name"].to_numpy(object))
    return np.array([*names, *trace.activity.calls["name"].cat.categories], dtype=object)


def _launched_names(trace: Trace, calls: HostCalls, started: Launched, of_signature: Ints) -> tuple[Ints, Ints]:
    """Of every call of the thread the number of the name of what it launched: of a graph the first and last node.

    A call that launched nothing has the name of the API function.
    """
    api = trace.activity.calls["name"].iloc[calls.first_call : calls.last_call].cat.codes
    first = api.to_numpy().astype(np.int64) + int(of_signature.max(initial=-1)) + 1
    last, name = first.copy(), of_signature[started.signature]
    first[started.call[started.first]] = name[started.first]
    # Of several values for one place the last one stays.
    last[started.call] = name
    return first, last
