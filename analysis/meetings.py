"""Whether the ranks meet as often as their work asks for, and kernels that behave as collectives without the name."""

import numpy as np
import pandas as pd

from analysis import collectives
from analysis.groups import group
from analysis.iterations import Trace

# Ranks arrive apart and leave together. Of other kernels what lies between their ends is what lay between their begins.
_TOGETHER = 0.5
_SHOWN = 2


def often(trace: Trace) -> tuple[float, float]:
    """How many collectives of known names, and how many norms, a rank runs in an iteration (mean)."""
    ran = trace.operations["signature"].to_numpy(np.int64)[(trace.operations["iteration"] >= 0).to_numpy(bool)]
    what = trace.activity.signatures
    counts = np.bincount(ran, minlength=len(what))
    groups = np.array([group(name, kind) for name, kind in zip(what["name"], what["kind"], strict=True)])
    met, norms = (float(counts[groups == of].sum()) / len(trace.iterations) for of in ("collective", "norm"))
    return met, norms


def names(trace: Trace) -> list[str]:
    """Names of kernels that end together on all ranks though they begin apart, those that took longest first.

    Collectives of known names are left out.
    """
    operations = trace.operations[trace.operations["iteration"] >= 0]
    what = trace.activity.signatures
    unknown = (what["kind"] == "kernel") & (what["name"].map(collectives.kind) == "")
    kernels = unknown.to_numpy(bool)[operations["signature"].to_numpy(np.int64)]
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
