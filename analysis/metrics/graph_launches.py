"""How many CUDA graphs a decode iteration launches; 0 on every rank is what "graphs off" means."""

import pandas as pd

from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The graph launches of each iteration. Returns rank, iteration, graph_launches."""
    launched = trace.launches()
    graphs = launched[(trace.activity.calls["kind"].iloc[launched["call"]] == "graph").to_numpy()]
    return trace.per_iteration(graphs.groupby(["rank", "iteration"]).size(), "graph_launches")
