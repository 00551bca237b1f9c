"""Kernels that behave as collectives do, for a trace in which none has the name of one."""

import numpy as np
import pandas as pd

from analysis.iterations import Trace

# Ranks arrive apart and leave together. Of other kernels what lies between their ends is what lay between their begins.
_TOGETHER = 0.5
_SHOWN = 2


def names(trace: Trace) -> list[str]:
    """Names of kernels that end together on all ranks though they begin apart, those that took longest first."""
    operations = trace.operations[trace.operations["iteration"] >= 0]
    what = trace.activity.signatures
    kernels = (what["kind"] == "kernel").to_numpy(bool)[operations["signature"].to_numpy(np.int64)]
    named = operations[kernels].assign(name=lambda rows: what["name"].to_numpy()[rows["signature"].to_numpy(np.int64)])
    found = {str(name): _spent_ns(rows, len(trace.ranks)) for name, rows in named.groupby("name")}
    return sorted((name for name in found if found[name] > 0), key=lambda name: -found[name])[:_SHOWN]


def _spent_ns(rows: pd.DataFrame, ranks: int) -> int:
    """How long these kernels ran, which lie rank by rank in order of start; 0 where the ranks do not meet in them."""
    counts = np.bincount(rows["rank"].to_numpy(np.int64), minlength=ranks)
    if (counts != counts[0]).any():
        return 0
    starts_ns, ends_ns = (rows[side].to_numpy(np.int64).reshape(ranks, -1) for side in ("start_ns", "end_ns"))
    apart_ns, left_ns = (float(np.median(np.ptp(times, axis=0))) for times in (starts_ns, ends_ns))
    return int((ends_ns - starts_ns).sum()) if left_ns < _TOGETHER * apart_ns else 0
