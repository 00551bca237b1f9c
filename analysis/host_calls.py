"""The calls of the thread that launches a rank's work, in order of time, as arrays; hosts.py accounts for them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import tables
from analysis.grouped import Codes
from analysis.intervals import Ints, Mask
from analysis.iterations import Trace

LAUNCHES = ("launch", "graph", "copy", "set")
PARTS = ("launch_call_us", "other_call_us", "wait_us")
_LAUNCH, _OTHER, _WAIT = range(3)


@dataclass(frozen=True, kw_only=True, eq=False)
class HostCalls:
    """The outermost calls of one rank's launching thread in order of start. Times in ns."""

    call: Ints
    """Row of `calls`, counted from `first_call`."""
    start_ns: Ints
    end_ns: Ints
    part: Codes
    """Which of PARTS its time counts as."""
    launches: Mask
    """Whether it starts work."""
    blocked_ns: Ints
    """Time in blocking calls up to its return."""
    asking_ns: Ints
    """Time in calls that only ask since the call before."""
    window: Ints
    """Which of the rank's windows it returned in, -1 outside."""
    first_call: int
    last_call: int
    """The calls of the thread lie between these rows of `calls`, the latter not included."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Launched:
    """The operations of one rank that calls of its launching thread started."""

    call: Ints
    """Row of `calls`, counted from the first of the thread."""
    start_ns: Ints
    signature: Ints
    first: Mask
    """Whether it is the first that its call started."""


def find(trace: Trace, windows: pd.DataFrame, thread: tuple[int, int]) -> HostCalls:
    """Pick the calls of a thread, which lie between two rows of the trace's, in order of start."""
    calls = trace.activity.calls.iloc[slice(*thread)]
    row = np.flatnonzero(calls["outermost"])
    start_ns, end_ns = (calls[side].to_numpy(np.int64)[row] for side in ("start_ns", "end_ns"))
    kinds = calls["kind"].cat.codes.to_numpy()[row]
    launches = np.isin(np.array(tables.CALL_KINDS), LAUNCHES)[kinds]
    # A copy that is not asynchronous returns when it is done: the host waits in it.
    asynchronous = np.array(["Async" in name for name in calls["name"].cat.categories], dtype=bool)
    copies = kinds == tables.CALL_KINDS.index("copy")
    waits = kinds == tables.CALL_KINDS.index("wait")
    waits[copies] |= ~asynchronous[calls["name"].cat.codes.to_numpy()[row[copies]]]
    return HostCalls(
        call=row,
        start_ns=start_ns,
        end_ns=end_ns,
        part=np.where(waits, np.int8(_WAIT), np.where(launches, np.int8(_LAUNCH), np.int8(_OTHER))),
        launches=launches,
        blocked_ns=np.cumsum(np.where(waits, end_ns - start_ns, 0)),
        asking_ns=np.diff(np.cumsum(calls["asking_ns"].to_numpy(np.int64))[row], prepend=0),
        window=_window_of(end_ns, windows),
        first_call=thread[0],
        last_call=thread[1],
    )


def launched(trace: Trace, rank: int, calls: HostCalls) -> Launched:
    """What the calls started; operations lie rank by rank in order of start."""
    operations = trace.operations
    mine = operations.iloc[slice(*np.searchsorted(operations["rank"], (rank, rank + 1)))]
    call = mine["call"].to_numpy(np.int64)
    within = (call >= calls.first_call) & (call < calls.last_call)
    return Launched(
        call=call[within] - calls.first_call,
        start_ns=mine["start_ns"].to_numpy(np.int64)[within],
        signature=mine["signature"].to_numpy(np.int64)[within],
        first=mine["first_of_call"].to_numpy(bool)[within],
    )


def queued(trace: Trace, calls: HostCalls, launched: Launched) -> Ints:
    """How many earlier launches had not started on the GPU as each launch began, of all calls that launch."""
    ends_ns = trace.activity.calls["end_ns"].iloc[calls.first_call : calls.last_call]
    # A launch of nothing, as of an empty copy, waits for nothing; of a graph the first node counts.
    started_ns = ends_ns.to_numpy(np.int64, copy=True)
    started_ns[launched.call[launched.first]] = launched.start_ns[launched.first]
    started = np.sort(started_ns[calls.call[calls.launches]])
    begun_ns = calls.start_ns[calls.launches]
    return np.arange(len(begun_ns)) - np.searchsorted(started, begun_ns, side="right")


def launching_threads(trace: Trace) -> dict[int, tuple[int, int]]:
    """Of each rank the rows of `calls`, from and up to, of the thread that launches most."""
    calls = trace.activity.calls
    starts_work = np.isin(np.array(tables.CALL_KINDS), LAUNCHES)[calls["kind"].cat.codes.to_numpy()]
    threads = calls["thread"].to_numpy(np.int64)
    begins = np.flatnonzero(np.concatenate(([True], threads[1:] != threads[:-1]))) if len(threads) else threads
    ends = np.append(begins[1:], len(threads))
    launched = np.add.reduceat(starts_work, begins, dtype=np.int64) if len(begins) else begins
    ranks = calls["rank"].to_numpy(np.int64)[begins]
    found = {}
    for rank in np.unique(ranks[(ranks >= 0) & (launched > 0)]).tolist():
        most = int(np.where(ranks == rank, launched, 0).argmax())
        found[rank] = (int(begins[most]), int(ends[most]))
    return found


def iteration_windows(trace: Trace) -> pd.DataFrame:
    """Each iteration of the host whose anchors have known calls, rank by rank in order of time.

    Returns rank, iteration, after_ns, until_ns.
    """
    what = trace.activity.signatures
    label = (what["name"] + " " + what["grid"] + " " + what["block"]).str.strip()
    is_anchor = (label == trace.anchor).to_numpy(bool)[trace.operations["signature"].to_numpy(np.int64)]
    at = np.flatnonzero(is_anchor & (trace.operations["call"].to_numpy(np.int64) >= 0))
    anchor = trace.operations.iloc[at].drop_duplicates(["rank", "end_ns"])
    returned_ns = trace.activity.calls["end_ns"].to_numpy(np.int64)[anchor["call"]]
    closes = anchor[["rank", "end_ns"]].assign(until_ns=returned_ns)
    opens = closes.rename(columns={"end_ns": "start_ns", "until_ns": "after_ns"})
    windows = trace.iterations.merge(opens, on=["rank", "start_ns"]).merge(closes, on=["rank", "end_ns"])
    return windows[["rank", "iteration", "after_ns", "until_ns"]].sort_values(["rank", "until_ns"], ignore_index=True)


def _window_of(ends_ns: Ints, windows: pd.DataFrame) -> Ints:
    """The window in which each call returned, -1 for none; calls and windows lie in order of their ends."""
    after_ns, until_ns = (windows[name].to_numpy(np.int64) for name in ("after_ns", "until_ns"))
    returned = np.diff(np.searchsorted(ends_ns, until_ns, side="right"), prepend=0)
    begun = np.repeat(after_ns, returned) < ends_ns[: returned.sum()]
    window = np.full(len(ends_ns), -1)
    window[: len(begun)] = np.where(begun, np.repeat(np.arange(len(windows)), returned), -1)
    return window
