"""What changed from one study to another, quantity for quantity, and whether that is beyond noise or within it.

Noise is the spread over engine starts within each study: what differs from day to day or from machine to machine is
not in it. `find` compares what both measured, `environment` what they measured it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.figures import ENGINE_TITLES, SWEEP
from analysis.headline import per_start
from analysis.recordings import RESOLVED_FACTS, VARIANT, Record
from analysis.served import FIGURES
from analysis.stats import COVERAGE, unpaired_ratio

KEYS = ["engine", "model", *VARIANT, "tp", "batch", "rate", "concurrency"]
BEYOND, APART, WITHIN, OPEN = "beyond noise", "apart, few starts", "within noise", "cannot be told"
VOID, FIRST, SECOND = "excluded", "first only", "second only"
# What stands for graphs where a row is of both halves.
HALVES = "off / on"
COLUMNS = (
    *KEYS, "graphs", "quantity", "first", "second", "change_ratio", "change_low_ratio", "change_high_ratio",
    "coverage_ratio", "first_starts_count", "second_starts_count", "verdict", "differs",
)  # fmt: skip
ENVIRONMENT_COLUMNS = ("kind", "fact", "first", "second")
# What tells machines apart, as far as records say; software; and what belongs to an engine's own environment.
_MACHINE = ("label", "gpu_name", "gpu_count", "cpu", "cpu_count", "governor", "platform")
_SOFTWARE = ("driver", "cuda", "nsys")
_ENGINES_OWN = ("engine_version", "torch", "nccl", "python")
# What of a case names it, says how it is observed, or how often.
_NO_SETTING = {
    "engine", "model", "tp", "pp", "dp", "dp_attention", "graphs", "tracing", "repeat", "batches", "windows",
    "traced_steps", "rates", "concurrency", *VARIANT,
}  # fmt: skip
CONFIGURATION = ["engine", "model", *VARIANT, "tp", "batch"]

Studies = Sequence[tuple[str, Mapping[str, Record]]]


def find(studies: Studies, windows: pd.DataFrame, points: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Compare two studies, a row for each configuration and quantity of either. Returns COLUMNS.

    quantity is tpot_ms (a decode iteration, untraced), gain_ratio (off / on) or one of served.FIGURES under load;
    first and second are medians over engine starts. change_ratio is second / first, its interval and coverage those
    of stats.unpaired_ratio over starts. verdict: BEYOND where the interval excludes 1; APART where it does but there
    are too few starts for 95 %; WITHIN; OPEN where starts that are too few are not even apart, or there is one on a
    side; VOID where a trace contradicts a label;
    FIRST or SECOND where one study alone measured it. differs: what was asked, or resolved by the engine, otherwise.

    studies: name and records of both. windows, points, pairs: as headline, served.points and headline.pairs have them,
    with study; of what a study has from several programs, that of study.sweep is taken.
    """
    void = contradicted(pairs)
    rows = []
    for key, configuration in samples(windows, points).groupby(KEYS, dropna=False):
        about = dict(zip(KEYS, key, strict=True))
        excluded = {"verdict": VOID} if tuple(about[name] for name in CONFIGURATION) in void else {}
        for (graphs, quantity), group in configuration.groupby(["graphs", "quantity"], sort=False):
            told = configuration if graphs == HALVES else group
            row = _compared(studies, group) | {"differs": "; ".join(_differs(studies, told))}
            rows.append({**about, "graphs": graphs, "quantity": quantity, **row, **excluded})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def samples(windows: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Every quantity of every start: study, made_by, KEYS, graphs, quantity, case ("" for HALVES), repeat, value."""
    return _own(_stacked(_decode(windows), _serving(points)))


def contradicted(pairs: pd.DataFrame) -> set[tuple[Any, ...]]:
    """The configurations of which either study's traces contradict a label, as values of CONFIGURATION."""
    return set(_own(pairs[pairs["contradiction"] != ""])[CONFIGURATION].itertuples(index=False, name=None))


def _decode(windows: pd.DataFrame) -> pd.DataFrame:
    """Iteration time of every start, and off / on of every pair of starts of one repeat."""
    starts = per_start(windows).rename(columns={"tpot_ms": "value"})
    starts = starts.assign(rate=np.nan, concurrency=np.nan, quantity="tpot_ms")
    return _stacked(starts, _gains(starts, "gain_ratio"))


def _serving(points: pd.DataFrame) -> pd.DataFrame:
    """Each figure of every start and load point, and off / on of TPOT."""
    about = ["study", "made_by", *(key for key in KEYS if key != "batch"), "graphs", "case", "repeat"]
    long = points.melt(id_vars=about, value_vars=list(FIGURES), var_name="quantity", value_name="value")
    starts = long.assign(batch=0, value=pd.to_numeric(long["value"])).dropna(subset=["value"])
    return _stacked(starts, _gains(starts[starts["quantity"] == "tpot_ms_p50"], "tpot_ratio"))


def _stacked(*frames: pd.DataFrame) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def _gains(starts: pd.DataFrame, quantity: str) -> pd.DataFrame:
    keys = ["study", "made_by", *KEYS, "repeat"]
    halves = [
        starts[starts["graphs"] == graphs].groupby(keys, dropna=False)["value"].median() for graphs in ("off", "on")
    ]
    gains = (halves[0] / halves[1]).dropna().reset_index()
    return gains.assign(quantity=quantity, graphs=HALVES, case="")


def _own(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each study and configuration what one program measured: study.sweep where it did."""
    ordered = frame.assign(other=frame["made_by"] != SWEEP).sort_values(["other", "made_by"], kind="stable")
    keys = ["study", *(key for key in KEYS if key in frame)]
    return ordered[ordered["made_by"] == ordered.groupby(keys, dropna=False)["made_by"].transform("first")]


def _compared(studies: Studies, group: pd.DataFrame) -> dict[str, Any]:
    sides = [group[group["study"] == name] for name, _ in studies]
    first, second = (side["value"].to_numpy(float) for side in sides)
    ratio, low, high, coverage = unpaired_ratio(second, first)
    return {
        "first": _median(first),
        "second": _median(second),
        "change_ratio": ratio,
        "change_low_ratio": low,
        "change_high_ratio": high,
        "coverage_ratio": coverage,
        "first_starts_count": len(first),
        "second_starts_count": len(second),
        "verdict": judged(low, high, coverage) if len(first) and len(second) else FIRST if len(first) else SECOND,
    }


def _median(values: npt.NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def judged(low: float, high: float, coverage: float) -> str:
    """The verdict on a change with this interval: BEYOND, APART, WITHIN, or OPEN where there is none.

    OPEN too where so few starts could not have been beyond noise however they had come out, and are not even apart.
    """
    if np.isnan(low):
        return OPEN
    holds_one, enough = low <= 1 <= high, coverage >= COVERAGE
    if holds_one:
        return WITHIN if enough else OPEN
    return BEYOND if enough else APART


def _differs(studies: Studies, starts: pd.DataFrame) -> Iterator[str]:
    """What starts of either study were asked for, or resolved, otherwise, and whether another program made them."""
    sides = [starts[starts["study"] == name] for name, _ in studies]
    if not all(len(side) for side in sides):
        return
    made = [side["made_by"].iloc[0] for side in sides]
    if made[0] != made[1]:
        yield f"made by {made[0]} → {made[1]}"
    records = [
        [every[case] for case in dict.fromkeys(side["case"]) if case]
        for (_, every), side in zip(studies, sides, strict=True)
    ]
    for asked in ("asked", "resolved"):
        found = [_settings(record.get(asked) or {} for record in side) for side in records]
        kept = RESOLVED_FACTS if asked == "resolved" else sorted({*found[0], *found[1]} - _NO_SETTING)
        for key in kept:
            values = [side.get(key, "") for side in found]
            if values[0] != values[1] and (asked == "asked" or all(values)):
                yield f"{key} {values[0] or 'none'} → {values[1] or 'none'}"


def _settings(said: Iterator[Mapping[str, Any]]) -> dict[str, str]:
    """Every key with the values that several records have of it; what is None or empty is left out.

    What is asked of serving has its keys in one of its own: these count as all others do.
    """
    found: dict[str, dict[str, None]] = {}
    for one in said:
        flat = {**one, **one["serving"], "serving": None} if isinstance(one.get("serving"), Mapping) else one
        for key, value in flat.items():
            if value not in (None, "", [], {}):
                found.setdefault(key, {})[str(value)] = None
    return {key: ", ".join(sorted(values)) for key, values in found.items()}


def environment(studies: Studies) -> pd.DataFrame:
    """What two studies ran on, a row for each fact that both tell and that differs. Returns ENVIRONMENT_COLUMNS.

    kind is machine or software; what belongs to an engine is told of engines that both measured.
    """
    hosts = [_settings(record["host"] for record in records.values()) for _, records in studies]
    rows = [("machine", fact, *(host.get(fact, "") for host in hosts)) for fact in _MACHINE]
    if not share_gpus(studies):
        rows.append(("machine", "gpu_uuids", *(", ".join(sorted(gpus)) for gpus in _gpus(studies))))
    rows += [("software", fact, *(host.get(fact, "") for host in hosts)) for fact in _SOFTWARE]
    for engine, title in ENGINE_TITLES.items():
        of_engine = [
            _settings(record["host"] for record in records.values() if record["asked"]["engine"] == engine)
            for _, records in studies
        ]
        rows += [("software", f"{title}: {fact}", *(host.get(fact, "") for host in of_engine)) for fact in _ENGINES_OWN]
    told = [row for row in rows if row[2] and row[3] and row[2] != row[3]]
    return pd.DataFrame(told, columns=list(ENVIRONMENT_COLUMNS))


def share_gpus(studies: Studies) -> bool:
    """Whether a GPU took part in both studies, by its own number: then they ran on one machine."""
    first, second = _gpus(studies)
    return bool(first & second)


def _gpus(studies: Studies) -> list[set[str]]:
    return [{gpu for one in records.values() for gpu in one["host"].get("gpu_uuids") or ()} for _, records in studies]
