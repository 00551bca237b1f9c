"""One trace in one dictionary: what `python -m analysis` prints and what the report tabulates."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import (
    account,
    collectives,
    cross_check,
    extract,
    fitness,
    iterations,
    kernels,
    left_out,
    stationarity,
    steps,
)
from analysis.account import rounded
from analysis.collectives import Matched
from analysis.iterations import Trace
from analysis.measure import measure
from analysis.metrics import gap_us
from analysis.threads import both

_SHARES = (50, 90, 99)


def summarise(path: Path, name: str | None = None) -> dict[str, Any]:
    """Read a trace and summarise it, or read the account of one that was left out of a recording.

    Raises TraceError where it cannot be read or holds no decode iterations.
    """
    if left_out.is_account(Path(path)):
        return left_out.read(Path(path)) | ({"name": name} if name else {})
    return summarise_trace(iterations.find(extract.read(Path(path))), name or stem(Path(path)))


def summarise_trace(trace: Trace, name: str) -> dict[str, Any]:
    """The summary of a trace, ready for JSON.

    Times are medians over the steady iterations, in the unit that their name ends in; `gpus` has one name per rank;
    `graph_tracing` says how graphs were recorded (with "graph" the inside of a graph is unknown and counts as busy,
    and operations, their gaps and overlaps are not told; with "unseen" so is when it ran, and nothing is told of busy
    and idle time);
    `settling_iterations` is how many of the iterations came before the iteration time settled; `steps` says what the
    capture held, `stationarity` and `cross_check` whether the iteration time can be trusted. What analysis.account
    finds stands beside: `critical_path_us`, `launch_law`, `collectives`, `slow_sites`, and per rank what it did.
    """
    matched, wide = collectives.match(trace), _wide(trace)
    accounts = account.find(trace, matched)
    found, groups = both(lambda: gaps(trace), lambda: _kernels(trace, matched))
    per_step = wide["iter_ms"].groupby("iteration").median()
    settled = stationarity.find(per_step.to_numpy(np.float64), per_step.index.to_numpy(np.int64))
    return {
        "name": name,
        "nsys_version": trace.activity.nsys_version,
        "gpus": [str(gpu) for gpu in trace.ranks["gpu_name"]],
        "tp": len(trace.ranks),
        "graphs": _graphs(pd.concat([wide["graph_launches"], steps.other_graph_launches(trace)])),
        "graph_tracing": trace.activity.graph_tracing,
        "iterations": len(per_step),
        "settling_iterations": settled["settling_iterations"],
        "stationarity": settled,
        "cross_check": cross_check.find(trace),
        "dropped": {"count": trace.dropped, "reason": trace.why_dropped},
        "steps": steps.counts(trace),
        "anchor": trace.anchor,
        "period": {"operations": trace.period_operations, "alike_ratio": rounded(trace.match_ratio)},
        "unjoined_operations": int((trace.operations["call"] < 0).sum()),
        "iter_ms": _spread(per_step),
        **accounts.trace,
        "kernels": groups,
        "fitness": fitness.check(trace, accounts).to_json(),
        "ranks": [
            {**_rank(row, wide.loc[[row.rank]], found, trace), **accounts.ranks[int(str(row.rank))]}
            for row in trace.ranks.itertuples()
        ],
    }


def gaps(source: Path | Trace) -> pd.DataFrame:
    """Every gap of the steady iterations: rank, iteration, gap_us; overlaps, which are negative, are left out.

    None where graphs ran of which no node was recorded.
    """
    trace = source if isinstance(source, Trace) else iterations.find(extract.read(Path(source)))
    found = gap_us.gaps(trace)
    known = (found["gap_us"] >= 0) & (trace.activity.graph_tracing in ("node", "none"))
    return found[known].reset_index(drop=True)


def stem(path: Path) -> str:
    """The file's name without .sqlite or .sqlite.xz."""
    return path.name.removesuffix(".xz").removesuffix(".sqlite")


def _wide(trace: Trace) -> pd.DataFrame:
    """A row an iteration of a rank, a column a quantity."""
    return measure(trace).pivot(index=["rank", "iteration"], columns="quantity", values="value")


def _kernels(trace: Trace, matched: Matched) -> list[dict[str, Any]]:
    """What each group of kernels takes in an iteration: group, per_iteration, us_per_iteration.

    None where graphs ran of which nothing was recorded: what ran outside of them is not what an iteration runs.
    """
    if trace.activity.graph_tracing == "unseen":
        return []
    found = kernels.by_group(kernels.table(trace, matched))
    return [
        {"group": str(group), "per_iteration": rounded(count), "us_per_iteration": rounded(us)}
        for group, count, us in zip(found["group"], found["per_iteration"], found["us_per_iteration"], strict=True)
    ]


def _graphs(launches: "pd.Series[float]") -> str:
    if (launches > 0).all():
        return "on"
    # Launches of which the iteration is not known are launches.
    return "mixed" if (launches > 0).any() or launches.isna().any() else "off"


def _rank(row: Any, wide: pd.DataFrame, found: pd.DataFrame, trace: Trace) -> dict[str, Any]:
    gaps_us = found.loc[found["rank"] == row.rank, "gap_us"].quantile([share / 100 for share in _SHARES])
    graph_launches = pd.concat([wide["graph_launches"], steps.other_graph_launches(trace)])
    median = wide.median()
    return {
        "rank": int(row.rank),
        "device": int(row.device),
        "iterations": len(wide),
        "iter_ms": _spread(wide["iter_ms"]),
        "busy_ms": rounded(median["busy_ms"]),
        "idle_ms": rounded(median["idle_ms"]),
        "idle_ratio": rounded(wide["idle_ms"].sum(min_count=1) / wide["iter_ms"].sum()),
        "gap_us": {f"p{share}": rounded(value) for share, value in zip(_SHARES, gaps_us, strict=True)},
        "overlap_ratio": rounded(wide["overlap_ratio"].mean()),
        "operations": rounded(median["operations"]),
        "launches": rounded(median["launches"]),
        "graph_launches": rounded(median["graph_launches"]),
        "graph_launches_range": [rounded(graph_launches.min(skipna=False)), rounded(graph_launches.max(skipna=False))],
        "launch_call_us": rounded(median["launch_call_us"]),
    }


def _spread(values: "pd.Series[float]") -> dict[str, float | None]:
    return {
        "median": rounded(values.median()),
        "p10": rounded(values.quantile(0.1)),
        "p90": rounded(values.quantile(0.9)),
    }
