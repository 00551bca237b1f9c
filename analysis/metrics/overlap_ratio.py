"""Share of operations that start before all earlier ones of the GPU have ended: dependent launches, side streams."""

import numpy as np
import pandas as pd

from analysis.intervals import latest_end_before
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The share of each iteration's operations that overlap an earlier one. Returns rank, iteration, overlap_ratio."""
    operations = trace.operations.sort_values(["rank", "start_ns"], kind="stable")
    latest_ns, first = latest_end_before(operations["rank"].to_numpy(np.int64), operations["end_ns"].to_numpy(np.int64))
    overlaps = operations.assign(overlap=~first & (operations["start_ns"].to_numpy(np.int64) < latest_ns))
    return trace.per_iteration(overlaps.groupby(["rank", "iteration"])["overlap"].mean(), "overlap_ratio")
