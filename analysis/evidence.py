"""What the traces of a study say: their summaries, their gaps by cause, and whether they prove their labels.

Every trace is read once, in a process of its own where there are several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import causes, iterations, kernels, left_out, predict, summary, validity, workers
from analysis.errors import TraceError
from analysis.extract import read
from analysis.iterations import Trace
from analysis.recordings import VARIANT, Record, Study
from analysis.stats import quantile_curve
from analysis.typical import Typical

TRACE_KEYS = ("study", "made_by", "case", "engine", "model", "tp", "graphs", *VARIANT, "tracing", "batch")
CURVE_COLUMNS = ("rank", "share_ratio", "gap_us")
CAUSE_COLUMNS = ("rank", "cause", "gap_us", "gaps_count", "idle_us")
# Where the lengths of gaps are counted: eight bins a decade, from below what the clock resolves to beyond an iteration.
GAP_EDGES_US = 10 ** np.linspace(-2, 5, 57)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trace to read, or the account of one: where it lies, what to call it, and the record it is held against."""

    about: tuple[tuple[str, Any], ...]
    path: Path
    record: Record


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What one trace says.

    doubts: why it does not count (empty: it proves its label). proof: proven, contradicted (graphs were launched
    although the label says off, or the reverse), insufficient, unfit (the capture cannot carry a verdict), or refused
    (nothing could be read from it). curves: CURVE_COLUMNS, gap_us in us. kernels: as kernels.table gives them. gaps:
    CAUSE_COLUMNS, as by_cause gives them. typical: what predictions rest on; None where what ran is not known.
    left_out: the summary is the account of a trace that is not there; curves, kernels, gaps and typical are of none.
    """

    about: tuple[tuple[str, Any], ...]
    summary: dict[str, Any] | None
    curves: pd.DataFrame
    kernels: pd.DataFrame
    doubts: tuple[str, ...]
    proof: str
    gaps: pd.DataFrame
    typical: Typical | None
    left_out: bool = False


def jobs(study: Study, name: str) -> list[Job]:
    """The traces of a study, each with TRACE_KEYS; `name` is what the report calls the study."""
    result = []
    for row in study.traces.to_dict("records"):
        record = study.records[row["case"]]
        about = {**row, "study": name, "made_by": record.get("made_by")}
        result.append(Job(about=tuple((key, about[key]) for key in TRACE_KEYS), path=row["path"], record=record))
    return result


def examine_all(work: Sequence[Job]) -> list[Evidence]:
    """Examine every trace, in the order given; in parallel where there are several traces and processors."""
    return workers.in_processes(examine, work, [job.path.stat().st_size for job in work])


def examine(job: Job) -> Evidence:
    """Read one trace, or its account, and hold it against its record. Refused it is evidence too: nothing is raised."""
    gone, name = left_out.is_account(job.path), dict(job.about)["case"]
    try:
        found, told = (summary.summarise(job.path, name), _nothing()) if gone else _told(job.path, name)
    except TraceError as error:
        why = str(error)
        return Evidence(about=job.about, summary=None, doubts=(why,), proof="refused", left_out=gone, **_nothing())
    doubts = _recorded_doubts(job.record) + validity.contradictions(dict(job.record), found)
    unfit = validity.unfit(job.record, found)
    contradicted = found["graphs"] != job.record["asked"]["graphs"]
    proof = "contradicted" if contradicted else "insufficient" if doubts else "unfit" if unfit else "proven"
    return Evidence(about=job.about, summary=found, doubts=(*doubts, *unfit), proof=proof, left_out=gone, **told)


def _told(path: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summary of a trace, and what else of Evidence takes the trace."""
    trace = iterations.find(read(path))
    found = summary.summarise_trace(trace, name)
    curves, ran = _curves(summary.gaps(trace)), kernels.table(trace)
    return found, {"curves": curves, "kernels": ran, "gaps": by_cause(trace), "typical": _typical(trace)}


def _nothing() -> dict[str, Any]:
    """The same of a trace that is not there."""
    curves, gaps = (pd.DataFrame(columns=list(columns)) for columns in (CURVE_COLUMNS, CAUSE_COLUMNS))
    return {"curves": curves, "kernels": pd.DataFrame(), "gaps": gaps, "typical": None}


def _typical(trace: Trace) -> Typical | None:
    try:
        return predict.facts(trace)
    except TraceError:
        return None


def by_cause(trace: Trace) -> pd.DataFrame:
    """How many gaps of which length, by what they were spent on: CAUSE_COLUMNS, a row a rank, cause and bin.

    gap_us is the middle of a bin on a logarithmic scale, gaps_count and idle_us their number and sum in an iteration.
    Empty where graphs ran of which no node was recorded: the gaps inside are unseen.
    """
    if trace.activity.graph_tracing not in ("node", "none"):
        return pd.DataFrame(columns=list(CAUSE_COLUMNS))
    gaps = causes.label(trace, causes.law(trace))
    found = gaps.loc[gaps["gap_ns"] > 0, ["rank", "cause", "gap_ns"]]
    middles_us = np.sqrt(GAP_EDGES_US[:-1] * GAP_EDGES_US[1:])
    bins = np.clip(np.digitize(found["gap_ns"] / 1e3, GAP_EDGES_US) - 1, 0, len(middles_us) - 1)
    iterations_count = max(gaps["iteration"].nunique(), 1)
    by = found.assign(gap_us=middles_us[bins]).groupby(["rank", "cause", "gap_us"], observed=True)["gap_ns"]
    counted = by.agg(gaps_count="size", idle_us="sum").reset_index()
    return counted.assign(
        cause=counted["cause"].astype(str),
        gaps_count=counted["gaps_count"] / iterations_count,
        idle_us=counted["idle_us"] / 1e3 / iterations_count,
    )[list(CAUSE_COLUMNS)]


def _recorded_doubts(record: Record) -> tuple[str, ...]:
    return (str(record.get("reason") or "recorded as invalid"),) if record["outcome"] == "invalid" else ()


def _curves(gaps: pd.DataFrame) -> pd.DataFrame:
    parts = [
        quantile_curve(values).rename(columns={"value": "gap_us"}).assign(rank=rank)
        for rank, values in gaps.groupby("rank")["gap_us"]
    ]
    return pd.concat(parts, ignore_index=True)[list(CURVE_COLUMNS)] if parts else pd.DataFrame(columns=CURVE_COLUMNS)
