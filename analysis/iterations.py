"""What one decode iteration is, found from what the GPUs ran; no engine, NVTX range or API call is relied on.

On its busiest stream a decoding rank runs the same operations again and again. The smallest stretch that returns as a
whole is one iteration; an operation that occurs once in it, the anchor, marks where it ends. Where the batch changes
or prefill comes between, nothing returns so regularly: cuts.py finds the steps in either case. What each step was is
told in steps.py; the iterations are those that decode, of one batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis import cuts, grouped, periods, steps, tables
from analysis.cuts import DROPPED_FIRST, DROPPED_LAST, WHY_DROPPED, Cut
from analysis.errors import TraceError
from analysis.extract import Activity
from analysis.intervals import Ints, Mask, Union, busy_by_rank, rows_by
from analysis.periods import RECORD_MORE
from analysis.threads import side_by_side

_WORDS = {
    "prefill": "prefill",
    "mixed": "of prefill and decode at once",
    "other": "of a kind that cannot be told",
    steps.BATCH: "of another batch size",
    steps.GRAPHS: "with another number of graph launches",
    steps.AFTER: "right after prefill",
    steps.UNUSUAL: "that ran other operations than the rest",
}
# The share of a decode step's operations that may differ from the others': a growing context changes the grids of
# attention (7 % of the operations), another number of requests those of all but the matrix products (over 30 %).
_UNUSUAL = 0.2
# An open end of the capture is a step where it holds that share of one's operations; else the rest of another.
_STEP_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Trace:
    """An activity whose decode iterations are known.

    `operations` has one more column than the activity's, `iteration`: -1 outside the steady iterations. An operation
    belongs to the iteration in which it ends.
    """

    activity: Activity
    ranks: pd.DataFrame
    operations: pd.DataFrame
    iterations: pd.DataFrame
    steps: pd.DataFrame
    """All steps of the capture, in the columns of steps.STEPS."""
    anchor: str
    period_operations: int
    match_ratio: float
    dropped: int
    why_dropped: str
    open_ends: tuple[str, ...] = ()
    """The kinds of steps before the first anchor and after the last, of which a side is open."""

    @cached_property
    def window(self) -> Ints:
        """Which row of `iterations` each operation belongs to, -1 for none."""
        return grouped.among(self.operations, self.iterations)

    @cached_property
    def busy(self) -> Mapping[int, Union]:
        """When each rank ran anything."""
        return busy_by_rank(self.operations)

    def per_iteration(self, values: "pd.Series[Any]", name: str, *, absent: float = 0) -> pd.DataFrame:
        """A column of values indexed by (rank, iteration), one row for every steady iteration of every rank."""
        wanted = pd.MultiIndex.from_frame(self.iterations[["rank", "iteration"]])
        return values.reindex(wanted, fill_value=absent).rename(name).reset_index()

    def launches(self) -> pd.DataFrame:
        """The API calls that started operations, each once, with the iteration of the first operation they started.

        Not the iteration of the call's own time: the host may run iterations ahead. Returns rank, iteration, call.
        """
        launched = self.operations.loc[self.operations["call"] >= 0, ["rank", "iteration", "call"]]
        return launched.drop_duplicates(["rank", "call"]).reset_index(drop=True)


def find(activity: Activity) -> Trace:
    """Cut the activity into steps, the same on all ranks, and keep the steady decode iterations of one batch.

    Raises TraceError where no steps are found, or none of them is known to be such an iteration.
    """
    try:
        return _find(activity)
    except TraceError as error:
        if activity.graph_tracing != "unseen":
            raise
        raise TraceError(
            f"{activity.path}: no decode iterations in what was recorded: graphs were launched, but nothing that they "
            "ran is there; expected every node of every launch; record it with: nsys profile --cuda-graph-trace=node"
        ) from error


def _find(activity: Activity) -> Trace:
    operations = activity.operations
    lead = int(activity.ranks["operations"].to_numpy().argmax())
    cut = cuts.find(activity, lead)
    kinds, open_ends = steps.classify(activity, lead, cut.bounds[lead], _STEP_SHARE * cut.period_operations)
    number = _step_of(operations, cut.bounds)
    kept, why = _steady(operations, number, kinds, activity)
    found = _iterations(cut.bounds, kept)
    row = activity.signatures.iloc[_most_often(operations, lead, cut, kept)]
    return Trace(
        activity=activity,
        ranks=activity.ranks,
        operations=operations.assign(iteration=np.where(np.append(kept, False)[number - 1], number, -1)),
        iterations=tables.conform(found, tables.ITERATIONS, "iterations"),
        steps=tables.conform(_with_unseen(kinds, activity).assign(kept=kept, why=why), steps.STEPS, "steps"),
        anchor=f"{row['name']} {row['grid']} {row['block']}".strip(),
        period_operations=cut.period_operations,
        match_ratio=cut.match_ratio,
        dropped=len(kept) - int(kept.sum()),
        why_dropped=_why_dropped(why),
        open_ends=open_ends,
    )


def _with_unseen(kinds: pd.DataFrame, activity: Activity) -> pd.DataFrame:
    """The steps; how many graphs each launched is not known where nothing that graphs ran was recorded."""
    unseen = np.full(len(kinds), activity.graph_tracing == "unseen")
    return kinds.assign(graph_launches=kinds["graph_launches"].astype("Int64").mask(unseen))


def _most_often(operations: pd.DataFrame, lead: int, cut: Cut, kept: Mask) -> int:
    """The signature of the anchor at the end of most kept iterations."""
    if len(cut.signatures) == 1:
        return int(cut.signatures[0])
    mine = operations[(operations["rank"] == lead) & operations["signature"].isin(cut.signatures)]
    closes = mine[mine["end_ns"].isin(cut.bounds[lead][1:][kept])]
    return int(closes["signature"].mode().iloc[0])


def _steady(
    operations: pd.DataFrame, number: Ints, kinds: pd.DataFrame, activity: Activity
) -> tuple[Mask, "npt.NDArray[np.object_]"]:
    """Which intervals between bounds are kept, and of each other one the key of steps.REASONS."""
    why = steps.alike(kinds, first=DROPPED_FIRST, last=DROPPED_LAST)
    kept = why == ""
    if not kept.any():
        raise TraceError(_nothing_kept(kinds, why, activity))
    like = kept.copy()
    of_rank = rows_by(operations["rank"].to_numpy(np.int64))
    for rank in activity.ranks["rank"]:
        step, signature = number[of_rank(rank)], operations["signature"].to_numpy(np.int64)[of_rank(rank)]
        counts = periods.tally(step[step > 0] - 1, signature[step > 0], len(kept))
        usual = np.median(counts[kept], axis=0)
        unusual = np.abs(counts - usual).sum(axis=1) / (counts + usual).sum(axis=1)
        like &= unusual <= _UNUSUAL
    why[kept & ~like] = steps.UNUSUAL
    if not like.any():
        raise TraceError(_nothing_kept(kinds, why, activity))
    return like, why


def _nothing_kept(kinds: pd.DataFrame, why: "npt.NDArray[np.object_]", activity: Activity) -> str:
    """What the capture holds in place of steady decode iterations, and what to record."""
    if (kinds["kind"] == "other").all():
        return (
            f"{activity.path}: no steady decode iterations: what returns, {len(kinds)} times, may be a step or a part "
            f"of one, such as a layer; kernels for norms and for sampling would tell; {RECORD_MORE}, after the prefill"
        )
    seen = ", ".join(f"{n} {kind}" for kind in steps.KINDS if (n := int((kinds["kind"] == kind).sum())))
    what = f"{activity.path}: no steady decode iterations: of {len(kinds)} steps ({seen}) none is kept"
    if not (kinds["kind"] == "decode").any():
        return f"{what}, none decodes only; {RECORD_MORE}, after the prefill"
    return f"{what} ({_why_dropped(why)}); {RECORD_MORE}"


def _why_dropped(why: "npt.NDArray[np.object_]") -> str:
    """The reasons in words; those that hold within the capture with how many steps each dropped there."""
    inner = why[DROPPED_FIRST:-DROPPED_LAST]
    found = {reason: int((inner == reason).sum()) for reason in steps.REASONS}
    odd = [f"{n} {_WORDS[reason]}" for reason, n in found.items() if n and reason in _WORDS]
    return ", ".join([WHY_DROPPED, *odd])


def _step_of(operations: pd.DataFrame, bounds: Ints) -> Ints:
    """The number, from 1, of the step in which each operation ends; 0 before the first bound and after the last."""
    of_rank, ends = rows_by(operations["rank"].to_numpy(np.int64)), operations["end_ns"].to_numpy(np.int64)
    number = np.zeros(len(operations), np.int64)

    def find(rank: int) -> None:
        mine = np.searchsorted(bounds[rank], ends[of_rank(rank)], side="left")
        mine[mine == bounds.shape[1]] = 0
        number[of_rank(rank)] = mine

    side_by_side(find, range(len(bounds)))
    return number


def _iterations(bounds: Ints, kept: Mask) -> pd.DataFrame:
    rank, at = np.nonzero(np.broadcast_to(kept, (len(bounds), len(kept))))
    return pd.DataFrame(
        {"rank": rank, "iteration": at + 1, "start_ns": bounds[rank, at], "end_ns": bounds[rank, at + 1]}
    )
