"""How many API calls a decode iteration takes to start its work: a graph is one launch, whatever its nodes."""

import numpy as np
import pandas as pd

from analysis import grouped
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The launch calls of each iteration, copies and memsets included. Returns rank, iteration, launches."""
    windows, operations = trace.iterations, trace.operations
    of = np.where(operations["first_of_call"], trace.window, -1)
    return windows[["rank", "iteration"]].assign(launches=grouped.counts(of, len(windows)))
