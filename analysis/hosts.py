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
from analysis.host_calls import PARTS, HostCalls
from analysis.intervals import Ints
from analysis.iterations import Trace

Names = npt.NDArray[np.object_]

# How many times longer than the trace's typical interval between launches a slow site takes.
SLOW_RATIO = 2.0
_PARTS = [*PARTS, "framework_us"]
_KEYS = ["rank", "iteration"]


def measure(trace: Trace) -> pd.DataFrame:
    """Account for the host's time, per rank and iteration, a row for every steady iteration.

    Returns rank, iteration, and as float64, NaN where the trace lacks the anchor's calls or one process drives
    several ranks:

    launches                calls that start work (kernels, graphs, copies, memsets)
    launch_call_us, other_call_us, wait_us, framework_us
                            time in those calls; in other CUDA calls; in calls that block (synchronise, copies that are
                            not asynchronous); outside calls. Together they are the iteration of the host
    largest_interval_us     the longest stretch between two launches, without blocking calls in it
    host_ms                 the iteration of the host without wait_us and largest_interval_us: what it takes at least,
                            because there the host may be polling for work or for the GPU, which looks like framework
    t_launch_us             the iteration of the host without wait_us, per launch
    lead_us                 median from return of the launch call to start, of the iteration's ungraphed operations
    queue_median_launches, queue_max_launches
                            launches of the thread that had returned, but whose work had not started, as each began
    """
    return _measured(trace, host_calls.find(trace))


def sites(trace: Trace) -> pd.DataFrame:
    """Where the host spends its time between launches, by what it launched before and after, longest total first.

    Returns before, after (names of kernels, copies or memsets, of a graph's last and first node), per_iteration (how
    often in an iteration of one rank), interval_us (median from return of one launch to begin of the next, blocking
    calls taken out), total_ms (in an iteration of one rank) and typical_ratio (interval_us over the median interval
    of the whole trace).
    """
    return _sites(trace, host_calls.find(trace))


def slow_sites(trace: Trace) -> pd.DataFrame:
    """Those of `sites` that take SLOW_RATIO times the trace's typical interval or more, in the same columns."""
    return _slow(sites(trace))


def find(trace: Trace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `measure` and `slow_sites` return; sooner than one after the other."""
    calls = host_calls.find(trace)
    return _measured(trace, calls), _slow(_sites(trace, calls))


class _Intervals(NamedTuple):
    """From each launch to the next of its thread, within an iteration of the host, without what blocked in between."""

    window: Ints
    call_before: Ints
    call_after: Ints
    interval_ns: Ints


def _measured(trace: Trace, calls: HostCalls) -> pd.DataFrame:
    windows, spent_us = calls.windows, _spent_us(calls)
    length_us = ((windows["until_ns"] - windows["after_ns"]) / 1e3).to_numpy(np.float64)
    working_us = length_us - spent_us[:, PARTS.index("wait_us")]
    largest_us = _largest_interval_us(calls)
    measured = windows[_KEYS].assign(
        **{part: spent_us[:, at] for at, part in enumerate(PARTS)},
        framework_us=length_us - spent_us.sum(axis=1),
        largest_interval_us=largest_us,
        host_ms=(working_us - largest_us) / 1e3,
        **_queue(trace, calls),
    )
    measured = measured.assign(t_launch_us=working_us / measured["launches"])
    rows = trace.iterations[_KEYS].assign(lead_us=_lead_us(trace)).merge(measured, on=_KEYS, how="left")
    order = ["launches", *_PARTS, "largest_interval_us", "host_ms", "t_launch_us", "lead_us"]
    order = [*order, "queue_median_launches", "queue_max_launches"]
    return rows[[*_KEYS, *order]].astype(dict.fromkeys(order, "float64"))


def _queue(trace: Trace, calls: HostCalls) -> dict[str, grouped.Floats]:
    """Launches of each window, and how many were queued as they began; NaN in a window without launches."""
    count, window, queue = len(calls.windows), calls.window[calls.launches], host_calls.queued(trace, calls)
    launches = grouped.counts(window, count)
    return {
        "launches": np.where(launches > 0, launches, np.nan),
        "queue_median_launches": grouped.medians(window, count, queue),
        "queue_max_launches": grouped.largest(window, count, queue),
    }


def _largest_interval_us(calls: HostCalls) -> grouped.Floats:
    between = _intervals(calls)
    return grouped.largest(between.window, len(calls.windows), between.interval_ns) / 1e3


def _spent_us(calls: HostCalls) -> grouped.Floats:
    """Time in calls, windows by PARTS; NaN in a window without calls."""
    count, took_ns = len(calls.windows), calls.end_ns - calls.start_ns
    spent_us = np.empty((count, len(PARTS)))
    for part in range(len(PARTS)):
        mine = calls.part == part
        spent_us[:, part] = grouped.sums(calls.window[mine], count, took_ns[mine]) / 1e3
    spent_us[grouped.counts(calls.window, count) == 0] = np.nan
    return spent_us


def _sites(trace: Trace, calls: HostCalls) -> pd.DataFrame:
    between = _intervals(calls)
    names, first, last = _names(trace)
    pair, pairs = pd.factorize(last[between.call_before] * len(names) + first[between.call_after], sort=True)
    count, windows = len(pairs), len(calls.windows)
    found = pd.DataFrame(
        {
            "size": grouped.counts(pair, count),
            "median": grouped.medians(pair, count, between.interval_ns) / 1e3,
            "sum": grouped.sums(pair, count, between.interval_ns) / 1e3,
        },
        index=pairs,
    ).sort_values("sum", ascending=False)
    typical_us = np.median(between.interval_ns) / 1e3 if len(pair) else np.nan
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
    del own_ns, blocked_ns
    inside = (calls.rank[rows[1:]] == calls.rank[rows[:-1]]) & (calls.window[rows[1:]] >= 0)
    interval_ns = (begins_ns[1:] - returns_ns[:-1])[inside]
    del begins_ns, returns_ns
    before, after = rows[:-1][inside], rows[1:][inside]
    return _Intervals(
        window=calls.window[after],
        call_before=calls.call[before],
        call_after=calls.call[after],
        interval_ns=interval_ns,
    )


def _lead_us(trace: Trace) -> grouped.Floats:
    """Median from return of the launch call to start, of the ungraphed operations of each iteration of the GPU."""
    operations, calls = trace.operations, trace.activity.calls
    call = operations["call"].to_numpy(np.int64)
    of_graph = np.append((calls["kind"] == "graph").to_numpy(bool), True)
    of = np.where(of_graph[call], -1, grouped.among(operations, trace.iterations))
    lead_ns = operations["start_ns"].to_numpy(np.int64) - np.append(calls["end_ns"].to_numpy(np.int64), 0)[call]
    return grouped.medians(of, len(trace.iterations), lead_ns) / 1e3


def _names(trace: Trace) -> tuple[Names, Ints, Ints]:
    """All names, and of every call the number of the name of what it launched: of a graph the first and last node.

    A call that launched nothing has the name of the API function.
    """
    operations = trace.operations
    of_signature, names = pd.factorize(trace.activity.signatures["name"].to_numpy(object))
    api = trace.activity.calls["name"].cat
    first = np.asarray(api.codes, np.int64) + len(names)
    last = first.copy()
    call, launched = operations["call"].to_numpy(np.int64), operations["first_of_call"].to_numpy(bool)
    name = of_signature[operations["signature"].to_numpy(np.int64)]
    first[call[launched]] = name[launched]
    # Of several values for one place the last one stays.
    last[call[call >= 0]] = name[call >= 0]
    return np.array([*names, *api.categories], dtype=object), first, last
