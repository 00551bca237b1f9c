"""How long a decode iteration takes on a rank: from the end of one anchor to the end of the next."""

import pandas as pd

from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The length of each iteration. Returns rank, iteration, iter_ms."""
    length_ns = trace.iterations["end_ns"] - trace.iterations["start_ns"]
    return trace.iterations[["rank", "iteration"]].assign(iter_ms=length_ns / 1e6)
