"""Where the time of a decode iteration goes: on the path over ranks, in waiting for a straggler, and on the host."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import causes, collectives, critical_path, hosts
from analysis.causes import Law
from analysis.collectives import Matched
from analysis.iterations import Trace

SITES_SHOWN = 5
_HOST_COLUMNS = ("host_ms", "t_launch_us", "lead_us", "graph_lead_us", "queue_median_launches", "queue_max_launches")
_HOST_PARTS = ("launch_call_us", "other_call_us", "wait_us", "framework_us", "asking_us")
_WAIT_COLUMNS = ("useful_ms", "wait_ms", "idle_plus_wait_ratio")


@dataclass(frozen=True, kw_only=True, eq=False)
class Account:
    """The accounts of a trace as JSON-ready values: `trace` for all of it, `ranks` by rank."""

    trace: Mapping[str, Any]
    ranks: Mapping[int, Mapping[str, Any]]


def find(trace: Trace, matched: Matched | None = None) -> Account:
    """Draw up the accounts of a trace. `matched` is what collectives.match returns for it, for callers that have it.

    Parts that need what was not recorded (nodes of graphs, launch calls, all ranks) are None, never guessed.
    """
    matched = collectives.match(trace) if matched is None else matched
    # One after the other: side by side they would hold twice as much.
    law, path, waited = _of_gpus(trace, matched)
    host, slow = hosts.find(trace)
    return Account(
        trace={
            "critical_path_us": {name.removesuffix("_us"): rounded(value) for name, value in path.items()},
            "launch_law": _law(law),
            "collectives": _collectives(trace, matched, waited),
            "slow_sites": _slow_sites(slow),
        },
        ranks=_ranks(matched, waited, host),
    )


def _of_gpus(trace: Trace, matched: Matched) -> tuple[Law, Mapping[str, float], pd.DataFrame]:
    law, gaps = causes.find(trace)
    path = critical_path.typical(critical_path.find(trace, gaps, matched))
    return law, path, collectives.waits(trace, matched)


def rounded(value: Any) -> float | None:
    """A number for JSON: None where there is none."""
    return None if value is None or np.isnan(value) else round(float(value), 6)


def _law(law: Law) -> dict[str, Any]:
    return {
        "lambda_us": {name: rounded(value / 1e3) for name, value in law.lambda_ns.items()},
        "lag_us": {name: rounded(value / 1e3) for name, value in law.lag_ns.items()},
        "delta_us": {name: rounded(value / 1e3) for name, value in law.delta_ns.items()},
        "fit_ratio": rounded(law.fit_ratio),
        "begin_fit_ratio": rounded(law.begin_fit_ratio),
        "operations": int(law.operations),
        "beside": int(law.beside),
        "idle_calls": dict(law.idle),
        "queued": dict(law.queued),
    }


def _collectives(trace: Trace, matched: Matched, waited: pd.DataFrame) -> dict[str, Any]:
    iter_ms = (trace.iterations["end_ns"] - trace.iterations["start_ns"]) / 1e6
    skew = collectives.end_skew(matched)
    return {
        "disagreement": matched.disagreement,
        "idle_plus_wait_spread_points": rounded(collectives.spread_points(waited, iter_ms)),
        "end_skew_us": {"median": rounded(skew.median_us), "p99": rounded(skew.p99_us)},
    }


def _slow_sites(slow: pd.DataFrame) -> list[dict[str, Any]]:
    found = slow.head(SITES_SHOWN)
    return [
        {str(name): value if isinstance(value, str) else rounded(value) for name, value in row.items()}
        for row in found[["before", "after", "per_iteration", "interval_us", "total_ms"]].to_dict("records")
    ]


def _ranks(matched: Matched, waited: pd.DataFrame, host: pd.DataFrame) -> dict[int, dict[str, Any]]:
    columns = waited.groupby("rank")[list(_WAIT_COLUMNS)].median()
    columns = columns.join(host.groupby("rank")[list(_HOST_COLUMNS)].median())
    columns = columns.join(collectives.stragglers(matched).set_index("rank")["straggler_ratio"])
    parts = host.groupby("rank")[list(_HOST_PARTS)].median()
    return {
        int(str(rank)): {
            **{str(name): rounded(value) for name, value in row.items()},
            "host_us": {name.removesuffix("_us"): rounded(parts.at[rank, name]) for name in _HOST_PARTS},
        }
        for rank, row in columns.iterrows()
    }
