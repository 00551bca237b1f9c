"""What the operations of a step tell of it: rows of the model, sequences that sampled, graphs; and so its kind.

A decode step runs one row of the model for each sequence that it samples, a prefill many. The kernels of norms have a
block for each row, those that sample one for each sequence. In a graph rows are padded to the size that was captured,
at most to double.
"""

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.anchors import SAMPLERS
from analysis.extract import Activity
from analysis.intervals import Ints, Mask
from analysis.step_marks import UNKNOWN

_NORM = re.compile(r"norm", re.IGNORECASE)
_ROWS = re.compile(r"reshape_and_cache|rotary", re.IGNORECASE)
_NOT_ROWS = re.compile(r"all_?reduce|group_?norm|batch_?norm", re.IGNORECASE)
_PADDED_MOST = 2
_MANY = 2**62


def of_steps(activity: Activity, lead: int, bounds: Ints) -> pd.DataFrame:
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
    return np.where(lowest == _MANY, UNKNOWN, lowest)


def _sampled(step: Ints, blocks: Ints, samples: Mask, tokens: Ints) -> Ints:
    """The most blocks of what samples in each step, not counting what has more than one for a row; -1 unknown."""
    most = np.where(tokens < 0, _MANY, tokens)
    wanted = samples & (blocks <= most[step])
    sequences = np.full(len(tokens), UNKNOWN, np.int64)
    np.maximum.at(sequences, step[wanted], blocks[wanted])
    return sequences


def _graph_launches(activity: Activity, step: Ints, called: Ints, steps: int) -> Ints:
    """Graph launches of each step: a launch counts where the first of its operations ends."""
    graph = (activity.calls["kind"] == "graph").to_numpy(bool)
    wanted = called >= 0
    wanted[wanted] = graph[called[wanted]]
    first = np.unique(called[wanted], return_index=True)[1]
    return np.bincount(step[wanted][first], minlength=steps)


def kinds(rows: pd.DataFrame) -> "npt.NDArray[np.object_]":
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
