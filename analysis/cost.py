"""What graphs cost a configuration, beside what they gain: time, memory, and sequences that no longer fit."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.account import rounded
from analysis.words import three

_TOLD = ("capture_s", "graph_gib", "off_kv_tokens", "on_kv_tokens", "off_ready_s", "on_ready_s")


def find(capacity: pd.DataFrame, measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The cost; None where the engine said nothing that was recorded.

    capacity: the configuration's rows of capacity.table, of which the one with most graphs counts. measured: its
    batches, as verdict.verdicts gives them. pays_after_steps: so many decode steps of the batch that gains most save
    the time of capturing. kept_gain: how many times the throughput without graphs it is at worst where requests fill
    the KV cache: the lower end of the least gain, times the share of the cache that is left, as if as large a share of
    the sequences ran at once.
    """
    known = capacity[capacity["on_starts_count"] > 0].sort_values(["off_starts_count", "captured"])
    row = known.iloc[-1] if len(known) else pd.Series(dtype=object)
    told = {name: rounded(row.get(name)) for name in _TOLD}
    off, on, capture_s = told["off_kv_tokens"], told["on_kv_tokens"], told["capture_s"]
    lost = max(1 - on / off, 0.0) if off and on else None
    saved_ms = max((row["measured_off_ms"] - row["measured_on_ms"] for row in measured), default=0.0)
    least = min((row["measured_gain"]["low"] for row in measured), default=None)
    return told | {
        "kv_lost_ratio": lost,
        "pays_after_steps": 1e3 * capture_s / saved_ms if capture_s is not None and saved_ms > 0 else None,
        "kept_gain": None if lost is None or least is None else least * (1 - lost),
    }


def lines(cost: Mapping[str, Any]) -> Iterator[str]:
    """The cost in words."""
    if cost["capture_s"] is not None:
        pays = f", paid for after {cost['pays_after_steps']:.0f} decode steps" if cost["pays_after_steps"] else ""
        held = f"; {cost['graph_gib']:.2f} GiB of graphs" if cost["graph_gib"] is not None else ""
        yield f"  cost: {cost['capture_s']:.1f} s of capturing{pays}{held}"
    if cost["kv_lost_ratio"] is not None:
        yield (
            f"  cost: {cost['kv_lost_ratio']:.2%} of the KV cache ({cost['off_kv_tokens']:.0f} to "
            f"{cost['on_kv_tokens']:.0f} tokens){_where_it_fills(cost)}"
        )
    if cost["capture_s"] is None and cost["kv_lost_ratio"] is None:
        yield "  cost: not recorded"


def _where_it_fills(cost: Mapping[str, Any]) -> str:
    if not cost["kept_gain"] or not cost["kv_lost_ratio"]:
        return ""
    return (
        ": where requests fill it, fewer of them run at once; "
        f"throughput is then at worst {three(cost['kept_gain'])} times that without graphs"
    )
