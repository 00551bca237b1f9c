"""Host time inside the API calls that start the work of a decode iteration; a graph's call counts once."""

import numpy as np
import pandas as pd

from analysis import grouped
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The summed duration of the launch calls of each iteration. Returns rank, iteration, launch_call_us."""
    windows, operations, calls = trace.iterations, trace.operations, trace.activity.calls
    took_ns = calls["end_ns"].to_numpy(np.int64) - calls["start_ns"].to_numpy(np.int64)
    first = operations["first_of_call"].to_numpy(bool)
    of = trace.window[first]
    spent_ns = grouped.sums(of, len(windows), took_ns[operations["call"].to_numpy(np.int64)[first]])
    return windows[["rank", "iteration"]].assign(launch_call_us=spent_ns / 1e3)
