"""How long the GPU had been idle when an operation started.

Streams overlap and dependent launches start early, so idleness counts from the latest end among all earlier
operations of the rank, not from the end of the one before. A negative gap is overlap, never idleness.
"""

import numpy as np
import pandas as pd

from analysis import grouped
from analysis.intervals import NEVER, Ints
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The median gap of each iteration, overlaps left aside. Returns rank, iteration, gap_us (NaN without a gap)."""
    windows, gap_ns = trace.iterations, _gap_ns(trace)
    of = np.where(gap_ns >= 0, trace.window, -1)
    return windows[["rank", "iteration"]].assign(gap_us=grouped.medians(of, len(windows), gap_ns) / 1e3)


def gaps(trace: Trace) -> pd.DataFrame:
    """The gap before every operation of the steady iterations. Returns rank, iteration, gap_us; overlap is negative."""
    rank, iteration, latest_ns = (
        trace.operations[name].to_numpy(np.int64) for name in ("rank", "iteration", "latest_end_ns")
    )
    inside = (iteration >= 0) & (latest_ns != NEVER)
    gap_us = _gap_ns(trace)[inside] / 1e3
    return pd.DataFrame({"rank": rank[inside], "iteration": iteration[inside], "gap_us": gap_us}, copy=False)


def _gap_ns(trace: Trace) -> Ints:
    """The gap before every operation; negative for the first of a rank, too, which has none."""
    starts_ns, latest_ns = (trace.operations[name].to_numpy(np.int64) for name in ("start_ns", "latest_end_ns"))
    return np.where(latest_ns == NEVER, -1, starts_ns - latest_ns)
