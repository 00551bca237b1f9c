"""What graphs cost: time to capture them, memory that they hold, and KV-cache tokens that are left with and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.recordings import VARIANT, Study
from analysis.stats import median_told

KEYS = ["study", "made_by", "engine", "model", "tp", *VARIANT, "captured"]
COLUMNS = (
    *KEYS, "off_kv_tokens", "on_kv_tokens", "kv_ratio", "capture_s", "graph_gib", "off_ready_s", "on_ready_s",
    "off_starts_count", "on_starts_count",
)  # fmt: skip


def table(study: Study, name: str) -> pd.DataFrame:
    """By configuration the medians over starts, from what engines resolved and logged; NaN for what none told.

    captured: how many batch sizes have a graph. kv_ratio: KV tokens on / off. capture_s and graph_gib: of the worker
    that needed most. off_ready_s and on_ready_s: from the start of the engine until it could be asked.
    """
    rows = pd.DataFrame([_of_case(study.records[row["case"]], row) for row in _told(study)])
    if rows.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    # Served cases ask for no sizes, so that only the half with graphs tells them.
    of_both = rows.groupby(KEYS[1:-1], dropna=False)["captured"].transform("max")
    rows = rows.assign(captured=rows["captured"].astype(object).where(rows["captured"].notna(), of_both))
    found = [
        {**dict(zip(KEYS, (name, *key), strict=True)), **_halves(group)}
        for key, group in rows.groupby(KEYS[1:], sort=True, dropna=False)
    ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _told(study: Study) -> list[dict[Any, Any]]:
    """Untraced cases: a profiler takes memory of its own."""
    return study.cases[(study.cases["outcome"] == "ok") & (study.cases["tracing"] == "off")].to_dict("records")


def _of_case(record: Mapping[str, Any], row: Mapping[Any, Any]) -> dict[str, Any]:
    resolved = record.get("resolved") or {}
    blocks, tokens = resolved.get("kv_blocks"), resolved.get("kv_block_tokens")
    asked = record["asked"]
    captured = resolved.get("capture_sizes") or asked.get("captured") or asked.get("batches") or ()
    return {
        **{key: row[key] for key in KEYS[1:-1]},
        "captured": len(captured) or None,
        "graphs": row["graphs"],
        "kv_tokens": resolved.get("kv_tokens") or (blocks * tokens if blocks and tokens else None),
        "capture_s": resolved.get("capture_s"),
        "graph_gib": resolved.get("graph_gib", resolved.get("graph_gb")),
        "ready_s": (record.get("phases_s") or {}).get("starting"),
    }


def _halves(group: pd.DataFrame) -> dict[str, Any]:
    off, on = (group[group["graphs"] == graphs] for graphs in ("off", "on"))
    off_tokens, on_tokens = (median_told(half["kv_tokens"]) for half in (off, on))
    return {
        "off_kv_tokens": off_tokens,
        "on_kv_tokens": on_tokens,
        "kv_ratio": on_tokens / off_tokens,
        "capture_s": median_told(on["capture_s"]),
        "graph_gib": median_told(on["graph_gib"]),
        "off_ready_s": median_told(off["ready_s"]),
        "on_ready_s": median_told(on["ready_s"]),
        "off_starts_count": len(off),
        "on_starts_count": len(on),
    }
