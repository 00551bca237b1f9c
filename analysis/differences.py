"""The kernels of two traces matched by name, and how each differs between them.

`change` says how: only_off and only_on ran in one trace alone; variant is one function with other template arguments
(another tile or split), matched only where either trace has one such name more than the other, as often as the other;
count ran more or less often; time took longer or shorter each time; same did neither.
"""

from typing import Any

import numpy as np
import pandas as pd

from analysis import tables
from analysis.groups import GROUPS, family
from analysis.tables import Column, one_of

CHANGES = ("only_off", "only_on", "variant", "count", "time", "same")
_SIDES = (
    Column(name="off_per_iteration", dtype="float64", meaning="operations in an iteration of one rank, graphs off"),
    Column(name="on_per_iteration", dtype="float64", meaning="the same with graphs on"),
    Column(name="off_us", dtype="float64", meaning="useful time in an iteration, mean over ranks; NaN unknown"),
    Column(name="on_us", dtype="float64", meaning="the same with graphs on"),
    Column(name="saved_us", dtype="float64", meaning="off_us less on_us"),
)
DIFFERENCES = (
    Column(name="change", dtype="category", meaning=one_of(CHANGES)),
    Column(name="group", dtype="category", meaning=one_of(GROUPS)),
    Column(name="kind", dtype="category", meaning=one_of(tables.KINDS)),
    Column(name="off_name", dtype="str", meaning="demangled name with graphs off; empty where it did not run"),
    Column(name="on_name", dtype="str", meaning="the same with graphs on"),
    *_SIDES,
)
BY_GROUP = (Column(name="group", dtype="category", meaning=one_of(GROUPS)), *_SIDES)
# Copies that follow the growth of a request come once in many steps; a real difference is a whole operation.
_COUNT_TOLERANCE = 0.25
# What one kernel takes varies by a few percent between runs of one thing.
_TIME_TOLERANCE_RATIO, _TIME_TOLERANCE_US = 0.05, 1.0
_NUMBERS = ("per_iteration", "us_per_iteration")


def between(off: pd.DataFrame, on: pd.DataFrame) -> pd.DataFrame:
    """The kernels of two traces, as kernels.table gives them, matched by name, in the columns of DIFFERENCES."""
    keys = ["kind", "name"]
    sides = [
        frame.assign(kind=frame["kind"].astype(str), group=frame["group"].astype(str))[[*keys, "group", *_NUMBERS]]
        for frame in (off, on)
    ]
    both = sides[0].merge(sides[1], on=keys, how="outer", suffixes=("_off", "_on"))
    both = both.assign(
        off_name=both["name"].where(both["per_iteration_off"].notna(), ""),
        on_name=both["name"].where(both["per_iteration_on"].notna(), ""),
    )
    both = _with_variants(both)
    both = both.assign(group=both["group_on"].fillna(both["group_off"]))
    counts = [both[f"per_iteration_{which}"].fillna(0) for which in ("off", "on")]
    times = [
        both[f"us_per_iteration_{which}"].mask(both[f"{which}_name"] == "", 0.0).astype("float64")
        for which in ("off", "on")
    ]
    found = both.assign(
        change=_changes(both, counts, times),
        off_per_iteration=counts[0],
        on_per_iteration=counts[1],
        off_us=times[0],
        on_us=times[1],
        saved_us=times[0] - times[1],
    )
    order = np.lexsort((found["name"].to_numpy(str), -found["saved_us"].abs().fillna(0).to_numpy()))
    typed = {"change": list(CHANGES), "group": list(GROUPS), "kind": list(tables.KINDS)}
    found = found.astype({name: pd.CategoricalDtype(values) for name, values in typed.items()})
    return tables.conform(found.iloc[order], DIFFERENCES, "kernel differences")


def _with_variants(both: pd.DataFrame) -> pd.DataFrame:
    """Join rows of one trace each that are surely one kernel: the only ones left of their function, equally often."""
    alone = both[((both["off_name"] == "") | (both["on_name"] == "")) & (both["kind"] == "kernel")]
    alone = alone.assign(family=alone["name"].map(family), off=alone["on_name"] == "")
    sizes = alone.groupby("family")["off"].agg(["size", "sum"])
    alone = alone[alone["family"].isin(sizes.index[(sizes["size"] == 2) & (sizes["sum"] == 1)])]
    off, on = (alone[alone["off"] == which].set_index("family", drop=False) for which in (True, False))
    on = on.loc[off.index]
    apart = (off["per_iteration_off"] - on["per_iteration_on"]).abs()
    sure = ((apart <= _COUNT_TOLERANCE) & (off["group_off"] == on["group_on"])).to_numpy(bool)
    off, on = off[sure], on[sure]
    of_on = [name for name in both.columns if name.endswith("_on") or name == "on_name"]
    joined = off.assign(**{name: on[name].to_numpy() for name in of_on})[both.columns]
    names = [*off["name"], *on["name"]]
    rest = both[~both["name"].isin(names)]
    return pd.concat([rest, joined], ignore_index=True) if len(joined) else both


def _changes(both: pd.DataFrame, counts: "list[pd.Series[float]]", times: "list[pd.Series[float]]") -> Any:
    """How each row differs, one of CHANGES."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = [(us / count).to_numpy(np.float64) for us, count in zip(times, counts, strict=True)]
        slower = np.abs(each[0] - each[1]) > _TIME_TOLERANCE_RATIO * np.minimum(*each)
    enough = ((times[0] - times[1]).abs() > _TIME_TOLERANCE_US).to_numpy(bool)
    return np.select(
        [
            both["on_name"] == "",
            both["off_name"] == "",
            both["on_name"] != both["off_name"],
            (counts[0] - counts[1]).abs() > _COUNT_TOLERANCE,
            slower & enough,
        ],
        CHANGES[:-1],
        CHANGES[-1],
    )


def by_group(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of DIFFERENCES summed over each group."""
    numbers = [column.name for column in _SIDES]
    by_group = found.groupby("group", observed=True)[numbers]
    # One time that is not known leaves the sum unknown.
    sums = by_group.sum().where(by_group.count().eq(by_group.size(), axis=0))
    return tables.conform(sums.reset_index(), BY_GROUP, "group differences")
