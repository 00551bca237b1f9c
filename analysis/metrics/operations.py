"""How many operations a GPU runs in a decode iteration: kernels, copies, memsets; each node of a graph counts."""

import pandas as pd

from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The operations of each iteration. Returns rank, iteration, operations."""
    return trace.per_iteration(trace.operations.groupby(["rank", "iteration"]).size(), "operations")
