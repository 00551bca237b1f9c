"""Time within a decode iteration in which a GPU ran anything: kernels, copies and memsets, on any stream.

Operations overlap (dependent launches start early, collectives run beside compute), so it is the union of their
intervals and not the sum. A graph recorded as one operation counts as busy from its first node to its last.
"""

import pandas as pd

from analysis.intervals import covered_ns
from analysis.iterations import Trace


def measure(trace: Trace) -> pd.DataFrame:
    """The covered part of each iteration. Returns rank, iteration, busy_ms."""
    busy_ns = covered_ns(trace.busy, trace.iterations)
    return trace.iterations[["rank", "iteration"]].assign(busy_ms=busy_ns / 1e6)
