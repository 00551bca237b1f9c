"""Whether the iteration time stayed what it was over the window: settling, drift, changes of level, bursts.

Median, p10 and p90 describe a window only if any part of it would give the same. Everything here rests on ranks and
medians, so that single slow iterations, of which every trace has some, neither make nor hide a finding. Neighbours
that are alike are fewer than they look: the tests count them by how much each iteration resembles the one before.

False alarms, measured: of windows of 18, 70 and 500 iterations of nothing but noise (2,000, 2,000 and 400 of each),
this share was found not stationary, of noise of 4 % and of 10 % standard deviation:

    normal                                   0.3 to 0.6 %     0.4 to 2.0 %
    Student's t, 3 degrees of freedom        0.4 to 0.9 %     0.7 to 3.0 %
    neighbours correlated by 0.4             0.3 to 3.4 %     2.5 to 3.2 %
    neighbours correlated by 0.7             1.8 to 5.7 %     5.3 to 7.0 %

A burst was found in at most 0.6 % of windows of normal noise; of Student's t, whose outliers are real, in 10, 31 and
94 % of those of 18, 70 and 500 iterations.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.intervals import Ints, Mask

Floats = npt.NDArray[np.float64]

LEAST = 12
"""Iterations below which nothing can be told."""
SHIFT_LEAST = 0.03
"""The relative change of level, or over the window, below which it does not matter."""
_SETTLED, _SETTLED_OVER = 0.05, 5
_SEGMENT_LEAST = 5
# Standard deviations of the rank statistics; of the most of all splits it takes more than of one trend.
_SPLIT_Z, _TREND_Z, _SETTLING_Z = 3.4, 3.0, 2.6
_SLOW_SD, _SLOW_LEAST = 5.0, 0.1
_BURSTS_MOST = 0.1
_TREND_POINTS = 1000
_SD_OF_MAD = 1.4826


def find(iter_ms: Floats, numbers: "Sequence[int] | Ints | None" = None) -> dict[str, Any]:
    """Say whether the iteration times are stationary, and if not, how. JSON-ready; times in ms.

    `iter_ms` has one value an iteration, in order; `numbers` are the iterations' numbers, by default 0, 1, ...

    stationary            no change of level, no drift, settled at once, at most a tenth of the iterations in bursts
    settling_iterations   how many pass before the median of five is within 5 % of that of the second half
    drift_ratio           relative change from the first to the last iteration by the Theil-Sen trend; None below LEAST
    change_points         where the level changes: the first iteration after, the medians before and after
    bursts                runs of iterations slower than their level by five deviations and a tenth: the first one, how
                          many, their median
    reason                why it is not stationary; None where it is
    """
    iter_ms = np.asarray(iter_ms, np.float64)
    at = np.arange(len(iter_ms)) if numbers is None else np.asarray(numbers, np.int64)
    settled = settling(iter_ms) if len(iter_ms) else 0
    if len(iter_ms) < LEAST:
        reason = f"{len(iter_ms)} iterations are too few to tell, {LEAST} are needed"
        return _told(reason, settled, None, [], [])
    trend, drifts = _trend(iter_ms)
    splits = _splits(iter_ms)
    level = _level(iter_ms, splits)
    if drifts and _cost(iter_ms - trend, 2) <= _cost(iter_ms - level, 2 * len(splits) + 1):
        splits, level = [], trend
    drifts &= not splits
    changes = _changes(iter_ms, splits, at)
    bursts, slow = _bursts(iter_ms, level, at)
    drift = float(trend[-1] / trend[0] - 1)
    reasons = (
        (_unsettled(iter_ms, level, settled), f"it takes {settled} iterations to settle"),
        (bool(changes), f"the level changes at iteration {', '.join(str(change['iteration']) for change in changes)}"),
        (drifts, f"it drifts by {drift:+.1%} over the window"),
        (slow > _BURSTS_MOST, f"{slow:.0%} of the iterations are in bursts"),
    )
    reason = "; ".join(text for holds, text in reasons if holds)
    return _told(reason or None, settled, drift, changes, bursts)


def settling(iter_ms: Floats) -> int:
    """How many iterations pass before the median of five in a row is within 5 % of that of the second half."""
    usual = np.median(iter_ms[len(iter_ms) // 2 :])
    for start in range(len(iter_ms)):
        if abs(np.median(iter_ms[start : start + _SETTLED_OVER]) / usual - 1) <= _SETTLED:
            return start
    return len(iter_ms)


def _told(
    reason: str | None, settled: int, drift: float | None, changes: list[dict[str, Any]], bursts: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "stationary": reason is None,
        "settling_iterations": settled,
        "drift_ratio": None if drift is None else round(drift, 4),
        "change_points": changes,
        "bursts": bursts,
        "reason": reason,
    }


def _trend(values: Floats) -> tuple[Floats, bool]:
    """The Theil-Sen line, and whether it is more than chance (Mann-Kendall) and than SHIFT_LEAST.

    A long window is taken in stretches, each as its median.
    """
    parts = np.array_split(np.arange(len(values)), min(len(values), _TREND_POINTS))
    y = np.array([np.median(values[part]) for part in parts])
    x = np.array([part.mean() for part in parts])
    one, other = np.triu_indices(len(y), 1)
    rise = y[other] - y[one]
    slope = float(np.median(rise / (x[other] - x[one])))
    line = np.median(values - slope * np.arange(len(values))) + slope * np.arange(len(values))
    n = len(y)
    z = np.sign(rise).sum() / np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    alone = _independent(y - np.interp(x, np.arange(len(values)), line))
    return line, bool(abs(z) * alone > _TREND_Z and abs(line[-1] / line[0] - 1) >= SHIFT_LEAST)


def _cost(rest: Floats, parameters: int) -> float:
    """What a description of the values leaves, and what it takes to say it: the lower the better."""
    left = max(float(np.abs(rest).mean()), np.finfo(float).tiny)
    return len(rest) * float(np.log(left)) + parameters * float(np.log(len(rest)))


def _splits(values: Floats) -> list[int]:
    """Where the level changes. How alike neighbours are is known only once all changes of level are taken out."""
    many = _segments(values, 1.0)
    return _segments(values, _independent(values - _level(values, many)))


def _segments(values: Floats, alone: float) -> list[int]:
    """Splits in two, and these again, as long as there is one that counts: binary segmentation."""
    found: list[int] = []
    open_parts = [(0, len(values))]
    while open_parts:
        start, end = open_parts.pop()
        split = _split(values[start:end], alone)
        if split is not None:
            found.append(start + split)
            open_parts += [(start, start + split), (start + split, end)]
    return sorted(found)


def _split(values: Floats, alone: float) -> int | None:
    """Where the values fall into two levels most clearly, by their ranks; None where that may be chance."""
    n = len(values)
    if n < 2 * _SEGMENT_LEAST:
        return None
    k = np.arange(1, n)
    excess = np.cumsum(_ranks(values))[:-1] - k * (n + 1) / 2
    z = np.abs(excess) / _chance(n, k)
    inner = slice(_SEGMENT_LEAST - 1, n - _SEGMENT_LEAST)
    at = _refined(values, int(k[inner][z[inner].argmax()]))
    before, after = np.median(values[:at]), np.median(values[at:])
    if abs(after / before - 1) < SHIFT_LEAST or z[inner].max() * alone < _SPLIT_Z:
        return None
    return at


def _refined(values: Floats, about: int) -> int:
    """The split near one found that leaves least around the medians of both sides."""
    near = range(max(about - _SEGMENT_LEAST, 2), min(about + _SEGMENT_LEAST, len(values) - 2) + 1)
    left = [
        np.abs(values[:at] - np.median(values[:at])).sum() + np.abs(values[at:] - np.median(values[at:])).sum()
        for at in near
    ]
    return near[int(np.argmin(left))]


def _chance(n: int, k: "Ints | int") -> "Floats | float":
    """The standard deviation of the sum of the ranks of k out of n values that differ by chance alone."""
    return np.sqrt(k * (n - k) * (n + 1) / 12)


def _unsettled(values: Floats, level: Floats, settled: int) -> bool:
    """Whether the iterations before the time settled, five at the least, differ from the others by more than chance."""
    n, first = len(values), max(settled, _SETTLED_OVER)
    if not 0 < settled <= n - _SETTLED_OVER:
        return bool(settled)
    excess = _ranks(values)[:first].sum() - first * (n + 1) / 2
    return bool(abs(excess) / _chance(n, first) * _independent(values - level) > _SETTLING_Z)


def _ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share theirs."""
    _, which, times = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: Floats = np.cumsum(times) - (times - 1) / 2
    return mean_rank[which.reshape(-1)]


def _independent(rest: Floats) -> float:
    """What a statistic of so many values is worth in standard deviations, where each resembles the one before."""
    ranks = _ranks(rest) - (len(rest) + 1) / 2
    spread = float((ranks**2).sum())
    likeness = max(0.0, float((ranks[1:] * ranks[:-1]).sum()) / spread) if spread else 0.0
    return float(np.sqrt((1 - likeness) / (1 + likeness)))


def _level(values: Floats, splits: list[int]) -> Floats:
    """The median of the part that each value is in."""
    return np.concatenate([np.full(len(part), np.median(part)) for part in np.split(values, splits)])


def _changes(values: Floats, splits: list[int], at: Ints) -> list[dict[str, Any]]:
    medians = [round(float(np.median(part)), 6) for part in np.split(values, splits)]
    return [
        {"iteration": int(at[split]), "before_ms": before, "after_ms": after}
        for split, before, after in zip(splits, medians[:-1], medians[1:], strict=True)
    ]


def _bursts(values: Floats, level: Floats, at: Ints) -> tuple[list[dict[str, Any]], float]:
    """Runs of slow iterations, a single usual one between them not counted as an end; and the share of slow ones."""
    excess = values - level
    deviation = _SD_OF_MAD * float(np.median(np.abs(excess)))
    slow: Mask = excess > np.maximum(_SLOW_SD * deviation, _SLOW_LEAST * level)
    padded = np.concatenate(([False], slow, [False]))
    run = slow | (padded[:-2] & padded[2:])
    edges = np.flatnonzero(np.diff(np.concatenate(([0], run.astype(np.int8), [0]))))
    bursts = [
        {
            "iteration": int(at[start]),
            "length": int(end - start),
            "iter_ms": round(float(np.median(values[start:end])), 6),
        }
        for start, end in edges.reshape(-1, 2)
    ]
    return bursts, float(slow.mean())
