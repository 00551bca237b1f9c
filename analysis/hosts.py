"""What the host did in each decode iteration: launching, other CUDA calls, waiting, and everything else.

Of each rank it looks at the thread that launches most. An iteration of the host lies between the returns of the calls
that launched the anchor, which is not when the GPU ran it: the host may be iterations ahead. Why the GPU waited for
the host is in causes.py.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.intervals import Ints
from analysis.iterations import Trace

Names = npt.NDArray[np.object_]

LAUNCHES = ("launch", "graph", "copy", "set")
# How many times longer than the trace's typical interval between launches a slow site takes.
SLOW_RATIO = 2.0
_PARTS = ["launch_call_us", "other_call_us", "wait_us", "framework_us"]
_CALL_PARTS = pd.CategoricalDtype(_PARTS[:3])


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
    calls, windows = _calls(trace), _windows(trace)
    keys = ["rank", "iteration"]
    inside = calls[calls["iteration"] >= 0]
    took_us = (inside["end_ns"] - inside["start_ns"]) / 1e3
    by_part = took_us.groupby([inside["rank"], inside["iteration"], inside["part"]], observed=True).sum()
    spent = by_part.astype("float64").unstack(fill_value=0).reindex(columns=_PARTS[:3], fill_value=0)
    launches = inside[inside["launches"]].groupby(keys)
    found = windows.set_index(keys).reindex(pd.MultiIndex.from_frame(trace.iterations[keys]))
    found = found.join(spent).join(launches.size().rename("launches"))
    found = found.join(_intervals(calls).groupby(keys)["interval_us"].max().rename("largest_interval_us"))
    length_us = (found["until_ns"] - found["after_ns"]) / 1e3
    working_us = length_us - found["wait_us"]
    found = found.assign(
        framework_us=length_us - found[_PARTS[:3]].sum(axis=1),
        host_ms=(working_us - found["largest_interval_us"]) / 1e3,
        t_launch_us=working_us / found["launches"],
        lead_us=_lead_us(trace),
        queue_median_launches=launches["queue"].median(),
        queue_max_launches=launches["queue"].max(),
    )
    order = ["launches", *_PARTS, "largest_interval_us", "host_ms", "t_launch_us", "lead_us"]
    return found[[*order, "queue_median_launches", "queue_max_launches"]].astype("float64").reset_index()


def sites(trace: Trace) -> pd.DataFrame:
    """Where the host spends its time between launches, by what it launched before and after, longest total first.

    Returns before, after (names of kernels, copies or memsets, of a graph's last and first node), per_iteration (how
    often in an iteration of one rank), interval_us (median from return of one launch to begin of the next, blocking
    calls taken out), total_ms (in an iteration of one rank) and typical_ratio (interval_us over the median interval
    of the whole trace).
    """
    launched = _intervals(_calls(trace))
    windows, typical_us = len(_windows(trace)), launched["interval_us"].median()
    names, first, last = _names(trace)
    sides = [last[launched["call_before"]], first[launched["call_after"]]]
    found = launched["interval_us"].groupby(sides).agg(["size", "median", "sum"]).sort_values("sum", ascending=False)
    before, after = found.index.get_level_values(0), found.index.get_level_values(1)
    return pd.DataFrame(
        {
            "before": names[before],
            "after": names[after],
            "per_iteration": found["size"].to_numpy() / windows,
            "interval_us": found["median"].to_numpy(),
            "total_ms": found["sum"].to_numpy() / windows / 1e3,
            "typical_ratio": found["median"].to_numpy() / typical_us,
        }
    )


def slow_sites(trace: Trace) -> pd.DataFrame:
    """Those of `sites` that take SLOW_RATIO times the trace's typical interval or more, in the same columns."""
    found = sites(trace)
    return found[found["typical_ratio"] >= SLOW_RATIO].reset_index(drop=True)


def _calls(trace: Trace) -> pd.DataFrame:
    """The outermost calls of each rank's launching thread in order of time; the index is the row of `calls`.

    Returns rank, start_ns, end_ns, part, launches, own_blocked_ns, blocked_ns (up to its return, since the first
    call), iteration of the host (-1 outside), queue.
    """
    calls = trace.activity.calls
    starts = calls["kind"].isin(LAUNCHES)
    counts = calls[starts & (calls["rank"] >= 0)].groupby(["rank", "thread"]).size()
    threads = counts[counts.groupby("rank").idxmax()].reset_index()["thread"]
    mine = calls[calls["thread"].isin(threads) & calls["outermost"]].sort_values(["rank", "start_ns"], kind="stable")
    starts = starts[mine.index]
    # A copy that is not asynchronous returns when it is done: the host waits in it.
    asynchronous = [name for name in mine["name"].cat.categories if "Async" in name]
    waits = (mine["kind"] == "wait") | ((mine["kind"] == "copy") & ~mine["name"].isin(asynchronous))
    blocked_ns = (mine["end_ns"] - mine["start_ns"]).where(waits, 0)
    return mine[["rank", "start_ns", "end_ns"]].assign(
        part=pd.Categorical.from_codes(np.select([starts & ~waits, ~waits], [0, 1], 2), dtype=_CALL_PARTS),
        launches=starts,
        own_blocked_ns=blocked_ns,
        blocked_ns=blocked_ns.groupby(mine["rank"]).cumsum(),
        iteration=_iteration_of(mine, _windows(trace)),
        queue=_queue(trace, mine[starts]).reindex(mine.index, fill_value=0),
    )


def _windows(trace: Trace) -> pd.DataFrame:
    """Each iteration of the host whose anchors have known calls: rank, iteration, after_ns, until_ns."""
    what = trace.activity.signatures
    label = (what["name"] + " " + what["grid"] + " " + what["block"]).str.strip()
    is_anchor = trace.operations["signature"].isin(what.loc[label == trace.anchor, "signature"])
    anchor = trace.operations[is_anchor & (trace.operations["call"] >= 0)].drop_duplicates(["rank", "end_ns"])
    returned_ns = trace.activity.calls["end_ns"].to_numpy(np.int64)[anchor["call"]]
    closes = anchor[["rank", "end_ns"]].assign(until_ns=returned_ns)
    opens = closes.rename(columns={"end_ns": "start_ns", "until_ns": "after_ns"})
    windows = trace.iterations.merge(opens, on=["rank", "start_ns"]).merge(closes, on=["rank", "end_ns"])
    return windows[["rank", "iteration", "after_ns", "until_ns"]]


def _iteration_of(calls: pd.DataFrame, windows: pd.DataFrame) -> Ints:
    """The iteration of the host in which each call returned, -1 for none."""
    number = np.full(len(calls), -1, np.int64)
    of_rank, ends_ns = calls["rank"].to_numpy(np.int64), calls["end_ns"].to_numpy(np.int64)
    for rank, mine in windows.sort_values("until_ns").groupby("rank"):
        at = np.flatnonzero(of_rank == rank)
        within = np.searchsorted(mine["until_ns"].to_numpy(np.int64), ends_ns[at])
        at, within = at[within < len(mine)], within[within < len(mine)]
        begun = mine["after_ns"].to_numpy(np.int64)[within] < ends_ns[at]
        number[at[begun]] = mine["iteration"].to_numpy(np.int64)[within[begun]]
    return number


def _queue(trace: Trace, launches: pd.DataFrame) -> "pd.Series[int]":
    """How many earlier launches of its rank had not started on the GPU as each launch began."""
    operations = trace.operations[trace.operations["call"] >= 0]
    # A launch of nothing, as of an empty copy, waits for nothing; of a graph the first node counts.
    started_ns = trace.activity.calls["end_ns"].to_numpy(np.int64, copy=True)
    started_ns[operations["call"].to_numpy(np.int64)[::-1]] = operations["start_ns"].to_numpy(np.int64)[::-1]
    ahead: list[pd.Series[int]] = [pd.Series(dtype="int64")]
    for _, mine in launches.groupby("rank"):
        starts_ns = np.sort(started_ns[mine.index.to_numpy(np.int64)])
        started = np.searchsorted(starts_ns, mine["start_ns"].to_numpy(np.int64), side="right")
        ahead.append(pd.Series(np.arange(len(mine)) - started, index=mine.index))
    return pd.concat(ahead)


def _intervals(calls: pd.DataFrame) -> pd.DataFrame:
    """From each launch to the next of its thread, within an iteration of the host, without what blocked in between.

    Returns rank, iteration, call_before, call_after, interval_us.
    """
    launches = calls[calls["launches"]]
    rows = launches.index.to_numpy(np.int64)
    blocked_ns = launches["blocked_ns"] - launches["own_blocked_ns"]
    pairs = pd.DataFrame(
        {
            "rank": launches["rank"].to_numpy()[1:],
            "iteration": launches["iteration"].to_numpy()[1:],
            "call_before": rows[:-1],
            "call_after": rows[1:],
            "interval_us": (
                launches["start_ns"].to_numpy(np.int64)[1:]
                - launches["end_ns"].to_numpy(np.int64)[:-1]
                - blocked_ns.to_numpy(np.int64)[1:]
                + launches["blocked_ns"].to_numpy(np.int64)[:-1]
            )
            / 1e3,
        }
    )
    same_rank = launches["rank"].to_numpy()[1:] == launches["rank"].to_numpy()[:-1]
    inside: pd.DataFrame = pairs[same_rank & (pairs["iteration"] >= 0)]
    return inside


def _lead_us(trace: Trace) -> "pd.Series[float]":
    """Median from return of the launch call to start, of the ungraphed operations of each iteration of the GPU."""
    calls = trace.activity.calls
    operations = trace.operations[(trace.operations["call"] >= 0) & (trace.operations["iteration"] >= 0)]
    alone = operations[(calls["kind"].to_numpy() != "graph")[operations["call"]]]
    lead_us = (alone["start_ns"] - calls["end_ns"].to_numpy(np.int64)[alone["call"]]) / 1e3
    medians: pd.Series[float] = lead_us.groupby([alone["rank"], alone["iteration"]]).median()
    return medians


def _names(trace: Trace) -> tuple[Names, Ints, Ints]:
    """All names, and of every call the number of the name of what it launched: of a graph the first and last node.

    A call that launched nothing has the name of the API function.
    """
    operations = trace.operations.loc[trace.operations["call"] >= 0, ["call", "signature"]]
    of_signature, names = pd.factorize(trace.activity.signatures["name"].to_numpy(object))
    api = trace.activity.calls["name"].cat
    first = np.asarray(api.codes, np.int64) + len(names)
    last = first.copy()
    call, name = operations["call"].to_numpy(np.int64), of_signature[operations["signature"].to_numpy(np.int64)]
    # Of several values for one place the last one stays.
    last[call] = name
    first[call[::-1]] = name[::-1]
    return np.array([*names, *api.categories], dtype=object), first, last
