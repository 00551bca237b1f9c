"""Medians and their intervals. The engine start is the unit of replication: windows of one start are no repeats."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

COVERAGE = 0.95
_RESAMPLES = 10_000


def median_interval(values: Sequence[float] | npt.NDArray[np.float64]) -> tuple[float, float]:
    """The distribution-free interval for the median: the narrowest symmetric pair of order statistics that covers 95 %.

    Below 6 values no pair reaches that and the extremes are given; they cover the median in 1 - 2^(1-n) of all cases:
    50 % at n = 2, 75 % at n = 3, 94 % at n = 5. NaN for no values.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if not len(ordered):
        return float("nan"), float("nan")
    depth = 0
    while _coverage(len(ordered), depth + 1) >= COVERAGE:
        depth += 1
    return float(ordered[depth]), float(ordered[-1 - depth])


def _coverage(count: int, depth: int) -> float:
    """How often the order statistics `depth` places in from either end enclose the median."""
    if 2 * depth >= count:
        return 0.0
    return 1 - 2 * sum(comb(count, k) for k in range(depth + 1)) / float(2**count)


def median_told(values: pd.Series[Any]) -> float:
    """The median of what is there; NaN where nothing is."""
    told = pd.to_numeric(values).dropna()
    return float(told.median()) if len(told) else float("nan")


def paired_ratio(over: pd.Series, under: pd.Series) -> tuple[float, float, float]:
    """The median of the ratios of what shares an index, with its 95 % bootstrap interval over those pairs.

    Repeats are interleaved, so the two sides of a pair met the host in the same state: what changes from repeat to
    repeat cancels. Below 6 pairs the interval is their extremes, and covers as little as median_interval says. NaN
    where nothing is shared; a single pair has no interval.
    """
    ratios = (over / under).dropna().to_numpy(dtype=float)
    if len(ratios) < 2:
        return float(ratios[0]) if len(ratios) else float("nan"), float("nan"), float("nan")
    drawn = np.random.default_rng(0).choice(ratios, (_RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(np.median(ratios)), float(low), float(high)


def unpaired_ratio(over: npt.NDArray[np.float64], under: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The ratio of the medians of two samples that share nothing, its interval, and how often that covers the truth.

    Distribution-free, from the rank-sum test: the narrowest symmetric pair of all quotients of a value of one and a
    value of the other that covers 95 %. Where too few values reach that, the extreme quotients are given; they cover
    67 % with 2 values on either side, 90 % with 3, 97 % with 4. With a single value on a side there is no interval,
    and with none no ratio: NaN.
    """
    if not len(over) or not len(under):
        return (float("nan"),) * 4
    ratio = float(np.median(over) / np.median(under))
    if min(len(over), len(under)) < 2:
        return ratio, float("nan"), float("nan"), float("nan")
    _, low, high, coverage = common_ratio([(over, under)])
    return ratio, low, high, coverage


def common_ratio(
    pairs: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
) -> tuple[float, float, float, float]:
    """The one ratio by which the first sample of every pair exceeds the second, its interval and coverage.

    Pairs are strata: only values of one pair are compared, and whatever differs from pair to pair cancels. The ratio
    is the median of all their quotients; the interval is that of unpaired_ratio, from the sum of the rank sums, which
    needs fewer values in each pair the more pairs there are. NaN for a single quotient.
    """
    whole = [pair for pair in pairs if len(pair[0]) and len(pair[1])]
    if sum(len(over) * len(under) for over, under in whole) < 2:
        return (float("nan"),) * 4
    quotients = np.sort(np.concatenate([np.divide.outer(over, under).ravel() for over, under in whole]))
    chances = np.ones(1)
    for over, under in whole:
        chances = np.convolve(chances, _rank_sums(len(over), len(under)))
    tail = np.cumsum(chances)
    depth = max(int(np.searchsorted(tail, (1 - COVERAGE) / 2, side="right")) - 1, 0)
    ratio = float(np.median(quotients))
    return ratio, float(quotients[depth]), float(quotients[-1 - depth]), float(1 - 2 * tail[depth])


def _rank_sums(first: int, second: int) -> npt.NDArray[np.float64]:
    """How often 0, 1, ... of all first x second comparisons turn out one way, where all orders are alike."""
    ways = np.zeros((first + 1, first * second + 1))
    ways[0, 0] = 1
    for beaten in range(second + 1):
        for taken in range(1, first + 1):
            # As many values of the first sample as one likes may beat the same values of the second.
            ways[taken, beaten:] += ways[taken - 1, : ways.shape[1] - beaten]
    return np.asarray(ways[first] / comb(first + second, first))


def gain(over: pd.Series[float], under: pd.Series[float]) -> float:
    """What paired_ratio gives where at least two pairs share an index, else the ratio of the medians."""
    if len(over.index.intersection(under.index)) > 1:
        return paired_ratio(over, under)[0]
    return float(over.median() / under.median())


def quantile_curve(values: pd.Series, points: int = 300) -> pd.DataFrame:
    """The distribution of values as at most `points` evenly spaced quantiles: share_ratio (0 to 1) and value."""
    shares = np.linspace(0, 1, min(points, max(len(values), 2)))
    quantiles = np.quantile(values.to_numpy(dtype=float), shares) if len(values) else np.full(len(shares), np.nan)
    return pd.DataFrame({"share_ratio": shares, "value": quantiles})
