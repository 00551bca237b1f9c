"""What changed between two studies, layouts and loads taken together: with few starts each, only that can be told.

Starts of different layouts are different starts, so that a change which all of them show is beyond noise much sooner
than in any one of them; batches and load points of one start are not, and count once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis import changes
from analysis.changes import HALVES
from analysis.figures import layout_title
from analysis.served import FIGURES
from analysis.stats import common_ratio

KEYS = ["engine", "model", "compile", "settings", "graphs", "quantity"]
COLUMNS = (
    *KEYS, "layouts", "loads_count", "first_starts_count", "second_starts_count",
    "change_ratio", "change_low_ratio", "change_high_ratio", "coverage_ratio", "verdict",
)  # fmt: skip
_LOAD = ["batch", "rate", "concurrency"]
_QUANTITIES = ("tpot_ms", "gain_ratio", *FIGURES, "tpot_ratio")
_HALVES = ("off", "on", HALVES)

Floats = npt.NDArray[np.float64]


def find(first: str, second: str, windows: pd.DataFrame, points: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Compare two studies by their names, a row for each engine, model, switch and quantity of both. Returns COLUMNS.

    Of each start the geometric mean over the loads that both studies measured in its layout; of those the ratio that
    is common to all layouts, by stats.common_ratio. verdict as in changes.find, which takes the same tables.
    """
    void = changes.contradicted(pairs)
    samples = changes.samples(windows, points)
    keys = samples[changes.CONFIGURATION].itertuples(index=False, name=None)
    rows = []
    for key, group in samples[[key not in void for key in keys]].groupby(KEYS):
        if layouts := dict(_layouts(group, first, second)):
            rows.append(dict(zip(KEYS, key, strict=True)) | _row(layouts))
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    ranks = {"quantity": _QUANTITIES.index, "graphs": _HALVES.index}
    return found.sort_values(
        [*KEYS[:4], "quantity", "graphs"], ignore_index=True,
        key=lambda column: column.map(ranks[str(column.name)]) if column.name in ranks else column,
    )  # fmt: skip


def _layouts(group: pd.DataFrame, first: str, second: str) -> Iterator[tuple[str, tuple[Floats, Floats, int]]]:
    """By layout: a value for each start of the second and of the first study, over as many loads."""
    for (tp, split), found in group.groupby(["tp", "split"]):
        sides = [found[found["study"] == name] for name in (first, second)]
        loads = sides[0][_LOAD].drop_duplicates().merge(sides[1][_LOAD].drop_duplicates(), on=_LOAD)
        before, after = (_per_start(side.merge(loads, on=_LOAD), len(loads)) for side in sides)
        if len(before) and len(after):
            yield layout_title(tp, split), (after, before, len(loads))


def _per_start(side: pd.DataFrame, loads_count: int) -> Floats:
    """The geometric mean over the loads of each start that has them all."""
    logs = side.assign(log=np.log(side["value"].to_numpy(np.float64)))
    starts = logs.groupby(["case", "repeat"])["log"].agg(["mean", "size"])
    means: Floats = np.exp(starts.loc[starts["size"] == loads_count, "mean"].to_numpy(np.float64))
    return means


def _row(layouts: dict[str, tuple[Floats, Floats, int]]) -> dict[str, object]:
    ratio, low, high, coverage = common_ratio([(after, before) for after, before, _ in layouts.values()])
    return {
        "layouts": ", ".join(layouts),
        "loads_count": max(loads for _, _, loads in layouts.values()),
        "first_starts_count": sum(len(before) for _, before, _ in layouts.values()),
        "second_starts_count": sum(len(after) for after, _, _ in layouts.values()),
        "change_ratio": ratio,
        "change_low_ratio": low,
        "change_high_ratio": high,
        "coverage_ratio": coverage,
        "verdict": changes.judged(low, high, coverage),
    }
