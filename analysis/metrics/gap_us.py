"""How long the GPU had been idle when an operation started.

Streams overlap and dependent launches start early, so idleness counts from the latest end among all earlier
operations of the rank, not from the end of the one before. A negative gap is overlap, never idleness.
"""

import numpy as np
import pandas as pd

from analysis.intervals import latest_end_before
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The median gap of each iteration, overlaps left aside. Returns rank, iteration, gap_us (NaN without a gap)."""
    idle = gaps(trace)
    idle = idle[idle["gap_us"] >= 0]
    return trace.per_iteration(idle.groupby(["rank", "iteration"])["gap_us"].median(), "gap_us", absent=np.nan)


def gaps(trace: Trace) -> pd.DataFrame:
    """The gap before every operation of the steady iterations. Returns rank, iteration, gap_us; overlap is negative."""
    operations = trace.operations.sort_values(["rank", "start_ns"], kind="stable")
    latest_ns, first = latest_end_before(operations["rank"].to_numpy(np.int64), operations["end_ns"].to_numpy(np.int64))
    gap_ns = operations["start_ns"].to_numpy(np.int64) - latest_ns
    found = operations[["rank", "iteration"]].assign(gap_us=gap_ns / 1e3)
    return found[~first & (found["iteration"] >= 0).to_numpy()].reset_index(drop=True)
