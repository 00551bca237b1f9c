"""What a report foretells, beside what was measured: predictions of one half from the other, and break-evens.

The traces are those that were examined; what predictions rest on is decided in pairs.py and predict.py.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import breakeven, calibrations, paired, pairs, predict, workers
from analysis.calibrations import TORCH
from analysis.errors import TraceError
from analysis.figures import SWEEP
from analysis.gathered import Gathered
from analysis.headline import per_start
from analysis.pairs import KEYS, Pair

PREDICTION_COLUMNS = (
    "study", "made_by", *KEYS, "direction", "predicted_ms", "predicted_low_ms", "predicted_high_ms", "measured_ms",
    "error_ratio", "covered", "claimed",
)  # fmt: skip
BREAKEVEN_COLUMNS = (
    "study", "made_by", *KEYS, "gpu", "recorded_on", "predicted_breakeven_us", "predicted_low_us", "predicted_high_us",
    "measured_launch_us", "predicted_bound",
)  # fmt: skip
ON_FROM_OFF, OFF_FROM_ON = "graphs on from off", "graphs off from on"
OFF_BY_ANOTHER, OFF_ALONE = "graphs off from on, launches of another configuration", "graphs off from on alone"
"""Directions. OFF_FROM_ON has the launches of the trace with graphs off of that very configuration."""
_OFF = {pairs.SAME: OFF_FROM_ON, pairs.ANOTHER: OFF_BY_ANOTHER, pairs.ALONE: OFF_ALONE}


def recorded(gathered: Gathered) -> list[Pair]:
    """The pairs of the report: a fit trace with graphs off that proves its label, and untraced times of both halves.

    Of what several programs measured of one configuration, study.sweep's times count.
    """
    starts = per_start(gathered.countable)
    starts = starts[starts["made_by"] == starts.groupby(["study", *KEYS])["made_by"].transform(_maker)]
    keys = ["study", *KEYS]
    times_ms, gains = paired.times_ms(starts, keys), paired.gains(starts, keys)["gain_ratio"]
    made_by = starts.groupby(["study", *KEYS])["made_by"].first()
    traced: dict[tuple[Any, ...], Any] = {}
    for one in gathered.evidence:
        about = dict(one.about)
        if one.proof == "proven" and one.typical is not None and about["tracing"] == "node":
            traced.setdefault((about["study"], *(about[name] for name in KEYS), about["graphs"]), one.typical)
    torch_us = {name: _torch_us(study.folder / calibrations.NAME) for name, study in gathered.studies}
    found = []
    for half, typical in traced.items():
        key, halves = half[:-1], [(*half[:-1], graphs) for graphs in ("off", "on")]
        if half != halves[0] or not all(one in times_ms.index for one in halves):
            continue
        off_ms, on_ms = (float(times_ms[one]) for one in halves)
        found.append(
            Pair(study=key[0], made_by=made_by[key], key=key[1:], off=typical, on=traced.get(halves[1]),
                 off_ms=off_ms, on_ms=on_ms, gain_ratio=float(gains[key]), torch_us=torch_us[key[0]])
        )  # fmt: skip
    return found


def _maker(made_by: pd.Series[str]) -> str:
    return SWEEP if (made_by == SWEEP).any() else str(made_by.iloc[0])


def _torch_us(file: Any) -> float | None:
    calibration = calibrations.read(file) if file.exists() else None
    return calibration.launch_us.value if calibration and calibration.of == TORCH else None


def predictions(found: list[Pair]) -> tuple[pd.DataFrame, bool]:
    """PREDICTION_COLUMNS, a row a pair and direction; and whether each was predicted by the other pairs alone.

    Where there are too few pairs for that, the model that ships is asked, in which these recordings may have a part.
    """
    try:
        on, off = pairs.left_out(found), pairs.left_out_off(found)
    except TraceError:
        shipped = [row for pair in found for row in _shipped(pair, pairs.another(pair, found))]
        return pd.DataFrame(shipped, columns=list(PREDICTION_COLUMNS)), False
    made_by = {(pair.study, *pair.key): pair.made_by for pair in found}
    halves = [(off[off["known"] == known], "off", direction) for known, direction in _OFF.items()]
    rows: list[dict[Any, Any]] = []
    for table, half, direction in [(on, "on", ON_FROM_OFF), *halves]:
        for row in table.to_dict("records"):
            key = (row["study"], *(row[name] for name in KEYS))
            times = {f"{word}_ms": row[f"{word}_{half}_ms"] for word in ("predicted", "measured")}
            rows.append({**row, **dict[Any, Any](times), "made_by": made_by[key], "direction": direction})
    return pd.DataFrame(rows, columns=list(PREDICTION_COLUMNS)), True


def _shipped(pair: Pair, other: Pair | None) -> list[dict[str, Any]]:
    model = predict.recorded()
    about = {"study": pair.study, "made_by": pair.made_by, **dict(zip(KEYS, pair.key, strict=True))}
    sides = [(ON_FROM_OFF, predict.graphs_on_ms(pair.off, model), pair.on_ms)]
    if pair.on is not None:
        known = {OFF_FROM_ON: predict.calibration(pair.off, model), OFF_ALONE: None}
        if other is not None:
            known[OFF_BY_ANOTHER] = predict.calibration(other.off, model)
        for direction, calibration in known.items():
            host = predict.host_ms(pair.on, model, calibration)
            sides.append((direction, predict.graphs_off_ms(pair.on, host, model), pair.off_ms))
    return [
        about | {
            "direction": direction, "predicted_ms": told.value, "predicted_low_ms": told.low,
            "predicted_high_ms": told.high, "measured_ms": measured_ms,
            "error_ratio": told.value / measured_ms - 1, "covered": told.holds(measured_ms),
            "claimed": pair.claimed,
        }
        for direction, told, measured_ms in sides
    ]  # fmt: skip


def breakevens(found: list[Pair]) -> list[dict[str, Any]]:
    """What breakeven.rows gives, for pairs at batch 1, which is where launches are the longest beside the work, of
    engines and models of which predictions are claimed.

    Nothing for a GPU whose figures are not known.
    """
    first = [pair for pair in found if pair.claimed and pair.key[KEYS.index("batch")] == 1]
    launches = [pair.off.launches * len(pair.off.strands) for pair in first]
    return [row for rows in workers.in_processes(_breakevens, first, launches) for row in rows]


def _breakevens(pair: Pair) -> list[dict[str, Any]]:
    try:
        return breakeven.rows([pair], predict.recorded())
    except TraceError:
        return []


def breakeven_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The same as a table, BREAKEVEN_COLUMNS."""
    flat = [
        {**row, **{f"predicted_{word}_us": row["predicted_breakeven_us"][end]
                   for word, end in (("breakeven", "value"), ("low", "low"), ("high", "high"))}}
        for row in rows
    ]  # fmt: skip
    return pd.DataFrame(flat, columns=list(BREAKEVEN_COLUMNS))
