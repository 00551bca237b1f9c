"""The calls of the thread that launches each rank's work, in order of time, as arrays; hosts.py accounts for them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis import tables
from analysis.grouped import Codes
from analysis.intervals import Ints, Mask
from analysis.iterations import Trace
from analysis.threads import side_by_side

Shorts = npt.NDArray[np.int16]

LAUNCHES = ("launch", "graph", "copy", "set")
PARTS = ("launch_call_us", "other_call_us", "wait_us")
_LAUNCH, _OTHER, _WAIT = range(3)


@dataclass(frozen=True, kw_only=True, eq=False)
class HostCalls:
    """The outermost calls of each rank's launching thread, rank by rank in order of start. Times in ns.

    `windows` has a row for each iteration of the host whose anchors have known calls: rank, iteration, after_ns,
    until_ns.
    """

    windows: pd.DataFrame
    call: Ints
    """Row of `calls`."""
    rank: Shorts
    start_ns: Ints
    end_ns: Ints
    part: Codes
    """Which of PARTS its time counts as."""
    launches: Mask
    """Whether it starts work."""
    blocked_ns: Ints
    """Time in blocking calls up to its return, since the first call of all."""
    window: Ints
    """Row of `windows` in which it returned, -1 outside."""


def find(trace: Trace) -> HostCalls:
    """Pick the calls out of a trace, whose calls lie thread by thread in order of start."""
    calls = trace.activity.calls
    kinds = calls["kind"].cat.codes.to_numpy()
    starts_work = np.isin(np.array(tables.CALL_KINDS), LAUNCHES)
    row, counts = _of_launching_threads(calls, starts_work[kinds])
    rank = np.repeat(np.arange(len(counts), dtype=np.int16), counts)
    start_ns, end_ns = (calls[side].to_numpy(np.int64)[row] for side in ("start_ns", "end_ns"))
    kinds, launches = kinds[row], starts_work[kinds[row]]
    # A copy that is not asynchronous returns when it is done: the host waits in it.
    asynchronous = np.array(["Async" in name for name in calls["name"].cat.categories], dtype=bool)
    copies = kinds == tables.CALL_KINDS.index("copy")
    waits = kinds == tables.CALL_KINDS.index("wait")
    waits[copies] |= ~asynchronous[calls["name"].cat.codes.to_numpy()[row[copies]]]
    windows = _windows(trace)
    return HostCalls(
        windows=windows,
        call=row,
        rank=rank,
        start_ns=start_ns,
        end_ns=end_ns,
        part=np.where(waits, np.int8(_WAIT), np.where(launches, np.int8(_LAUNCH), np.int8(_OTHER))),
        launches=launches,
        blocked_ns=np.cumsum(np.where(waits, end_ns - start_ns, 0)),
        window=_window_of(rank, end_ns, windows),
    )


def queued(trace: Trace, calls: HostCalls) -> Ints:
    """How many earlier launches of its rank had not started on the GPU as each launch began, of all that launch."""
    first = trace.operations["first_of_call"].to_numpy(bool)
    call, start_ns = (trace.operations[name].to_numpy(np.int64)[first] for name in ("call", "start_ns"))
    # A launch of nothing, as of an empty copy, waits for nothing; of a graph the first node counts.
    started_ns = trace.activity.calls["end_ns"].to_numpy(np.int64, copy=True)
    started_ns[call[::-1]] = start_ns[::-1]
    del first, call, start_ns
    started_ns = started_ns[calls.call[calls.launches]]
    begun_ns, rank = calls.start_ns[calls.launches], calls.rank[calls.launches]
    ahead = np.empty(len(rank), np.int64)
    bounds = np.searchsorted(rank, np.arange(rank.max(initial=-1) + 2))

    def count(number: int) -> None:
        mine = slice(bounds[number], bounds[number + 1])
        started = np.searchsorted(np.sort(started_ns[mine]), begun_ns[mine], side="right")
        ahead[mine] = np.arange(len(started)) - started

    side_by_side(count, range(len(bounds) - 1))
    return ahead


def _of_launching_threads(calls: pd.DataFrame, starts_work: Mask) -> tuple[Ints, Ints]:
    """Rows of the outermost calls of the thread of each rank that launches most, and how many a rank has."""
    threads, outermost = calls["thread"].to_numpy(np.int64), calls["outermost"].to_numpy(bool)
    begins = np.flatnonzero(np.concatenate(([True], threads[1:] != threads[:-1]))) if len(threads) else threads
    ends = np.append(begins[1:], len(threads))
    launched = np.add.reduceat(starts_work, begins, dtype=np.int64) if len(begins) else begins
    ranks = calls["rank"].to_numpy(np.int64)[begins]
    rows: list[Ints] = [np.empty(0, np.int64)]
    for rank in range(ranks.max(initial=-1) + 1):
        most = int(np.where(ranks == rank, launched, 0).argmax())
        mine = slice(begins[most], ends[most])
        some = ranks[most] == rank and launched[most] > 0
        rows.append(begins[most] + np.flatnonzero(outermost[mine]) if some else rows[0])
    return np.concatenate(rows), np.array([len(found) for found in rows[1:]], np.int64)


def _windows(trace: Trace) -> pd.DataFrame:
    """Each iteration of the host whose anchors have known calls, rank by rank in order of time."""
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


def _window_of(rank: Shorts, ends_ns: Ints, windows: pd.DataFrame) -> Ints:
    """The window of its rank in which each call returned, -1 for none."""
    found = np.full(len(rank), -1, np.int64)
    after_ns, until_ns, of_rank = (windows[name].to_numpy(np.int64) for name in ("after_ns", "until_ns", "rank"))

    def place(number: int) -> None:
        mine = slice(*np.searchsorted(rank, (number, number + 1)))
        first, last = np.searchsorted(of_rank, (number, number + 1))
        within = first + np.searchsorted(until_ns[first:last], ends_ns[mine])
        begun = within < last
        begun[begun] = after_ns[within[begun]] < ends_ns[mine][begun]
        found[mine] = np.where(begun, within, -1)

    side_by_side(place, np.unique(of_rank).tolist())
    return found
