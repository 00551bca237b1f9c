"""Time within a decode iteration in which a GPU ran nothing on any stream."""

import pandas as pd

from analysis.intervals import covered_ns
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The uncovered part of each iteration. Returns rank, iteration, idle_ms."""
    windows = trace.iterations
    idle_ns = windows["end_ns"] - windows["start_ns"] - covered_ns(trace.busy, windows)
    return windows[["rank", "iteration"]].assign(idle_ms=idle_ns / 1e6)
