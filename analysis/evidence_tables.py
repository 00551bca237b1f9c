"""The evidence of all traces as tables: labels, ranks, critical paths, what differs, what is wrong, gaps, overhead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import compare, differences
from analysis.evidence import CAUSE_COLUMNS, CURVE_COLUMNS, TRACE_KEYS, Evidence
from analysis.groups import GROUPS
from analysis.recordings import VARIANT

PAIR_KEYS = tuple(key for key in TRACE_KEYS if key not in ("case", "graphs"))
ABOUT = (*TRACE_KEYS, "left_out")
"""What a table tells of a trace; left_out where the trace is not there, and all numbers are those of its account."""
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


def labels(found: Sequence[Evidence]) -> pd.DataFrame:
    """TRACE_KEYS, proof and reason, a row a trace."""
    rows = [{**dict(one.about), "proof": one.proof, "reason": "; ".join(one.doubts)} for one in found]
    return pd.DataFrame(rows, columns=[*TRACE_KEYS, "proof", "reason"])


def rank_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """ABOUT, RANK_COLUMNS, proof and reason: a row a trace and rank, or one row for a trace that was refused."""
    rows = []
    for one in found:
        common = {**_about(one), "proof": one.proof, "reason": "; ".join(one.doubts)}
        ranks = one.summary["ranks"] if one.summary else [{}]
        rows += [common | _flat(rank) for rank in ranks]
    return pd.DataFrame(rows, columns=[*ABOUT, *RANK_COLUMNS, "proof", "reason"])


def path_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """ABOUT and PATH_COLUMNS, the parts of the critical path in ms: a row a fit trace that proves its label."""
    rows = []
    for one in found:
        path = one.summary["critical_path_us"] if one.summary and _counts(one) else {}
        if path.get("wall") is not None:
            rows.append(_about(one) | {f"{part}_ms": value / 1e3 for part, value in path.items()})
    return pd.DataFrame(rows, columns=[*ABOUT, *PATH_COLUMNS])


def _about(one: Evidence) -> dict[str, Any]:
    return {**dict(one.about), "left_out": one.left_out}


def _counts(one: Evidence) -> bool:
    """Whether causes may be read from the trace: it proves its label, and its capture is fit."""
    return one.summary is not None and not one.doubts and one.summary["fitness"]["fit"]


def difference_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """What differs between graphs off and on: TRACE_KEYS but for case and graphs, left_out, DIFFERENCE_COLUMNS.

    A row a group of kernels of each pair of fit traces that prove their labels; the first trace of each kind counts.
    Times in us per iteration; saved is off less on along the critical path, NaN where that is not known. left_out where
    either trace is.
    """
    rows = [about | row for about, *pair in _pairs(found) for row in _differences(*pair)]
    return pd.DataFrame(rows, columns=[*PAIR_KEYS, "left_out", *DIFFERENCE_COLUMNS])


def kernel_table(found: Sequence[Evidence], most: int = 8) -> pd.DataFrame:
    """The kernels that differ most between graphs off and on: TRACE_KEYS but for case and graphs, KERNEL_COLUMNS.

    At most so many of each pair of difference_table whose traces are there, those whose times differ most first; times
    in us per iteration.
    """
    parts = []
    for about, off, on in _pairs(found):
        if about["left_out"]:
            continue
        kernels = differences.between(off.kernels, on.kernels)
        changed = kernels[kernels["change"] != "same"].dropna(subset=["saved_us"]).head(most)
        parts.append(changed[list(KERNEL_COLUMNS)].astype({"change": str, "group": str}).assign(**about))
    columns = [*PAIR_KEYS, *KERNEL_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _pairs(found: Sequence[Evidence]) -> list[tuple[dict[str, Any], Evidence, Evidence]]:
    """Both halves of what was traced off and on: PAIR_KEYS and left_out, graphs off, graphs on."""
    halves: dict[tuple[Any, ...], dict[str, Evidence]] = {}
    for one in found:
        about = dict(one.about)
        if _counts(one):
            halves.setdefault(tuple(about[key] for key in PAIR_KEYS), {}).setdefault(about["graphs"], one)
    pairs = []
    for key, pair in halves.items():
        if pair.keys() == {"off", "on"}:
            off, on = pair["off"], pair["on"]
            about = dict(zip(PAIR_KEYS, key, strict=True)) | {"left_out": off.left_out or on.left_out}
            pairs.append((about, off, on))
    return pairs


def _differences(off: Evidence, on: Evidence) -> list[dict[str, Any]]:
    """What was saved, and each group that ran in either half with its time in both; 0 where it did not run."""
    summaries = [one.summary or {} for one in (off, on)]
    separation = compare.separation(*summaries)
    saved = {f"{part}_saved_us": separation[part] for part in ("idle", "work")}
    off_us, on_us = (_flat({row["group"]: row["us_per_iteration"] for row in one["kernels"]}) for one in summaries)
    ran = [group for group in GROUPS if group in off_us or group in on_us]
    return [saved | {"group": group, "off_us": off_us.get(group, 0.0), "on_us": on_us.get(group, 0.0)} for group in ran]


def fitness_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """The failed checks of all captures: ABOUT and FITNESS_COLUMNS; gates says whether it voids the verdict."""
    rows = [
        {**_about(one), "check": check["name"], **check}
        for one in found
        if one.summary
        for check in one.summary["fitness"]["checks"]
        if not check["passed"]
    ]
    return pd.DataFrame(rows, columns=[*ABOUT, *FITNESS_COLUMNS])


def _flat(rank: dict[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in rank.items() if not isinstance(value, dict)}
    flat |= {f"iter_{key}_ms": value for key, value in rank.get("iter_ms", {}).items()}
    flat |= {f"gap_{key}_us": value for key, value in rank.get("gap_us", {}).items()}
    flat |= {f"host_{key}_us": value for key, value in rank.get("host_us", {}).items()}
    return {key: np.nan if value is None else value for key, value in flat.items()}


def curve_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """The gap distributions of the traces that prove their labels: TRACE_KEYS and CURVE_COLUMNS."""
    parts = [one.curves.assign(**dict(one.about)) for one in found if one.proof == "proven" and not one.left_out]
    columns = [*TRACE_KEYS, *CURVE_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def cause_table(found: Sequence[Evidence]) -> pd.DataFrame:
    """The gaps by cause of the fit traces that prove their labels: TRACE_KEYS and CAUSE_COLUMNS."""
    parts = [one.gaps.assign(**dict(one.about)) for one in found if _counts(one) and len(one.gaps)]
    columns = [*TRACE_KEYS, *CAUSE_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def tracing_overhead(found: Sequence[Evidence], configurations: pd.DataFrame) -> pd.DataFrame:
    """What tracing costs, for the traces that prove their labels.

    configurations: as headline.per_configuration gives them. Returns ABOUT, traced_iter_ms, untraced_tpot_ms and
    overhead_ratio (traced / untraced); NaN where the configuration has no untraced windows.
    """
    rows = [
        {**_about(one), "traced_iter_ms": one.summary["iter_ms"]["median"]}
        for one in found
        if one.summary and one.proof == "proven"
    ]
    traced = pd.DataFrame(rows, columns=[*ABOUT, "traced_iter_ms"])
    keys = ["study", "made_by", "engine", "model", "batch", "tp", "graphs", *VARIANT]
    untraced = configurations[[*keys, "tpot_ms"]].rename(columns={"tpot_ms": "untraced_tpot_ms"})
    joined = traced.merge(untraced.astype({key: traced[key].dtype for key in keys}), on=keys, how="left")
    return joined.assign(overhead_ratio=joined["traced_iter_ms"] / joined["untraced_tpot_ms"])
