"""How many API calls a decode iteration takes to start its work: a graph is one launch, whatever its nodes."""

import pandas as pd

from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The launch calls of each iteration, copies and memsets included. Returns rank, iteration, launches."""
    return trace.per_iteration(trace.launches().groupby(["rank", "iteration"]).size(), "launches")
