"""What the traces of a study say: their summaries, their gaps by cause, and whether they prove their labels.

Every trace is read once, in a process of its own where there are several.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis import causes, compare, iterations, kernels, predict, summary, validity
from analysis.errors import TraceError
from analysis.extract import read
from analysis.iterations import Trace
from analysis.recordings import VARIANT, Record, Study
from analysis.stats import quantile_curve
from analysis.typical import Typical

Item = TypeVar("Item")
Result = TypeVar("Result")
TRACE_KEYS = ("study", "made_by", "case", "engine", "model", "tp", "graphs", *VARIANT, "tracing", "batch")
PAIR_KEYS = tuple(key for key in TRACE_KEYS if key not in ("case", "graphs"))
RANK_COLUMNS = (
    "rank", "device", "iterations", "iter_median_ms", "iter_p10_ms", "iter_p90_ms", "busy_ms", "idle_ms", "idle_ratio",
    "gap_p50_us", "gap_p90_us", "gap_p99_us", "operations", "launches", "graph_launches", "launch_call_us",
    "overlap_ratio", "useful_ms", "wait_ms", "straggler_ratio", "host_ms", "t_launch_us", "lead_us", "graph_lead_us",
    "host_launch_call_us", "host_other_call_us", "host_wait_us", "host_framework_us",
)  # fmt: skip
PATH_COLUMNS = (
    "wall_ms", "compute_ms", "collective_ms", "launch_idle_ms", "graph_gap_ms", "other_gap_ms", "residual_ms",
)  # fmt: skip
DIFFERENCE_COLUMNS = ("idle_saved_us", "work_saved_us", "group", "off_us", "on_us")
KERNEL_COLUMNS = (
    "change", "group", "off_name", "on_name", "off_per_iteration", "on_per_iteration", "off_us", "on_us", "saved_us",
)  # fmt: skip
FITNESS_COLUMNS = ("check", "gates", "found", "expected", "remedy")
CURVE_COLUMNS = ("rank", "share_ratio", "gap_us")
CAUSE_COLUMNS = ("rank", "cause", "gap_us", "gaps_count", "idle_us")
# Where the lengths of gaps are counted: eight bins a decade, from below what the clock resolves to beyond an iteration.
GAP_EDGES_US = 10 ** np.linspace(-2, 5, 57)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trace to read: where it lies, what to call it, and the record it is held against."""

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
    """

    about: tuple[tuple[str, Any], ...]
    summary: dict[str, Any] | None
    curves: pd.DataFrame
    kernels: pd.DataFrame
    doubts: tuple[str, ...]
    proof: str
    gaps: pd.DataFrame
    typical: Typical | None


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
    return in_processes(examine, work, [job.path.stat().st_size for job in work])


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], sizes: Sequence[int]) -> list[Result]:
    """The result of each item, in the order given; in processes where there are several of both. sizes: of the work."""
    processes_count = min(len(items), os.cpu_count() or 1)
    if processes_count < 2:
        return [function(item) for item in items]
    # The largest first: the last one to finish then keeps nobody waiting for long.
    order = sorted(range(len(items)), key=lambda index: -sizes[index])
    # Not forked: the caller may run threads (a progress display), whose locks a fork would copy.
    try:
        with ProcessPoolExecutor(processes_count, get_context("spawn"), _leave_interrupts_to_the_parent) as pool:
            found = dict(zip(order, pool.map(function, [items[index] for index in order]), strict=True))
    except BrokenProcessPool:
        # A worker was killed, most likely for its memory: one at a time needs less of it.
        return [function(item) for item in items]
    return [found[index] for index in range(len(items))]


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def examine(job: Job) -> Evidence:
    """Read one trace and hold it against its record. A trace that is refused is evidence too: nothing is raised."""
    try:
        trace = iterations.find(read(job.path))
        found = summary.summarise_trace(trace, dict(job.about)["case"])
        gaps, ran = summary.gaps(trace), kernels.table(trace)
    except TraceError as error:
        empty = pd.DataFrame(columns=list(CURVE_COLUMNS))
        nothing: dict[str, Any] = {"summary": None, "curves": empty, "kernels": pd.DataFrame(), "typical": None}
        unknown = pd.DataFrame(columns=list(CAUSE_COLUMNS))
        return Evidence(about=job.about, doubts=(str(error),), proof="refused", gaps=unknown, **nothing)
    doubts = _recorded_doubts(job.record) + validity.contradictions(dict(job.record), found)
    unfit = validity.unfit(job.record, found)
    contradicted = found["graphs"] != job.record["asked"]["graphs"]
    proof = "contradicted" if contradicted else "insufficient" if doubts else "unfit" if unfit else "proven"
    return Evidence(
        about=job.about, summary=found, curves=_curves(gaps), kernels=ran, doubts=(*doubts, *unfit), proof=proof,
        gaps=by_cause(trace), typical=_typical(trace),
    )  # fmt: skip


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


def labels(found: Sequence[Evidence]) -> pd.DataFrame:
    """TRACE_KEYS, proof and reason, a row a trace."""
    rows = [{**dict(one.about), "proof": one.proof, "reason": "; ".join(one.doubts)} for one in found]
    return pd.DataFrame(rows, columns=[*TRACE_KEYS, "proof", "reason"])


def rank_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """TRACE_KEYS, RANK_COLUMNS, proof and reason: a row a trace and rank, or one row for a trace that was refused."""
    rows = []
    for one in found:
        common = {**dict(one.about), "proof": one.proof, "reason": "; ".join(one.doubts)}
        ranks = one.summary["ranks"] if one.summary else [{}]
        rows += [common | _flat(rank) for rank in ranks]
    return pd.DataFrame(rows, columns=[*TRACE_KEYS, *RANK_COLUMNS, "proof", "reason"])


def path_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """TRACE_KEYS and PATH_COLUMNS, the parts of the critical path in ms: a row a fit trace that proves its label."""
    rows = []
    for one in found:
        path = one.summary["critical_path_us"] if one.summary and _counts(one) else {}
        if path.get("wall") is not None:
            rows.append(dict(one.about) | {f"{part}_ms": value / 1e3 for part, value in path.items()})
    return pd.DataFrame(rows, columns=[*TRACE_KEYS, *PATH_COLUMNS])


def _counts(one: Evidence) -> bool:
    """Whether causes may be read from the trace: it proves its label, and its capture is fit."""
    return one.summary is not None and not one.doubts and one.summary["fitness"]["fit"]


def difference_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """What differs between graphs off and on: TRACE_KEYS but for case and graphs, DIFFERENCE_COLUMNS.

    A row a group of kernels of each pair of fit traces that prove their labels; the first trace of each kind counts.
    Times in us per iteration; saved is off less on along the critical path, NaN where that is not known.
    """
    rows = [about | row for about, pair in _pairs(found) for row in _differences(pair)]
    return pd.DataFrame(rows, columns=[*PAIR_KEYS, *DIFFERENCE_COLUMNS])


def kernel_table(found: Sequence[Evidence], most: int = 8) -> pd.DataFrame:
    """The kernels that differ most between graphs off and on: TRACE_KEYS but for case and graphs, KERNEL_COLUMNS.

    At most so many of each pair of difference_table, those whose times differ most first; times in us per iteration.
    """
    parts = []
    for about, pair in _pairs(found):
        changed = pair.kernels[pair.kernels["change"] != "same"].dropna(subset=["saved_us"]).head(most)
        parts.append(changed[list(KERNEL_COLUMNS)].astype({"change": str, "group": str}).assign(**about))
    columns = [*PAIR_KEYS, *KERNEL_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _pairs(found: Sequence[Evidence]) -> list[tuple[dict[str, Any], compare.Comparison]]:
    """Both halves of what was traced off and on: PAIR_KEYS, and their comparison."""
    halves: dict[tuple[Any, ...], dict[str, Evidence]] = {}
    for one in found:
        about = dict(one.about)
        if _counts(one):
            halves.setdefault(tuple(about[key] for key in PAIR_KEYS), {}).setdefault(about["graphs"], one)
    pairs = []
    for key, pair in halves.items():
        if pair.keys() == {"off", "on"}:
            off, on = (compare.Side(summary=pair[g].summary or {}, kernels=pair[g].kernels) for g in ("off", "on"))
            pairs.append((dict(zip(PAIR_KEYS, key, strict=True)), compare.between(off, on)))
    return pairs


def _differences(found: compare.Comparison) -> list[dict[str, Any]]:
    saved = {f"{part}_saved_us": found.separation[part] for part in ("idle", "work")}
    rows = found.groups[["group", "off_us", "on_us"]].to_dict("records")
    return [saved | {str(key): value for key, value in row.items()} for row in rows]


def fitness_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """The failed checks of all captures: TRACE_KEYS and FITNESS_COLUMNS; gates says whether it voids the verdict."""
    rows = [
        {**dict(one.about), "check": check["name"], **check}
        for one in found
        if one.summary
        for check in one.summary["fitness"]["checks"]
        if not check["passed"]
    ]
    return pd.DataFrame(rows, columns=[*TRACE_KEYS, *FITNESS_COLUMNS])


def _flat(rank: dict[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in rank.items() if not isinstance(value, dict)}
    flat |= {f"iter_{key}_ms": value for key, value in rank.get("iter_ms", {}).items()}
    flat |= {f"gap_{key}_us": value for key, value in rank.get("gap_us", {}).items()}
    flat |= {f"host_{key}_us": value for key, value in rank.get("host_us", {}).items()}
    return {key: np.nan if value is None else value for key, value in flat.items()}


def curve_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """The gap distributions of the traces that prove their labels: TRACE_KEYS and CURVE_COLUMNS."""
    parts = [one.curves.assign(**dict(one.about)) for one in found if one.proof == "proven"]
    columns = [*TRACE_KEYS, *CURVE_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def cause_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """The gaps by cause of the fit traces that prove their labels: TRACE_KEYS and CAUSE_COLUMNS."""
    parts = [one.gaps.assign(**dict(one.about)) for one in found if _counts(one) and len(one.gaps)]
    columns = [*TRACE_KEYS, *CAUSE_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def tracing_overhead(found: Sequence[Evidence], configurations: pd.DataFrame) -> pd.DataFrame:
    """What tracing costs, for the traces that prove their labels.

    configurations: as headline.per_configuration gives them. Returns TRACE_KEYS, traced_iter_ms, untraced_tpot_ms and
    overhead_ratio (traced / untraced); NaN where the configuration has no untraced windows.
    """
    rows = [
        {**dict(one.about), "traced_iter_ms": one.summary["iter_ms"]["median"]}
        for one in found
        if one.summary and one.proof == "proven"
    ]
    traced = pd.DataFrame(rows, columns=[*TRACE_KEYS, "traced_iter_ms"])
    keys = ["study", "made_by", "engine", "model", "batch", "tp", "graphs", *VARIANT]
    untraced = configurations[[*keys, "tpot_ms"]].rename(columns={"tpot_ms": "untraced_tpot_ms"})
    joined = traced.merge(untraced.astype({key: traced[key].dtype for key in keys}), on=keys, how="left")
    return joined.assign(overhead_ratio=joined["traced_iter_ms"] / joined["untraced_tpot_ms"])
