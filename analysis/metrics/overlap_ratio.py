"""Share of operations that start before all earlier ones of the GPU have ended: dependent launches, side streams."""

import numpy as np
import pandas as pd

from analysis import grouped
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The share of each iteration's operations that overlap an earlier one. Returns rank, iteration, overlap_ratio."""
    windows, operations = trace.iterations, trace.operations
    of = trace.window
    starts_ns, latest_ns = (operations[name].to_numpy(np.int64) for name in ("start_ns", "latest_end_ns"))
    early = grouped.counts(np.where(starts_ns < latest_ns, of, -1), len(windows))
    ratio = early / np.maximum(grouped.counts(of, len(windows)), 1)
    return windows[["rank", "iteration"]].assign(overlap_ratio=ratio)
