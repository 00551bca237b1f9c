"""What each step of a capture was: decode, prefill, both at once, or none that can be told; and how many sequences.

An engine that marks its steps is believed (vLLM's NVTX ranges). Otherwise the operations tell: a decode step runs one
row of the model for each sequence that it samples, a prefill many. The kernels of norms have a block for each row,
those that sample one for each sequence. In a graph rows are padded to the size that was captured, at most to double.
What cannot be told is `other`, and is not kept.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.anchors import SAMPLERS
from analysis.extract import Activity
from analysis.intervals import Ints, Mask
from analysis.tables import Column, one_of

if TYPE_CHECKING:
    from analysis.iterations import Trace

Floats = npt.NDArray[np.float64]

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
_NORM = re.compile(r"norm", re.IGNORECASE)
_ROWS = re.compile(r"reshape_and_cache|rotary", re.IGNORECASE)
_NOT_ROWS = re.compile(r"all_?reduce|group_?norm|batch_?norm", re.IGNORECASE)
_VLLM_STEP = re.compile(r"^execute_context_(\d+)\((\d+)\)_generation_(\d+)\((\d+)\)$")
_PADDED_MOST = 2
_UNKNOWN = -1
_MANY = 2**62


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
    rows, marks = _rows(activity, lead, outer), _marks(activity, lead, outer)
    found = _classified(rows[1:-1].reset_index(drop=True), marks[1:-1].reset_index(drop=True))
    sequences = rows["sequences"].to_numpy(np.int64, copy=True)
    # What samples may lie beyond the anchor, or beyond the end of the capture.
    for at, beside in ((0, 1), (-1, -2)):
        sequences[at] = sequences[beside] if sequences[at] == _UNKNOWN else sequences[at]
    rows = rows.assign(sequences=sequences)
    ends = _classified(rows, marks)[(rows["operations"] >= least_operations).to_numpy(bool)]
    ends = ends[ends["step"].isin((1, len(rows)))]
    if found["marked"].any():
        ends = ends[ends["marked"]]
    return found, tuple(str(kind) for kind in ends["kind"])


def _classified(rows: pd.DataFrame, marks: pd.DataFrame) -> pd.DataFrame:
    seen = _told(rows)
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
    batch = found["sequences"].fillna(found["tokens"]).fillna(_UNKNOWN).to_numpy(np.int64)
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
    return numbers.astype("Int64").mask(numbers == _UNKNOWN)


def _rows(activity: Activity, lead: int, bounds: Ints) -> pd.DataFrame:
    """Per step: operations, tokens, sequences (-1 unknown), graph_launches, graphed (the forward is in graphs),
    hidden (and its kernels not recorded), largest (the most blocks of a kernel)."""
    operations = activity.operations[activity.operations["rank"] == lead]
    signature = operations["signature"].to_numpy(np.int64)
    step = np.searchsorted(bounds, operations["end_ns"].to_numpy(np.int64), side="left") - 1
    inside = (step >= 0) & (step < len(bounds) - 1)
    signature, step = signature[inside], step[inside]
    blocks, norm, rows, samples = _signs(activity.signatures)
    steps = len(bounds) - 1
    in_graph = (operations["graph_node"].to_numpy(np.int64)[inside] >= 0) & norm[signature]
    opaque = (activity.signatures["kind"] == "graph").to_numpy(bool)[signature]
    tokens = _lowest(step, blocks[signature], norm[signature], steps)
    tokens = np.where(tokens < 0, _lowest(step, blocks[signature], rows[signature], steps), tokens)
    called = operations["call"].to_numpy(np.int64)[inside]
    by_norm = np.bincount(step[norm[signature]], minlength=steps)
    launches = _graph_launches(activity, step, called, steps)
    hidden = (np.bincount(step[opaque], minlength=steps) > 0) & (by_norm == 0)
    return pd.DataFrame(
        {
            "operations": np.bincount(step, minlength=steps),
            "tokens": tokens,
            "sequences": _sampled(step, blocks[signature], samples[signature], tokens),
            "graph_launches": launches,
            "graphed": (np.bincount(step[in_graph], minlength=steps) * 2 > by_norm) | hidden,
            "hidden": hidden,
            "largest": np.maximum(-_lowest(step, -blocks[signature], blocks[signature] > 0, steps), 0),
        }
    )


def _signs(what: pd.DataFrame) -> tuple[Ints, Mask, Mask, Mask]:
    """Per signature: blocks along x (0 for what is no kernel), and whether it tells rows by norm, by cache, samples."""
    kernel = (what["kind"] == "kernel").to_numpy(bool)
    blocks = np.array([int(grid.partition("x")[0]) if grid else 0 for grid in what["grid"]], np.int64)
    named = [str(name) for name in what["name"]]
    norm, rows, samples = (
        np.array([bool(pattern.search(name)) for name in named]) & kernel for pattern in (_NORM, _ROWS, SAMPLERS)
    )
    plain = ~np.array([bool(_NOT_ROWS.search(name)) for name in named])
    return blocks, norm & plain, rows & plain, samples


def _lowest(step: Ints, values: Ints, wanted: Mask, steps: int) -> Ints:
    """The lowest of the wanted values in each step, -1 where there is none. Values below 0 are allowed."""
    lowest = np.full(steps, _MANY, np.int64)
    np.minimum.at(lowest, step[wanted], values[wanted])
    return np.where(lowest == _MANY, _UNKNOWN, lowest)


def _sampled(step: Ints, blocks: Ints, samples: Mask, tokens: Ints) -> Ints:
    """The most blocks of what samples in each step, not counting what has more than one for a row; -1 unknown."""
    most = np.where(tokens < 0, _MANY, tokens)
    wanted = samples & (blocks <= most[step])
    sequences = np.full(len(tokens), _UNKNOWN, np.int64)
    np.maximum.at(sequences, step[wanted], blocks[wanted])
    return sequences


def _graph_launches(activity: Activity, step: Ints, called: Ints, steps: int) -> Ints:
    """Graph launches of each step: a launch counts where the first of its operations ends."""
    graph = (activity.calls["kind"] == "graph").to_numpy(bool)
    wanted = called >= 0
    wanted[wanted] = graph[called[wanted]]
    first = np.unique(called[wanted], return_index=True)[1]
    return np.bincount(step[wanted][first], minlength=steps)


def _told(rows: pd.DataFrame) -> "npt.NDArray[np.object_]":
    """The kind of each step as its rows tell it."""
    tokens, sequences = rows["tokens"].to_numpy(np.int64), rows["sequences"].to_numpy(np.int64)
    largest = rows["largest"].to_numpy(np.int64)
    # Where no kernel has more blocks than sequences were sampled, no row can be without one.
    tokens = np.where((tokens < 0) & (largest <= np.maximum(sequences, 1)), np.maximum(sequences, 1), tokens)
    known = (tokens > 0) & ((sequences > 0) | (tokens == 1))
    sequences = np.where(sequences < 0, 1, sequences)
    padded = rows["graphed"].to_numpy(bool) & (tokens < _PADDED_MOST * sequences)
    # One graph of which nothing is seen: engines capture prefill in pieces, around attention.
    whole = (rows["hidden"] & (rows["graph_launches"] == 1) & (rows["tokens"] < 0)).to_numpy(bool)
    decode = known & ((tokens == sequences) | padded) | whole
    more = known & ~decode & (tokens > sequences)
    kind = np.select([decode, more], ["decode", "prefill"], "other").astype(object)
    if _mixes(decode, more, sequences):
        kind[more & (sequences > 1)] = "mixed"
        # What the first of the capture ran beside, nothing tells.
        kind[:1] = np.where(more[:1], "other", kind[:1])
    return kind


def _mixes(decode: Mask, more: Mask, sequences: Ints) -> bool:
    """Whether steps of many rows sample the sequences that decode, too, as most of those between decode steps show.

    One that does samples more than the decode step before, and the one after no more than it did. A prefill of its
    own samples only what it adds to the next.
    """
    alone = decode[:-2] & more[1:-1] & decode[2:]
    before, here, after = sequences[:-2], sequences[1:-1], sequences[2:]
    together = int((alone & (here > before) & (after <= here)).sum())
    return together > int((alone & (after > here)).sum())


def _marks(activity: Activity, lead: int, bounds: Ints) -> pd.DataFrame:
    """What vLLM's NVTX ranges say of each step: kind (None where nothing), sequences, tokens.

    The range of a step is the one in which most of its operations were launched: the host may be steps ahead.
    """
    steps = len(bounds) - 1
    ranges, operations = marked(activity, lead), activity.operations
    nothing = pd.DataFrame({"kind": np.full(steps, None, object), "sequences": _UNKNOWN, "tokens": _UNKNOWN})
    mine = operations[(operations["rank"] == lead) & (operations["call"] >= 0)]
    step = np.searchsorted(bounds, mine["end_ns"].to_numpy(np.int64), side="left") - 1
    at = launched_in(ranges, activity.calls["start_ns"].to_numpy(np.int64)[mine["call"]], step, steps)
    if not (at >= 0).any():
        return nothing
    found = ranges[["kind", "sequences", "tokens"]].take(np.maximum(at, 0)).reset_index(drop=True)
    return found.where(pd.Series(at >= 0), nothing)


def launched_in(ranges: pd.DataFrame, called_ns: Ints, step: Ints, steps: int) -> Ints:
    """The row of the range in which most operations of each step were called, -1 for a step with none in any."""
    of_step = np.full(steps, -1, np.int64)
    if ranges.empty:
        return of_step
    at = np.searchsorted(ranges["start_ns"].to_numpy(np.int64), called_ns, side="right") - 1
    within = (at >= 0) & (called_ns <= ranges["end_ns"].to_numpy(np.int64)[at]) & (step >= 0) & (step < steps)
    pairs, times = np.unique(step[within] * len(ranges) + at[within], return_counts=True)
    order = np.argsort(times, kind="stable")
    of_step[pairs[order] // len(ranges)] = pairs[order] % len(ranges)
    return of_step


def marked(activity: Activity, rank: int) -> pd.DataFrame:
    """A rank's ranges that mark a forward: start_ns, end_ns, kind, sequences, tokens; in order of start."""
    ranges = activity.ranges
    text, distinct = pd.factorize(ranges["text"])
    parsed = [_parsed(str(each)) for each in distinct]
    pid = activity.ranks["global_pid"].to_numpy(np.int64)[rank]
    alone = int((activity.ranks["global_pid"] == pid).sum()) == 1
    mine = np.array([each is not None for each in parsed], bool)[text] if len(text) else np.zeros(0, bool)
    mine &= ((ranges["thread"].to_numpy(np.int64) & ~np.int64(0xFFFFFF)) == pid) & alone & ranges["closed"].to_numpy()
    facts = np.array([each or ("", _UNKNOWN, _UNKNOWN) for each in parsed], dtype=object).reshape(-1, 3)[text[mine]]
    found = ranges.loc[mine, ["start_ns", "end_ns"]].assign(
        kind=facts[:, 0], sequences=facts[:, 1].astype(np.int64), tokens=facts[:, 2].astype(np.int64)
    )
    return found.sort_values("start_ns", kind="stable").reset_index(drop=True)


def _parsed(text: str) -> tuple[str, int, int] | None:
    """Kind, sequences and tokens of a step's mark, None for other ranges and for steps of nothing."""
    found = _VLLM_STEP.match(text)
    if found is None:
        return None
    contexts, context_tokens, generations, generation_tokens = map(int, found.groups())
    if contexts + generations == 0:
        return None
    kind = "decode" if contexts == 0 else "mixed" if generations else "prefill"
    return kind, contexts + generations, context_tokens + generation_tokens
