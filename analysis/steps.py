"""What each step of a capture was: decode, prefill, both at once, or none that can be told; and how many sequences.

An engine that marks its steps is believed (step_marks.py). Otherwise the operations tell (step_rows.py). What cannot be
told is `other`, and is not kept.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis import step_marks, step_rows
from analysis.extract import Activity
from analysis.intervals import Ints
from analysis.step_marks import UNKNOWN
from analysis.tables import Column, one_of

if TYPE_CHECKING:
    from analysis.iterations import Trace

KINDS = ("decode", "prefill", "mixed", "other")
START, END, AFTER = "profiler start", "end of capture", "after prefill"
GRAPHS, BATCH, UNUSUAL = "graph use", "batch size", "unusual operations"
REASONS: Mapping[str, str] = {
    START: "first of the capture, slowed by the profiler's start",
    END: "last of the capture: the first rank to stop ends it for all",
    "prefill": "prefill",
    "mixed": "prefill and decode at once",
    "other": "of a kind that cannot be told",
    GRAPHS: "launched another number of graphs than most",
    BATCH: "decoded another number of sequences than most",
    # With graphs it took 1.4 to 2.1 times as long on served traces, the one after that 0.99 to 1.01 times.
    AFTER: "first after a prefill: the host had not run ahead",
    UNUSUAL: "ran other operations than the rest",
}
STEPS = (
    Column(name="step", dtype="int64", meaning="number in the capture; that of the iteration where it is kept"),
    Column(name="kind", dtype="category", meaning=one_of(KINDS)),
    Column(name="sequences", dtype="Int64", meaning="rows sampled; NA where not known"),
    Column(name="tokens", dtype="Int64", meaning="rows of the model's forward, in a graph padded; NA where not known"),
    Column(
        name="graph_launches",
        dtype="Int64",
        meaning="graphs launched in it by the lead rank: 0 is an eager step; NA where graphs are unseen",
    ),
    Column(name="kept", dtype="bool", meaning="whether it is one of the steady iterations"),
    Column(name="why", dtype="str", meaning=f"why it is not kept, {one_of(REASONS)}; empty where it is"),
)


def classify(
    activity: Activity, lead: int, bounds: Ints, least_operations: float
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Kind, sequences, tokens and graph_launches of each step, by the marks of the engine or by the operations.

    `bounds` is when the lead rank's anchors end; step k lies between k-1 and k. The column `marked` says whether it
    is by mark; `seen`, what the operations alone say. Beside it the kinds of the open ends: what the capture holds
    before the first bound and after the last, each where it is `least_operations` or more.
    """
    ends_ns = activity.operations.loc[activity.operations["rank"] == lead, "end_ns"]
    outer = np.array([ends_ns.min() - 1, *bounds, max(ends_ns.max(), bounds[-1] + 1)], np.int64)
    rows, marks = step_rows.of_steps(activity, lead, outer), step_marks.of_steps(activity, lead, outer)
    found = _classified(rows[1:-1].reset_index(drop=True), marks[1:-1].reset_index(drop=True))
    sequences = rows["sequences"].to_numpy(np.int64, copy=True)
    # What samples may lie beyond the anchor, or beyond the end of the capture.
    for at, beside in ((0, 1), (-1, -2)):
        sequences[at] = sequences[beside] if sequences[at] == UNKNOWN else sequences[at]
    rows = rows.assign(sequences=sequences)
    ends = _classified(rows, marks)[(rows["operations"] >= least_operations).to_numpy(bool)]
    ends = ends[ends["step"].isin((1, len(rows)))]
    if found["marked"].any():
        ends = ends[ends["marked"]]
    return found, tuple(str(kind) for kind in ends["kind"])


def _classified(rows: pd.DataFrame, marks: pd.DataFrame) -> pd.DataFrame:
    seen = step_rows.kinds(rows)
    marked = marks["kind"].notna().to_numpy(bool)
    return pd.DataFrame(
        {
            "step": np.arange(1, len(rows) + 1),
            "kind": pd.Categorical(np.where(marked, marks["kind"], seen), categories=KINDS),
            "sequences": _known(np.where(marked, marks["sequences"], rows["sequences"])),
            "tokens": _known(np.where(marked, marks["tokens"], rows["tokens"])),
            "graph_launches": rows["graph_launches"],
            "marked": marked,
            "seen": pd.Categorical(seen, categories=KINDS),
        }
    )


def alike(found: pd.DataFrame, *, first: int, last: int) -> "npt.NDArray[np.object_]":
    """Of each step the key of REASONS why it is not to be kept, "" for decode steps of the most frequent sort.

    A sort is a number of sequences and of graph launches. The first steps and the last ones are never kept.
    """
    inner = np.arange(len(found)) < len(found) - last
    inner[:first] = False
    kind = found["kind"].to_numpy(object)
    why = np.where(kind == "decode", "", kind)
    batch = found["sequences"].fillna(found["tokens"]).fillna(UNKNOWN).to_numpy(np.int64)
    graphs = found["graph_launches"].to_numpy(np.int64)
    sorts, times = np.unique(np.stack([batch, graphs])[:, inner & (why == "")], axis=1, return_counts=True)
    if len(times):
        usual_batch, usual_graphs = sorts[:, times.argmax()]
        why[(why == "") & inner & (batch != usual_batch)] = BATCH
        why[(why == "") & inner & (graphs != usual_graphs)] = GRAPHS
    after = np.concatenate(([False], kind[:-1] != "decode"))
    why[(why == "") & inner & after] = AFTER
    why[(why == "") & ~inner] = END
    why[:first][why[:first] == END] = START
    return why


def counts(trace: "Trace") -> dict[str, Any]:
    """How many steps of each kind the capture held, how many are kept, of which batch, and why the others are not.

    Those at its open ends, without an anchor before or after them, are among the kinds, neither kept nor dropped.
    """
    steps = trace.steps
    kept = steps[steps["kept"]]
    batch = kept["sequences"].dropna().unique()
    dropped = steps.loc[~steps["kept"], "why"].value_counts()
    return {
        **{kind: int((steps["kind"] == kind).sum()) + trace.open_ends.count(kind) for kind in KINDS},
        "open_ends": len(trace.open_ends),
        "kept": len(kept),
        "sequences": int(batch[0]) if len(batch) == 1 else None,
        "dropped": {reason: int(dropped[reason]) for reason in REASONS if reason in dropped.index},
    }


def other_graph_launches(trace: "Trace") -> "pd.Series[float]":
    """The graph launches of those decode steps of the batch that were dropped because most had another number."""
    return trace.steps.loc[trace.steps["why"] == GRAPHS, "graph_launches"].astype("float64")


def _known(values: Any) -> "pd.Series[Any]":
    numbers = pd.Series(np.asarray(values, np.int64))
    return numbers.astype("Int64").mask(numbers == UNKNOWN)
