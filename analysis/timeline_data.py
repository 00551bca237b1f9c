"""What the interactive timeline shows of a trace, small enough to stand in a page many times: columns of integers.

Times are in ns from the begin of the first iteration shown; names are numbers into a table; starts are differences
from the start before; classes and causes are places in CLASSES, CALL_CLASSES and tables.CAUSES.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import drawn, host_calls, names, spans, tables
from analysis.drawn import Drawn
from analysis.errors import TraceError
from analysis.frames import Frames
from analysis.intervals import Ints
from analysis.spans import Timeline
from analysis.timeline_pack import packed

OFF_ITERATIONS = 2
OFF_OPERATIONS = 2_000
"""Of graphs off: of iterations that are longer, one alone is shown, so that pages have room for many GPUs."""
MOST_OPERATIONS = 12_000
"""Of graphs on, for the same reason."""
CLASSES = ("gemm", "attention", "collective", "copy", "graph", "other")
CALL_CLASSES = ("launch", "wait", "other")
_CLASS_OF_GROUP = {
    "GEMM": "gemm", "attention": "attention", "collective": "collective", "copy": "copy", "whole graph": "graph",
}  # fmt: skip
_NONE = -1

Columns = dict[str, list[int]]


def pair(off: Path, on: Path) -> str | None:
    """Two traces as a page holds them, packed: one or two iterations of `off`, and of `on` as many as run in that time.

    None where a trace cannot be read.
    """
    try:
        without, graphed = drawn.read(off), drawn.read(on)
    except TraceError:
        return None
    most = max(1, min(OFF_ITERATIONS, int(OFF_OPERATIONS / _operations_count(without))))
    return packed({"off": half(without, most), "on": half(graphed, _as_many(without, graphed, most))})


def _as_many(off: Drawn, on: Drawn, off_iterations: int) -> int:
    """How many iterations of `on` run in the time of so many of `off`, within what a page can hold."""
    times_ns = [float((half.iterations["end_ns"] - half.iterations["start_ns"]).median()) for half in (off, on)]
    return max(1, min(round(off_iterations * times_ns[0] / times_ns[1]), int(MOST_OPERATIONS / _operations_count(on))))


def _operations_count(read: Drawn) -> float:
    """Operations of an iteration, on all GPUs."""
    return float((read.operations["iteration"] >= 0).sum() / read.iterations["iteration"].nunique())


def half(read: Frames | Drawn, most: int) -> dict[str, Any]:
    """The first `most` steady iterations of a trace, as timeline.js reads them.

    rows: [what, process, number] of each row, threads above streams, processes in order. names: [short, full] by
    number. operations and calls: equally long lists by column, by row and start. iterations: [process, iteration,
    start, end]. iteration_ns: the median of the whole trace.
    """
    timeline = spans.find(read, most)
    shown, rows = _on_rows(timeline)
    iterations = timeline.spans[timeline.spans["kind"] == "iterations"]
    first_ns = int(iterations["start_ns"].min())
    shown = shown.assign(start_ns=shown["start_ns"] - first_ns, end_ns=shown["end_ns"] - first_ns)
    operations, calls = (shown[shown["kind"] == kind] for kind in ("stream", "thread"))
    code, words = pd.factorize(pd.concat([operations["name"], calls["name"]]).astype(object))
    place = pd.Series(np.arange(len(calls)), calls["of_call"].astype("int64"))
    return {
        "rows": rows,
        "names": [[names.short(word), word] for word in words],
        "operations": _operations(operations, code[: len(operations)], place),
        "calls": _calls(read, calls, code[len(operations) :]),
        "iterations": (iterations[["process", "iteration", "start_ns", "end_ns"]] - [0, 0, first_ns, first_ns])
        .to_numpy(np.int64)
        .tolist(),
        "iteration_ns": int((read.iterations["end_ns"] - read.iterations["start_ns"]).median()),
    }


def _on_rows(timeline: Timeline) -> tuple[pd.DataFrame, list[list[Any]]]:
    """The operations, and the calls of threads that launched some, by row and start; and what each row is."""
    found = timeline.spans
    tracks = [found["kind"], found["process"], found["key"]]
    launching = (found["kind"] == "thread") & found["call"].notna().groupby(tracks).transform("any")
    shown = found[launching | ((found["kind"] == "stream") & (found["category"] != "waiting"))]
    order = {process: place for place, process in enumerate(timeline.processes["process"])}
    keys = ["place", "below", "key"]
    shown = shown.assign(place=shown["process"].map(order), below=(shown["kind"] == "stream").astype(int))
    shown = shown.sort_values([*keys, "start_ns", "end_ns"], ascending=[True] * 4 + [False], kind="stable")
    described = shown.drop_duplicates(keys)
    rows = [
        ["gpu" if kind == "stream" else "host", int(process), int(key) & 0xFFFFFF if kind == "thread" else int(key)]
        for kind, process, key in described[["kind", "process", "key"]].itertuples(index=False)
    ]
    return shown.assign(row=shown.groupby(keys, sort=False).ngroup()), rows


def _operations(found: pd.DataFrame, code: Ints, place_of_call: pd.Series[int]) -> Columns:
    """gap is how long the GPU had run nothing, below 0 how early it began; call a place in the calls; -1: unknown."""
    groups = found["group"].astype(object).map(_CLASS_OF_GROUP).fillna("other")
    classes = groups.where(~found["category"].isin(["copy", "set"]), "copy")
    gap_ns = found["gap_ns"].fillna(0) - found["overlap_ns"].fillna(0)
    launched_by = found["of_call"].astype("float64").map(place_of_call.to_dict())
    return {
        **_spans(found, code),
        "class": _codes(classes, CLASSES),
        "gap": _whole(gap_ns),
        "cause": _codes(found["cause"].astype(object), tables.CAUSES),
        "wait": _whole(found["wait_ns"].fillna(0)),
        "call": _whole(launched_by.fillna(_NONE)),
        "iteration": _whole(found["iteration"].fillna(_NONE)),
    }


def _calls(read: Frames | Drawn, found: pd.DataFrame, code: Ints) -> Columns:
    kinds = read.calls["kind"].astype(object).iloc[found["of_call"].astype("int64")].to_numpy()
    blocks = (kinds == "wait") | ((kinds == "copy") & ~found["name"].str.contains("Async").to_numpy(bool))
    launches = np.isin(kinds, host_calls.LAUNCHES)
    classes = np.select([blocks, launches], ["wait", "launch"], "other")
    return {**_spans(found, code), "class": _codes(pd.Series(classes), CALL_CLASSES)}


def _spans(found: pd.DataFrame, code: Ints) -> Columns:
    starts_ns = found["start_ns"].to_numpy(np.int64)
    return {
        "row": _whole(found["row"]),
        "start": np.diff(starts_ns, prepend=0).tolist(),
        "duration": _whole(found["end_ns"] - found["start_ns"]),
        "name": code.tolist(),
    }


def _codes(values: pd.Series[Any], words: Sequence[Hashable]) -> list[int]:
    """The place of each value among the words, -1 for none."""
    return _whole(values.map({word: place for place, word in enumerate(words)}).astype("float64").fillna(_NONE))


def _whole(values: pd.Series[Any]) -> list[int]:
    return [int(number) for number in values.to_numpy(np.int64)]
