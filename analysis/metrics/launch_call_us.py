"""Host time inside the API calls that start the work of a decode iteration; a graph's call counts once."""

import numpy as np
import pandas as pd

from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The summed duration of the launch calls of each iteration. Returns rank, iteration, launch_call_us."""
    launched = trace.launches()
    calls = trace.activity.calls.iloc[launched["call"]]
    spent = launched.assign(call_us=((calls["end_ns"] - calls["start_ns"]) / 1e3).to_numpy(np.float64))
    return trace.per_iteration(spent.groupby(["rank", "iteration"])["call_us"].sum(), "launch_call_us")
