"""Where launching becomes the longer side: above which host time for each launch, and up to which batch size.

The host time is found by playing recorded iterations again, on the GPU that they were recorded on and, as transfer.py
foretells them, on others: PREDICTED, all of it. What hosts took is measured, and stands beside.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import claims, hardware, paired, transfer, weights
from analysis.estimates import Estimate
from analysis.pairs import KEYS, Pair, host_decides, took_us, variant
from analysis.predict import Model
from analysis.recordings import VARIANT
from analysis.transfer import Place
from analysis.words import three

# A gain below it is none, in the rounding of the published tables.
NO_GAIN = 1.1
_KEYS = ["engine", "model", "tp", *VARIANT]


def rows(pairs: Sequence[Pair], model: Model) -> list[dict[str, Any]]:
    """A row for each recorded configuration and each GPU whose figures are known, the recorded one first.

    predicted_breakeven_us; measured_launch_us, what the recorded host took, None where it was not the longer side; and
    what follows for such a host there: `launch`, `gpu` or `undecided`.
    """
    return [_row(pair, place, model) for pair in pairs for place in _places(pair)]


def left_out(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """The pairs that have no break-even since nothing is claimed of their engine or model, each with the reason."""
    keys = [(pair, dict(zip(KEYS, pair.key, strict=True))) for pair in pairs if not pair.claimed]
    return [{"study": pair.study, **key, **claims.of(key["engine"], pair.experts)} for pair, key in keys]


def _places(pair: Pair) -> list[Place]:
    source = hardware.find(pair.off.gpu)
    targets = dict.fromkeys((source, *map(hardware.find, hardware.COMPARED)))
    return [Place(source=source, target=target, batch=pair.key[3]) for target in targets]


def _row(pair: Pair, place: Place, model: Model) -> dict[str, Any]:
    found = transfer.transfer(pair.off, place, model)
    host_us = took_us(pair) if host_decides(pair) else None
    return {
        "study": pair.study, "made_by": pair.made_by, **dict(zip(KEYS, pair.key, strict=True)),
        "gpu": place.target.key, "recorded_on": place.source.key, "mark": "PREDICTED",
        "predicted_breakeven_us": found["breakeven_us"], "measured_launch_us": host_us,
        "predicted_bound": None if host_us is None else _side(host_us, Estimate(**found["breakeven_us"])),
    }  # fmt: skip


def _side(host_us: float, breakeven: Estimate) -> str:
    if breakeven.holds(host_us):
        return "undecided"
    return "launch" if host_us > breakeven.high else "gpu"


def batches(windows: pd.DataFrame) -> list[dict[str, Any]]:
    """Up to which batch each configuration stays launch-bound, from untraced times at several batches.

    With graphs an iteration grows with the batch, along a line; without, it stays what the host takes, until the line
    reaches that. windows: as recordings.open_study gives them. measured_ratio is graphs off over on at measured_up_to,
    the largest batch, as paired.gains has it. Where graphs gain less than NO_GAIN at a larger batch and more at a
    smaller one, measured_between is those two. Otherwise predicted_batch is where the line would meet what the host
    takes: a guess without an interval, since products of larger batches are no longer bound by memory; None where
    nothing is claimed of the engine or the model.
    """
    keys = [*_KEYS, "batch"]
    found: list[dict[str, Any]] = []
    gains = paired.gains(windows, keys)
    if gains.empty:
        return found
    times = paired.times_ms(windows, keys).unstack("graphs").dropna().assign(gain=gains["gain_ratio"])
    for key, mine in times.groupby(level=_KEYS):
        by_batch = mine.set_axis(mine.index.get_level_values("batch")).sort_index()
        if len(by_batch) >= 2:
            about: dict[str, Any] = dict(zip(_KEYS, key, strict=True))
            claim = claims.of(about["engine"], weights.experts(about["model"]))
            found.append(about | _crossing(by_batch) | claim | ({} if claim["claimed"] else {"predicted_batch": None}))
    return found


def _crossing(by_batch: pd.DataFrame) -> dict[str, Any]:
    largest, gains = by_batch.index.max(), by_batch["gain"]
    return {
        "mark": "PREDICTED",
        "predicted_batch": None if gains[largest] < NO_GAIN else _meeting(by_batch),
        "measured_between": _bracket(gains),
        "measured_up_to": int(largest),
        "measured_ratio": float(gains[largest]),
    }


def _bracket(gains: "pd.Series[float]") -> list[int] | None:
    """The last batch that gains and the first of those that no longer do; None where there are not both."""
    no_more = gains.index[gains.index > max(gains.index[gains >= NO_GAIN], default=np.inf)]
    return [int(gains.index[gains >= NO_GAIN].max()), int(no_more.min())] if len(no_more) else None


def _meeting(by_batch: pd.DataFrame) -> int | None:
    """The batch at which a line through the times with graphs meets the median without."""
    sizes = by_batch.index.to_numpy(np.float64)
    slope, level = np.polyfit(sizes, by_batch["on"].to_numpy(np.float64), 1)
    return round(float((by_batch["off"].median() - level) / slope)) if slope > 0 else None


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The rows as tables in words; columns of what is foretold say PREDICTED."""
    heads = f"{'PREDICTED break-even, us a launch':>34} {'recorded host, us':>18} {'PREDICTED for it':>17}"
    several = len({row["study"] for row in (*found["launches"], *found["batches"])}) > 1
    names = [_name(row, several) for row in (*found["launches"], *found["batches"])]
    wide = max([34, *map(len, names)])
    yield f"{'':{wide}} {'GPU':>8} {heads}"
    for row in found["launches"]:
        took = "-" if row["measured_launch_us"] is None else f"{row['measured_launch_us']:.1f}"
        breakeven = Estimate(**row["predicted_breakeven_us"])
        told = f"{breakeven!s:>34} {took:>18} {row['predicted_bound'] or '-':>17}"
        yield f"{_name(row, several):{wide}} {row['gpu']:>8} {told}"
    yield ""
    heads = f"{'measured off/on':>16} {'at batch':>9} {'measured end of gain':>21}"
    yield f"{'':{wide}} {heads} {'PREDICTED GPU-bound from batch, a guess':>40}"
    for row in found["batches"]:
        at = (row["predicted_batch"] or "-") if row["claimed"] else "not claimed"
        between = "-" if row["measured_between"] is None else "{} to {}".format(*row["measured_between"])
        measured = f"{three(row['measured_ratio']):>16} {row['measured_up_to']:>9} {between:>21}"
        yield f"{_name(row, several):{wide}} {measured} {at:>40}"
    yield from (f"left out: {_name(row, True)}, not claimed" for row in found["left_out"])
    for why in claims.reasons((*found["left_out"], *found["batches"])):
        yield from claims.lines({"claimed": False, "why_not_claimed": why})


def _name(row: Mapping[str, Any], of_study: bool) -> str:
    """The configuration, behind its study where several are shown, which may have measured the same."""
    batch = f" b{row['batch']}" if "batch" in row else ""
    study = f"{row['study']} " if of_study else ""
    return f"{study}{row['engine']} {row['model']} TP{row['tp']}{batch}{variant(row)}"
