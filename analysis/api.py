"""CUDA's API functions, what each of them does, and the calls of a trace in order, thread by thread.

Functions that only ask start nothing and are most rows of an eager trace. Their calls are not kept one by one: each
call that is kept says how long its thread asked before it.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis import joins, plausible, tables
from analysis.intervals import Ints, Mask
from analysis.threads import side_by_side

QUERIES = frozenset(
    {
        "cuKernelGetName",
        "cuKernelGetAttribute",
        "cuTensorMapEncodeTiled",
        "cudaStreamIsCapturing",
        "cudaStreamGetCaptureInfo",
        "cudaThreadExchangeStreamCaptureMode",
        "cudaGetDriverEntryPoint",
        "cudaGetDriverEntryPointByVersion",
        "cudaGetFuncBySymbol",
    }
)
"""Functions that only ask."""
ASKED = "askedBefore"
"""The column of a recording, which leaves such calls out, that says how long was asked before each call."""
# What is made of so many rows stays in the processor's cache.
_PIECE_ROWS = 1 << 18
_VERSION = re.compile(r"_v\d+$|_ptsz$|_ptds$")
_KINDS = (
    ("graph", re.compile(r"GraphLaunch")),
    ("launch", re.compile(r"Launch(Kernel|Cooperative|Grid)|^cuLaunch|^cudaLaunch")),
    ("copy", re.compile(r"Memcpy")),
    ("set", re.compile(r"Memset")),
    ("wait", re.compile(r"(Device|Stream|Event|Ctx)Synchronize")),
)


class Called(NamedTuple):
    """The calls thread by thread in order of start; of each thread its process, and how many they are."""

    columns: dict[str, Any]
    pids: Ints
    counts: Ints

    def of_process(self, values: Ints) -> Ints:
        """What is known of each thread's process, for each call."""
        return np.repeat(values, self.counts)


def name(recorded: str) -> str:
    """The API function without the version suffix that nsys shows: cudaLaunchKernel_v7000 is cudaLaunchKernel."""
    return _VERSION.sub("", recorded)


def called(values: dict[str, Ints], strings: Mapping[int, str]) -> Called:
    """The calls of rows with start, end, globalTid, correlationId, nameId and perhaps ASKED, taken from `values`."""
    plausible.expect_times("CUDA calls", values["start"], values["end"])
    thread, thread_ids = _numbered(values.pop("globalTid"))
    values["function"], name_ids = _numbered(values.pop("nameId"))
    plausible.expect_names(name_ids, strings)
    functions = [name(strings[int(number)]) for number in name_ids]
    asks = np.isin(functions, list(QUERIES))
    counts = _counts(thread, ~asks, values["function"], len(thread_ids))
    order, bounds = joins.in_order(thread, values["start"], values["end"], longest_first=True)
    del thread
    kept = _kept(values, asks, order, bounds, counts)
    function = kept.pop("function")
    names = sorted(set(functions) - QUERIES)
    columns = {
        "thread": np.repeat(thread_ids, counts),
        "kind": _categories([_kind(each) for each in functions], tables.CALL_KINDS, function),
        "name": _categories(functions, names, function),
        **kept,
    }
    return Called(columns, thread_ids & ~np.int64(0xFFFFFF), counts)


def asked_before(values: Mapping[str, Ints], asks: Mask) -> Ints:
    """How long was asked before each row, in rows that `asks` holds of, since the last one that it does not hold of.

    The rows have start, end and globalTid, and lie in any order.
    """
    thread, _ = _numbered(values["globalTid"])
    order, bounds = joins.in_order(thread, values["start"], values["end"], longest_first=True)
    found = np.zeros(len(order), np.int64)
    for rows in (order[begin:end] for begin, end in pairwise(bounds.tolist())):
        at = np.flatnonzero(~asks[rows])
        start_ns, end_ns = values["start"][rows], values["end"][rows]
        found[rows[at]] = _asked_ns(start_ns, end_ns, asks[rows] & _outermost(start_ns, end_ns), at)
    return found


def _numbered(values: Ints) -> tuple[Any, Ints]:
    """The number of each value, from 0 in ascending order, and the values. Few: a number takes two bytes."""
    pieces = side_by_side(_numbered_piece, _pieces(values))
    distinct = np.unique(np.concatenate([seen for _, seen in pieces]))
    kind = np.int16 if len(distinct) < 1 << 15 else np.int64
    number = side_by_side(lambda piece: np.searchsorted(distinct, piece[1]).astype(kind)[piece[0]], pieces)
    return np.concatenate(number), distinct


def _numbered_piece(values: Ints) -> tuple[Any, Ints]:
    """The number of each value in order of first appearance, and the values."""
    code, distinct = pd.factorize(values)
    return code.astype(np.int16 if len(distinct) < 1 << 15 else np.int64), distinct


def _pieces(values: Any) -> list[Any]:
    """The values in pieces, in order."""
    return np.array_split(values, 1 + len(values) // _PIECE_ROWS)


def _counts(thread: Ints, wanted: Mask, function: Ints, threads: int) -> Ints:
    """How many rows of wanted functions each thread has."""
    pieces = zip(_pieces(thread), _pieces(function), strict=True)
    counts = side_by_side(lambda piece: np.bincount(piece[0][wanted[piece[1]]], minlength=threads), pieces)
    return np.asarray(np.sum(counts, axis=0))


def _kept(values: dict[str, Ints], asks: Mask, order: Ints, bounds: Ints, counts: Ints) -> dict[str, Any]:
    """What is known of the calls of functions that do not only ask, so many of each thread, in the order of all."""
    rows, until = int(counts.sum()), np.cumsum(counts)
    kinds = {
        "start_ns": np.int64,
        "end_ns": np.int64,
        "asking_ns": np.int64,
        "correlation": values["correlationId"].dtype,
    }
    kinds |= {"function": values["function"].dtype, "outermost": np.bool_}
    columns = {name: np.empty(rows, kind) for name, kind in kinds.items()}

    def keep(thread: int) -> None:
        # Thread by thread: what one takes fits into the processor's cache.
        found = _of_thread(values, asks, order[bounds[thread] : bounds[thread + 1]])
        for name, column in found.items():
            columns[name][until[thread] - counts[thread] : until[thread]] = column

    side_by_side(keep, range(len(counts)))
    return columns


def _of_thread(values: dict[str, Ints], asks: Mask, rows: Ints) -> dict[str, Any]:
    """What is known of those of a thread's calls that do not only ask; `rows` are all of them in order."""
    start_ns, end_ns, function = (values[name][rows] for name in ("start", "end", "function"))
    outermost, asking = _outermost(start_ns, end_ns), asks[function]
    at = np.flatnonzero(~asking)
    asked_ns = _asked_ns(start_ns, end_ns, asking & outermost, at)
    return {
        "start_ns": start_ns[at],
        "end_ns": end_ns[at],
        "asking_ns": asked_ns + values[ASKED][rows[at]] if ASKED in values else asked_ns,
        "correlation": values["correlationId"][rows[at]],
        "function": function[at],
        "outermost": outermost[at],
    }


def _outermost(start_ns: Ints, end_ns: Ints) -> Mask:
    """Which calls of a thread, in order of start, begin after all earlier ones have returned."""
    found = np.ones(len(start_ns), np.bool_)
    found[1:] = start_ns[1:] >= np.maximum.accumulate(end_ns)[:-1]
    return found


def _asked_ns(start_ns: Ints, end_ns: Ints, asking: Mask, at: Ints) -> Ints:
    """The time of those rows that ask from each of the rows `at`, which do not, to the next, counted at the next."""
    return np.diff(np.cumsum(np.where(asking, end_ns - start_ns, 0))[at], prepend=0)


def _categories(values: Sequence[str], categories: Sequence[str], rows: Ints) -> Any:
    """The value that each row names by its number; rows name none that is no category."""
    number = {category: code for code, category in enumerate(categories)}
    codes = np.array([number.get(value, -1) for value in values], np.int16)
    return pd.Categorical.from_codes(codes[rows], dtype=pd.CategoricalDtype(list(categories)))


def _kind(function: str) -> str:
    return next((kind for kind, pattern in _KINDS if pattern.search(function)), "other")
