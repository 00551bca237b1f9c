"""On or off for a workload: what graphs did to throughput, first token and further tokens at each load served."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.account import rounded

ON, OFF, UNDECIDED = "turn on", "turn off", "undecided"
# Serving figures of two starts of one thing differ by so much; what differs by less says nothing.
NOISE = 0.05
SAME = f"no difference beyond {NOISE:.0%}"
MORE_IS_BETTER = {"output_tok_s": True, "ttft_ms_p50": False, "ttft_ms_p99": False, "tpot_ms_p50": False}
WORDS = {
    "output_tok_s": "output tokens/s",
    "ttft_ms_p50": "median TTFT",
    "ttft_ms_p99": "99th percentile of TTFT",
    "tpot_ms_p50": "median TPOT",
}


def verdicts(beside: pd.DataFrame) -> list[dict[str, Any]]:
    """A verdict for each load point with both halves, of what served.beside gives.

    measured_off and measured_on hold the figures, measured_gain how many times better each is with graphs: the ratio
    of both, of TPOT the median over pairs of starts of one repeat. `turn on` where some are better and none is worse,
    beyond NOISE; `turn off` the other way; a trade of one for another is `undecided`, since it depends on what matters
    to whom. Throughput counts under a closed loop and where a half is saturated: below that the arrivals decide it, but
    for how long the last answers take.
    """
    both = beside[(beside["off_starts_count"] > 0) & (beside["on_starts_count"] > 0)]
    return [verdict(row) for row in both.to_dict("records")]


def verdict(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The verdict of one load point that has both halves, as `verdicts` gives it."""
    sides = {graphs: {name: rounded(row[f"{graphs}_{name}"]) for name in MORE_IS_BETTER} for graphs in ("off", "on")}
    gains = {name: _gain(sides["off"][name], sides["on"][name], more) for name, more in MORE_IS_BETTER.items()}
    # Over pairs of starts, as the report has it; of the medians where no repeat has both halves.
    gains["tpot_ms_p50"] = rounded(row["tpot_ratio"]) or gains["tpot_ms_p50"]
    if row["rate"] > 0 and "saturated" not in str(row["caution"]):
        gains["output_tok_s"] = None
    better = [WORDS[name] for name, gain in gains.items() if gain is not None and gain > 1 + NOISE]
    worse = [WORDS[name] for name, gain in gains.items() if gain is not None and gain < 1 - NOISE]
    said = ON if better and not worse else OFF if worse and not better else UNDECIDED
    parts = [f"better {', '.join(better)}"] * bool(better) + [f"worse {', '.join(worse)}"] * bool(worse)
    return {
        "rate": rounded(row["rate"]),
        "concurrency": rounded(row["concurrency"]),
        "measured_off": sides["off"],
        "measured_on": sides["on"],
        "measured_gain": gains,
        "starts": int(min(row["off_starts_count"], row["on_starts_count"])),
        "verdict": said,
        "why": "; ".join(parts) or SAME,
        "caution": str(row["caution"]),
    }


def _gain(off: float | None, on: float | None, more: bool) -> float | None:
    if not off or not on:
        return None
    return rounded(on / off if more else off / on)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A load point in words: all of it measured."""
    load = f"{found['rate']:g} requests/s" if found["rate"] else f"{found['concurrency']:g} requests in flight"
    starts = f"{found['starts']} start{'s' if found['starts'] > 1 else ''}"
    yield f"  serving {load} ({starts}): {found['verdict']}: {found['why']}"
    for name, word in WORDS.items():
        off, on = found["measured_off"][name], found["measured_on"][name]
        if off is not None and on is not None:
            yield f"      {word}: off {_number(off)}, on {_number(on)}{' ms' if '_ms' in name else ''}"
    if found["caution"]:
        yield f"      caution: {found['caution']}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"
