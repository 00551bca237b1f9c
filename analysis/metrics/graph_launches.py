"""How many CUDA graphs a decode iteration launches; 0 on every rank is what "graphs off" means.

A launch counts where the first of its operations ends. Where nothing that graphs ran was recorded, their calls count,
in the iteration of the host.
"""

import numpy as np
import pandas as pd

from analysis import grouped, host_calls
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The graph launches of each iteration. Returns rank, iteration, graph_launches (NaN where not known)."""
    if trace.activity.graph_tracing == "unseen":
        return _called(trace)
    windows, operations = trace.iterations, trace.operations
    is_graph = (trace.activity.calls["kind"] == "graph").to_numpy(bool)
    if not is_graph.any():
        return windows[["rank", "iteration"]].assign(graph_launches=0)
    first = np.flatnonzero(operations["first_of_call"])
    graphs = operations.iloc[first[is_graph[operations["call"].to_numpy(np.int64)[first]]]]
    count = grouped.counts(grouped.among(graphs, windows), len(windows))
    return windows[["rank", "iteration"]].assign(graph_launches=count)


def _called(trace: Trace) -> pd.DataFrame:
    """The calls that launch graphs in each iteration of the host; NaN where the anchor's calls are not known."""
    windows, calls = host_calls.iteration_windows(trace), trace.activity.calls
    graphs = calls[(calls["kind"] == "graph") & calls["outermost"]]
    counted = windows.assign(graph_launches=0)
    for rank, mine in windows.groupby("rank"):
        returned_ns = np.sort(graphs.loc[graphs["rank"] == rank, "end_ns"].to_numpy(np.int64))
        until, after = (np.searchsorted(returned_ns, mine[side], side="right") for side in ("until_ns", "after_ns"))
        counted.loc[mine.index, "graph_launches"] = until - after
    keys = ["rank", "iteration"]
    return trace.iterations[keys].merge(counted[[*keys, "graph_launches"]], on=keys, how="left")
