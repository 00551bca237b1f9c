"""The tables that a timeline is drawn from, without those that it does not show: in half the time of frames.read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import causes, collectives, extract, frames, iterations, kernels, tables
from analysis.summary import stem


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Tables of a trace as in Frames; of its summary the name, and why collectives cannot be matched."""

    ranks: pd.DataFrame
    signatures: pd.DataFrame
    operations: pd.DataFrame
    calls: pd.DataFrame
    ranges: pd.DataFrame
    left_out: pd.DataFrame
    steps: pd.DataFrame
    iterations: pd.DataFrame
    collectives: pd.DataFrame
    kernels: pd.DataFrame
    summary: Mapping[str, Any]


def read(path: Path) -> Drawn:
    """Read a trace. Raises TraceError where the file cannot be read or holds no decode iterations."""
    trace = iterations.find(extract.read(path))
    activity, matched = trace.activity, collectives.match(trace)
    found = {
        "ranks": activity.ranks,
        "signatures": activity.signatures,
        "operations": frames.with_gaps(trace.operations, causes.label(trace, causes.law(trace))),
        "calls": activity.calls,
        "ranges": activity.ranges,
        "left_out": activity.left_out,
        "steps": trace.steps,
        "iterations": trace.iterations,
        "collectives": matched.instances,
        "kernels": kernels.table(trace, matched),
    }
    conformed = {name: tables.conform(table, frames.TABLES[name], name) for name, table in found.items()}
    return Drawn(**conformed, summary={"name": stem(path), "collectives": {"disagreement": matched.disagreement}})
