"""What the host takes before each launch and in it, where nothing holds it up: no wait, no full queue."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import host_calls
from analysis.grouped import Floats
from analysis.host_calls import PARTS
from analysis.intervals import Ints
from analysis.iterations import Trace

QUEUE_LAUNCHES = 1024
"""So many launches wait for the GPU at most; the next call returns when one has begun."""
# A call that finds the queue nearly full waits in it.
_NEARLY_FULL = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Issued:
    """The launches of one rank's thread, in order."""

    call: Ints
    """Row of `calls`."""
    think_us: Floats
    """From the return of the launch before, without blocking calls."""
    call_us: Floats
    """In the call; where the queue was nearly full as long as calls take that find room."""
    iteration: Ints
    """Of the host, -1 outside the steady ones."""


def find(trace: Trace) -> list[Issued]:
    """The launches of each rank; none where the anchor's calls were not recorded."""
    windows, threads = host_calls.iteration_windows(trace), host_calls.launching_threads(trace)
    of_rank = [windows[windows["rank"] == rank] for rank in range(len(trace.ranks))]
    return [
        _nothing() if rank not in threads or mine.empty else _of_thread(trace, rank, mine, threads[rank])
        for rank, mine in enumerate(of_rank)
    ]


def per_iteration(issued: Issued, numbers: Ints) -> Floats:
    """What the host takes for each of the iterations but for its longest stretch before a launch, in us.

    In that it may be polling for work or for the GPU, which looks like work. NaN where not known.
    """
    inside = np.isin(issued.iteration, numbers)
    at = np.searchsorted(numbers, issued.iteration[inside])
    think_us = issued.think_us[inside]
    spent_us = np.bincount(at, think_us + issued.call_us[inside], minlength=len(numbers))
    longest_us = np.zeros(len(numbers))
    np.maximum.at(longest_us, at, think_us)
    found: Floats = np.where(np.bincount(at, minlength=len(numbers)) > 0, spent_us - longest_us, np.nan)
    return found


def _of_thread(trace: Trace, rank: int, windows: pd.DataFrame, thread: tuple[int, int]) -> Issued:
    calls = host_calls.find(trace, windows, thread)
    rows = np.flatnonzero(calls.launches)
    begins_ns, returns_ns, blocked_ns = (v[rows] for v in (calls.start_ns, calls.end_ns, calls.blocked_ns))
    call_ns = np.where(calls.part[rows] == PARTS.index("wait_us"), 0, returns_ns - begins_ns)
    working_ns = returns_ns - blocked_ns
    think_ns = np.diff(working_ns, prepend=working_ns[:1]) - call_ns
    full = host_calls.queued(trace, calls, host_calls.launched(trace, rank, calls)) >= _NEARLY_FULL
    if full.any():
        usual_ns = call_ns.min() if full.all() else int(np.median(call_ns[~full]))
        call_ns[full] = np.minimum(call_ns[full], usual_ns)
    window, numbers = calls.window[rows], windows["iteration"].to_numpy(np.int64)
    return Issued(
        call=calls.call[rows] + calls.first_call,
        think_us=np.maximum(think_ns, 0) / 1e3,
        call_us=call_ns / 1e3,
        iteration=np.where(window >= 0, numbers[window], -1),
    )


def _nothing() -> Issued:
    rows, times = np.zeros(0, np.int64), np.zeros(0)
    return Issued(call=rows, think_us=times, call_us=times, iteration=rows)
