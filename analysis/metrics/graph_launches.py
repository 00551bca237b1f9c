"""How many CUDA graphs a decode iteration launches; 0 on every rank is what "graphs off" means."""

import numpy as np
import pandas as pd

from analysis import grouped
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The graph launches of each iteration. Returns rank, iteration, graph_launches."""
    windows, operations = trace.iterations, trace.operations
    is_graph = (trace.activity.calls["kind"] == "graph").to_numpy(bool)
    if not is_graph.any():
        return windows[["rank", "iteration"]].assign(graph_launches=0)
    first = np.flatnonzero(operations["first_of_call"])
    graphs = operations.iloc[first[is_graph[operations["call"].to_numpy(np.int64)[first]]]]
    count = grouped.counts(grouped.among(graphs, windows), len(windows))
    return windows[["rank", "iteration"]].assign(graph_launches=count)
