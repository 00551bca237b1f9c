"""Operations on intervals of time, in integer nanoseconds and without a loop over rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.threads import side_by_side

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
NEVER = -(2**62)
"""A time before all others, in ns, from which others can be subtracted."""


@dataclass(frozen=True, kw_only=True)
class Union:
    """Disjoint intervals in order, and the time that those before each one cover."""

    starts_ns: Ints
    ends_ns: Ints
    before_ns: Ints

    def covered_until(self, times_ns: Ints) -> Ints:
        """The covered time before each of the times."""
        at = np.searchsorted(self.starts_ns, times_ns, side="right") - 1
        inside = np.minimum(times_ns, self.ends_ns[at]) - self.starts_ns[at] + self.before_ns[at]
        return np.where(at < 0, 0, inside)


def union(starts_ns: Ints, ends_ns: Ints) -> Union:
    """Merge intervals that overlap or touch. There must be at least one."""
    if (starts_ns[1:] < starts_ns[:-1]).any():
        order = np.argsort(starts_ns, kind="stable")
        starts_ns, ends_ns = starts_ns[order], ends_ns[order]
    latest = np.maximum.accumulate(ends_ns)
    opens = np.concatenate(([True], starts_ns[1:] > latest[:-1]))
    closes = np.concatenate((opens[1:], [True]))
    starts_ns, ends_ns = starts_ns[opens], latest[closes]
    lengths = ends_ns - starts_ns
    return Union(starts_ns=starts_ns, ends_ns=ends_ns, before_ns=np.cumsum(lengths) - lengths)


def latest_end_before(groups: Ints, ends_ns: Ints) -> tuple[Ints, Mask]:
    """The latest end among all earlier rows of each row's group, and whether the row is its group's first.

    Rows must lie group by group, each in order of start. The value of a first row means nothing.
    """
    first = np.concatenate(([True], groups[1:] != groups[:-1])) if len(groups) else np.zeros(0, bool)
    latest = np.empty(len(ends_ns) + 1, np.int64)
    latest[:1] = ends_ns[:1]
    bounds = [*np.flatnonzero(first).tolist(), len(groups)]
    for begin, end in pairwise(bounds):
        np.maximum.accumulate(ends_ns[begin:end], out=latest[begin + 1 : end + 1])
    return latest[:-1], first


def busy_by_rank(operations: pd.DataFrame) -> Mapping[int, Union]:
    """When the operations of each rank ran. They have rank, start_ns and end_ns."""
    starts_ns, ends_ns = operations["start_ns"].to_numpy(np.int64), operations["end_ns"].to_numpy(np.int64)
    of = operations["rank"].to_numpy(np.int64)
    of_rank, ranks = rows_by(of), np.flatnonzero(np.bincount(of)).tolist()
    return dict(
        zip(
            ranks,
            side_by_side(lambda rank: union(starts_ns[of_rank(rank)], ends_ns[of_rank(rank)]), ranks),
            strict=True,
        )
    )


def covered_ns(busy: Mapping[int, Union], windows: pd.DataFrame) -> Ints:
    """How much of each window, with rank, start_ns and end_ns, its rank was busy."""
    covered = np.zeros(len(windows), np.int64)
    opens_ns, closes_ns = windows["start_ns"].to_numpy(np.int64), windows["end_ns"].to_numpy(np.int64)
    in_rank = rows_by(windows["rank"].to_numpy(np.int64))
    for rank in np.unique(windows["rank"]).tolist():
        at = in_rank(rank)
        covered[at] = busy[rank].covered_until(closes_ns[at]) - busy[rank].covered_until(opens_ns[at])
    return covered


def rows_by(groups: Ints) -> Callable[[int], Ints | slice]:
    """What picks the rows of a group; of rows in order of group it is a slice, which copies nothing."""
    if (groups[1:] >= groups[:-1]).all():
        return lambda group: slice(*np.searchsorted(groups, (group, group + 1)).tolist())
    return lambda group: np.flatnonzero(groups == group)
