"""All tables of a trace from one call, as pandas DataFrames, for notebooks and programs.

    import analysis
    frames = analysis.read("trace.sqlite")
    frames.operations.groupby("cause", observed=True)["gap_ns"].sum()

What each column means, its type and its unit are in TABLES, and in analysis/README.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import (
    account,
    causes,
    collectives,
    critical_path,
    extract,
    fitness,
    hosts,
    iterations,
    kernels,
    measure,
    steps,
    tables,
)
from analysis.checks import Fitness
from analysis.iterations import Trace
from analysis.summary import stem, summarise_trace
from analysis.tables import Column


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Frames:
    """The tables of one trace, each in the columns that TABLES declares, and the dictionary that sums them up."""

    ranks: pd.DataFrame
    """One row per rank (process and GPU)."""
    signatures: pd.DataFrame
    """One row per different operation: name, grid, block."""
    operations: pd.DataFrame
    """One row per kernel, copy, memset, or graph recorded whole; rank by rank, in order of start."""
    calls: pd.DataFrame
    """One row per CUDA call that was recorded and does more than ask; thread by thread, in order of start."""
    ranges: pd.DataFrame
    """One row per NVTX range."""
    left_out: pd.DataFrame
    """What a recording says was left out of it; empty for an export."""
    steps: pd.DataFrame
    """One row per step of the capture from one anchor to the next, kept or not."""
    iterations: pd.DataFrame
    """One row per rank and steady decode iteration; all that follow are about these."""
    samples: pd.DataFrame
    """One row per rank, iteration and quantity of the folder `metrics`."""
    collectives: pd.DataFrame
    """One row per collective and rank; empty where there is none or the ranks' do not match."""
    waits: pd.DataFrame
    """One row per rank and iteration: waiting in collectives, and busy without it."""
    critical_path: pd.DataFrame
    """One row per iteration: its parts along the critical path over ranks."""
    host: pd.DataFrame
    """One row per rank and iteration: what the launching thread did."""
    sites: pd.DataFrame
    """One row per pair of operations launched one after the other, longest total first."""
    kernels: pd.DataFrame
    """One row per group and name of operations, longest time first."""
    summary: Mapping[str, Any]
    """What `python -m analysis --json` prints of the trace."""
    fitness: Fitness
    """Whether a verdict may rest on the capture, check by check."""

    def __repr__(self) -> str:
        """The trace, and how many rows each table has."""
        sizes = "\n".join(f"  {name:<14}{len(getattr(self, name)):>10,} rows" for name in TABLES)
        return f"Frames of {self.summary['name']}\n{sizes}"


TABLES: Mapping[str, tuple[Column, ...]] = {
    "ranks": tables.RANKS,
    "signatures": tables.SIGNATURES,
    "operations": (*tables.OPERATIONS, *tables.GAPS),
    "calls": tables.CALLS,
    "ranges": tables.RANGES,
    "left_out": tables.LEFT_OUT,
    "steps": steps.STEPS,
    "iterations": tables.ITERATIONS,
    "samples": tables.SAMPLES,
    "collectives": collectives.INSTANCES,
    "waits": collectives.WAITS,
    "critical_path": critical_path.PATH,
    "host": tables.HOST,
    "sites": tables.SITES,
    "kernels": kernels.KERNELS,
}
"""The columns of each table of Frames."""


def read(path: Path | str, name: str | None = None) -> Frames:
    """Read a trace and give all its tables; `name` is what the summary calls it, else the file's name.

    Raises TraceError where the file cannot be read or holds no decode iterations.
    """
    path = Path(path)
    return gather(iterations.find(extract.read(path)), name or stem(path))


def gather(trace: Trace, name: str) -> Frames:
    """All tables of a trace."""
    activity, matched = trace.activity, collectives.match(trace)
    gaps = causes.label(trace, causes.law(trace))
    found = {
        "ranks": activity.ranks,
        "signatures": activity.signatures,
        "operations": with_gaps(trace.operations, gaps),
        "calls": activity.calls,
        "ranges": activity.ranges,
        "left_out": activity.left_out,
        "steps": trace.steps,
        "iterations": trace.iterations,
        "samples": measure.measure(trace),
        "collectives": matched.instances,
        "waits": collectives.waits(trace, matched),
        "critical_path": critical_path.find(trace, gaps, matched),
        "host": hosts.measure(trace),
        "sites": hosts.sites(trace),
        "kernels": kernels.table(trace, matched),
    }
    conformed = {table: tables.conform(frame, TABLES[table], table) for table, frame in found.items()}
    judged = fitness.check(trace, account.find(trace))
    return Frames(**conformed, summary=summarise_trace(trace, name), fitness=judged)


def with_gaps(operations: pd.DataFrame, gaps: pd.DataFrame) -> pd.DataFrame:
    """The operations with what is known of the gap before each; `gaps` has their index."""
    columns = [column.name for column in tables.GAPS if column.name != "iteration"]
    return operations.join(gaps[columns].astype({name: "Int64" for name in columns if name != "cause"}))
