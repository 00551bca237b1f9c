"""How many operations a GPU runs in a decode iteration: kernels, copies, memsets; each node of a graph counts."""

import pandas as pd

from analysis import grouped
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The operations of each iteration. Returns rank, iteration, operations."""
    windows = trace.iterations
    ran = grouped.counts(trace.window, len(windows))
    return windows[["rank", "iteration"]].assign(operations=ran)
