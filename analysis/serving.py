"""From the rows of a serving client, one a request, to figures of each load point. Every definition stands here.

Times of a request count from the moment it was sent. With n tokens, of which the first arrived at `first_s` and the
last at `last_s`, all in seconds:
TTFT = first_s - sent_s. E2E = last_s - sent_s. TPOT = (E2E - TTFT) / (n - 1), of each request; none where n = 1.
ITL is the time between two tokens, pooled over requests: k tokens that arrive together share the time since the
arrival before in k equal parts, and those beyond the first of a request's first arrival count as 0, so that the ITLs of
a request always sum to E2E - TTFT. All are of requests answered in full. Throughputs and rates divide by the duration,
from the first moment a request was due to the last token of one answered in full.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import arrivals
from analysis.errors import TraceError
from analysis.language import Text, say

COLUMNS = (
    "load", "rate", "concurrency", "request", "prompt_tokens", "output_tokens_asked", "output_tokens", "scheduled_s",
    "sent_s", "first_s", "last_s", "ended_s", "chunk_us", "chunk_tokens", "status", "error",
)  # fmt: skip
NUMBERS = ("rate", "concurrency", "scheduled_s", "sent_s", "first_s", "last_s", "ended_s")
COUNTS = ("load", "request", "prompt_tokens", "output_tokens_asked", "output_tokens")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

# The backlog grew where, of the requests due in the second half of the arrivals, more than so large a share stayed
# unanswered within it, and more than so many standard deviations of a Poisson count.
UNANSWERED_RATIO = 0.1
UNANSWERED_DEVIATIONS = 3.0
ARRIVALS_LEAST = 20
# A client whose requests leave later than this, or that has so little of a core left, measures itself.
LATE_MS = 20.0
BUSY_RATIO = 0.8
LAG_MS = 10.0


def read(path: Path) -> pd.DataFrame:
    """The rows of a requests file, JSON lines plain or in xz, as a client or a recording keeps them; see `frame`.

    Raises TraceError where it cannot be read or a line is no such row.
    """
    try:
        content = path.read_bytes()
        text = (lzma.decompress(content) if path.suffix == ".xz" else content).decode()
        return frame(arrivals.apart([json.loads(line) for line in text.splitlines()]))
    except (OSError, lzma.LZMAError, ValueError, TypeError) as error:
        raise TraceError(
            f"{path}: {error}; expected one JSON object a line, as launch/drivers/serve.py writes"
        ) from error


def frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with every column of COLUMNS, NaN for what never came. Raises ValueError where one lacks any."""
    lacking = next((set(COLUMNS) - set(row) for row in rows if set(COLUMNS) - set(row)), None)
    if lacking:
        raise ValueError(f"a request without {', '.join(sorted(lacking))}")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({**dict.fromkeys(NUMBERS, "float64"), **dict.fromkeys(COUNTS, "int64")})


def load_points(
    requests: pd.DataFrame, *, ttft_limit_ms: float | None = None, tpot_limit_ms: float | None = None
) -> pd.DataFrame:
    """One row a load point of what `frame` gives; NaN where nothing was answered.

    Columns: load, rate (asked, requests/s) or concurrency; requests, ok, failed, failures (text); duration_s;
    offered_qps (requests due a second), qps (answered in full); output_tok_s, total_tok_s (prompts included);
    ttft_ms, tpot_ms, itl_ms, e2e_ms each as _mean, _p50, _p90, _p95, _p99; goodput_qps, good_ratio (requests within
    both limits, a second and of all); late_ms_p99, late_ms_max (sent after due); backlog (requests by which it grew in
    the second half of the arrivals); saturated (true, false, or missing where it cannot be told).
    """
    timed = _timed(requests)
    ok = timed[timed["status"] == "ok"]
    by_load = timed.groupby("load", sort=True)
    table = by_load[["rate", "concurrency"]].first()
    table["requests"] = by_load.size()
    table["ok"] = ok.groupby("load").size().reindex(table.index, fill_value=0)
    table["failed"] = table["requests"] - table["ok"]
    table["failures"] = _failures(timed).reindex(table.index, fill_value="")
    table = table.join(_rates(timed, ok, table))
    for name in ("ttft_ms", "tpot_ms", "e2e_ms"):
        table = table.join(_spread(ok.groupby("load")[name], name))
    gaps = token_gaps(ok)
    table = table.join(_spread(gaps.groupby("load")["itl_ms"], "itl_ms"))
    good = _good(ok, ttft_limit_ms, tpot_limit_ms).reindex(table.index, fill_value=0)
    table["goodput_qps"] = good / table["duration_s"]
    table["good_ratio"] = good / table["requests"]
    table["late_ms_p99"] = by_load["late_ms"].quantile(0.99)
    table["late_ms_max"] = by_load["late_ms"].max()
    return table.join(_backlogs(timed, table.index)).reset_index()


def _timed(requests: pd.DataFrame) -> pd.DataFrame:
    """Add ttft_ms, e2e_ms, tpot_ms and late_ms to each request."""
    ttft_ms = (requests["first_s"] - requests["sent_s"]) * 1e3
    e2e_ms = (requests["last_s"] - requests["sent_s"]) * 1e3
    further = (requests["output_tokens"] - 1).where(requests["output_tokens"] > 1)
    late_ms = (requests["sent_s"] - requests["scheduled_s"]) * 1e3
    return requests.assign(ttft_ms=ttft_ms, e2e_ms=e2e_ms, tpot_ms=(e2e_ms - ttft_ms) / further, late_ms=late_ms)


def _failures(timed: pd.DataFrame) -> pd.Series[str]:
    """For each load point with any, its failures as text, by kind: "2 stalled, 1 http 500"."""
    failed = timed[timed["status"] != "ok"].groupby(["load", "status"]).size().sort_values(ascending=False)
    texts = failed.rename("count").reset_index()
    texts["text"] = texts["count"].astype(str) + " " + texts["status"]
    return texts.groupby("load")["text"].agg(", ".join).astype(object)


def _rates(timed: pd.DataFrame, ok: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    due, answered = timed.groupby("load")["scheduled_s"], ok.groupby("load")
    duration_s = answered["last_s"].max().reindex(table.index) - due.min()
    due_s = (due.max() - due.min()).where(table["requests"] > 1)
    output = answered["output_tokens"].sum().reindex(table.index)
    return pd.DataFrame(
        {
            "duration_s": duration_s,
            "offered_qps": (table["requests"] - 1) / due_s.where(due_s > 0),
            "qps": table["ok"] / duration_s,
            "output_tok_s": output / duration_s,
            "total_tok_s": (output + answered["prompt_tokens"].sum()) / duration_s,
        }
    )


def _spread(values: Any, name: str) -> pd.DataFrame:
    """Mean and quantiles (linear between values) of a grouped column."""
    columns = {f"{name}_mean": values.mean()}
    columns |= {f"{name}_{label}": values.quantile(share) for label, share in QUANTILES.items()}
    return pd.DataFrame(columns)


def token_gaps(requests: pd.DataFrame) -> pd.DataFrame:
    """The time between tokens of every request given, as defined above. Returns load and itl_ms, one row a gap."""
    arrivals = requests["chunk_us"].map(len).to_numpy(dtype=int)
    gaps_ms = np.concatenate([np.zeros(0), *map(np.asarray, requests["chunk_us"])]) / 1e3
    counts = [
        np.asarray(tokens) if tokens else np.ones(count, dtype=int)
        for tokens, count in zip(requests["chunk_tokens"], arrivals, strict=True)
    ]
    tokens = np.concatenate([np.zeros(0, dtype=int), *counts])
    first = np.zeros(len(tokens), dtype=bool)
    first[(np.cumsum(arrivals) - arrivals)[arrivals > 0]] = True
    repeats = np.where(first, tokens - 1, tokens)
    itl_ms = np.where(first, 0.0, gaps_ms / np.maximum(tokens, 1))
    load = np.repeat(requests["load"].to_numpy(), arrivals)
    return pd.DataFrame({"load": np.repeat(load, repeats), "itl_ms": np.repeat(itl_ms, repeats)})


def _good(ok: pd.DataFrame, ttft_limit_ms: float | None, tpot_limit_ms: float | None) -> pd.Series[int]:
    within = pd.Series(True, index=ok.index)
    if ttft_limit_ms is not None:
        within &= ok["ttft_ms"] <= ttft_limit_ms
    if tpot_limit_ms is not None:
        within &= ~(ok["tpot_ms"] > tpot_limit_ms)  # a single token has no TPOT to be above a limit
    return ok[within].groupby("load").size()


def _backlogs(timed: pd.DataFrame, loads: pd.Index) -> pd.DataFrame:
    """Per load point: backlog (requests), saturated, and unsettled; all missing for a closed loop."""
    rows = [_backlog(timed[timed["load"] == load]) for load in loads]
    # As objects, so that true, false and missing stay what they are whichever of them there are.
    table = pd.DataFrame(rows, columns=["backlog", "saturated", "unsettled"], index=loads, dtype=object)
    return table.astype({"backlog": "float64"})


def _backlog(requests: pd.DataFrame) -> tuple[float, bool | None, bool | None]:
    """How the backlog grew while the second half of an open loop's requests arrived: those due less those ended.

    Saturated: by more than UNANSWERED_RATIO of those due and UNANSWERED_DEVIATIONS of a Poisson count. Unsettled: half
    of the earlier requests took longer than that half lasted, so the growth may be the filling of an empty server.
    """
    due = requests["scheduled_s"]
    middle, last = (due.min() + due.max()) / 2, due.max()
    arrivals = int((due > middle).sum())
    if requests["rate"].isna().all() or arrivals < ARRIVALS_LEAST:
        return float("nan"), None, None
    ended = requests["ended_s"]
    backlog = arrivals - int(((ended > middle) & (ended <= last)).sum())
    least = max(UNANSWERED_RATIO * arrivals, UNANSWERED_DEVIATIONS * arrivals**0.5)
    took_s = (ended - due)[due <= middle].median()
    return float(backlog), backlog > least, bool(took_s > last - middle)


def caveats(table: pd.DataFrame) -> list[str]:
    """What must be said beside the figures of `load_points`, a sentence each."""
    return [sentence for _, point in table.iterrows() for sentence in _point_caveats(point)]


def _point_caveats(point: pd.Series[Any]) -> list[str]:
    name = f"{point['concurrency']:g} at a time" if pd.isna(point["rate"]) else f"{point['rate']:g} requests/s"
    said = []
    if point["failed"]:
        said.append(f"{name}: {point['failed']} of {point['requests']} requests failed ({point['failures']}).")
    if point["saturated"] is True:
        filling = " or still filling: send more requests to tell" if point["unsettled"] else ""
        grew = f"in the second half of the arrivals the backlog grew by {point['backlog']:.0f} requests"
        said.append(f"{name}: the server is saturated{filling}; {grew}, so its latencies depend on how long it lasted.")
    if point["late_ms_p99"] > LATE_MS:
        said.append(f"{name}: the client sent 1 % of the requests more than {point['late_ms_p99']:.0f} ms late.")
    return said


def client_caveat(event: Mapping[str, Any]) -> Text | None:
    """What the `load` event of the driver says against the client itself, or None."""
    busy, lag_ms = event["client_cpu_ratio"], event["client_lag_p99_ms"]
    if busy <= BUSY_RATIO and lag_ms <= LAG_MS:
        return None
    return say(
        "load {load}: the client took {busy:.0%} of a core and read up to {lag_ms:.1f} ms late (p99).",
        load=event["load"],
        busy=busy,
        lag_ms=lag_ms,
    )
