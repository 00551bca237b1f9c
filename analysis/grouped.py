"""Counts, sums and medians of groups of rows, on arrays. A group is a number from 0; rows of group -1 are of none."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.intervals import NEVER, Ints, Mask

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]


def counts(groups: Ints, count: int) -> Ints:
    """How many rows each group has."""
    return np.bincount(groups + 1, minlength=count + 1)[1:]


def sums(groups: Ints, count: int, values: "Ints | Floats | Mask") -> Floats:
    """The sum of each group's values; of integers it is exact up to 2**53."""
    return np.asarray(np.bincount(groups + 1, values, minlength=count + 1), np.float64)[1:]


def medians(groups: Ints, count: int, values: Ints) -> Floats:
    """The median of each group's values, NaN where it has none."""
    if (groups < 0).any():
        groups, values = groups[groups >= 0], values[groups >= 0]
    found = np.full(count, np.nan)
    if not len(values):
        return found
    low, high = int(values.min()), int(values.max())
    if (high - low + 1) * count < 1 << 62:
        # One number holds group and value, and sorting numbers is fast.
        span = high - low + 1
        ordered = groups * span
        ordered += values
        ordered -= low
        ordered.sort()
        ordered %= span
        ordered += low
    else:
        ordered = values[np.lexsort((values, groups))]
    rows = counts(groups, count)
    middle, some = np.cumsum(rows) - rows + rows // 2, rows > 0
    found[some] = (ordered[middle[some]] + ordered[middle[some] - (rows[some] % 2 == 0)]) / 2
    return found


def largest(groups: Ints, count: int, values: Ints) -> Floats:
    """The largest of each group's values, NaN where it has none."""
    found = np.full(count, NEVER)
    np.maximum.at(found, groups[groups >= 0], values[groups >= 0])
    return np.where(found == NEVER, np.nan, found)


def among(rows: pd.DataFrame, iterations: pd.DataFrame) -> Ints:
    """Which row of `iterations` the rank and iteration of each row name, -1 for none."""
    rank, iteration = (rows[name].to_numpy(np.int64) for name in ("rank", "iteration"))
    wanted = iterations["rank"].to_numpy(np.int64), iterations["iteration"].to_numpy(np.int64)
    ranks = 1 + max(int(rank.max(initial=0)), int(wanted[0].max(initial=0)))
    # A column more, the first, for what is in no iteration.
    width = 2 + max(int(iteration.max(initial=0)), int(wanted[1].max(initial=0)))
    numbers = np.full((ranks, width), -1, np.int64)
    numbers[wanted[0], wanted[1] + 1] = np.arange(len(iterations))
    found: Ints = numbers.ravel()[rank * width + (iteration + 1)]
    return found
