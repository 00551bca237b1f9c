"""What a timeline of a trace shows: a track for every stream and thread, and what lies on each, as tables.

Owns which iterations are shown, what of host and GPU goes with them, and how spans are laid on tracks so that each
track is a stack; the file that they become is left to perfetto_file.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.drawn import Drawn
from analysis.errors import TraceError
from analysis.frames import Frames
from analysis.intervals import Ints

WAITING = "waiting for other ranks"
# In the order of the tracks of a process, from top to bottom.
KINDS = ("iterations", "idle", "stream", "thread", "ranges")
TRACK_COLUMNS = ("process", "kind", "key", "lane")
# What is told of a span beside its name and times, where it is known.
OPERATION_FACTS = (
    "iteration", "group", "gap_ns", "cause", "launch_exposed_ns", "overlap_ns", "intrinsic_ns", "wait_ns", "grid",
    "block", "graph_node",
)  # fmt: skip
FACTS = (*OPERATION_FACTS, "nsys_start_ns", "recorded_ns")
SPAN_COLUMNS = (*TRACK_COLUMNS, "start_ns", "end_ns", "name", "category", "call", "leads", "of_call", *FACTS)
_THREAD_BITS = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Some iterations of a trace, ready to be drawn.

    processes: a row a process, in order: process (a number of its own), name, pid. spans: SPAN_COLUMNS, by track and
    start, a span before those inside it; times in ns from the first operation of the trace, or from the earliest span
    where that lies before. Of a call and of the first operation that it launched `call` is the same number, and
    `leads` says which of both it is; NA for all else. `of_call` is the row of `calls` that a call is, and that launched
    an operation, also of those that it was not the first of; NA where there is none. first_ns: what time 0 is on
    nsys's clock.
    iterations: the numbers of those shown. left_out: what is not shown, a sentence each.
    """

    name: str
    processes: pd.DataFrame
    spans: pd.DataFrame
    first_ns: int
    iterations: tuple[int, ...]
    left_out: tuple[str, ...]


def find(frames: Frames | Drawn, most: int) -> Timeline:
    """The first `most` steady iterations of a trace. Raises TraceError where `most` is below 1."""
    expect_some(most)
    all_numbers = np.sort(frames.iterations["iteration"].unique())
    numbers = all_numbers[:most]
    shown = frames.iterations[frames.iterations["iteration"].isin(numbers)]
    windows = shown.groupby("rank").agg(start_ns=("start_ns", "min"), end_ns=("end_ns", "max"))
    operations = _operations(frames, windows)
    calls = _calls(frames, operations, windows)
    spans = pd.concat([_iterations(shown), _idle(operations), operations, calls, _ranges(frames, calls, windows)])
    spans = _nested(_laid(spans.reindex(columns=list(SPAN_COLUMNS))))
    first_ns = int(min(frames.operations["start_ns"].min(), spans["start_ns"].min()))
    times = ["start_ns", "end_ns"]
    return Timeline(
        name=str(frames.summary["name"]),
        processes=_processes(frames, spans),
        spans=spans.assign(**{time: spans[time] - first_ns for time in times}),
        first_ns=first_ns,
        iterations=tuple(int(number) for number in numbers),
        left_out=_left_out(frames, len(all_numbers), numbers, operations),
    )


def expect_some(iterations: int) -> None:
    """Raise TraceError where fewer than one iteration is asked for."""
    if iterations < 1:
        raise TraceError(f"{iterations} iterations were asked for; expected 1 or more")


def _iterations(shown: pd.DataFrame) -> pd.DataFrame:
    names = "iteration " + shown["iteration"].astype(str)
    return shown.assign(
        process=shown["rank"], kind="iterations", key=0, name=names, category="iteration",
        nsys_start_ns=shown["start_ns"].astype("Int64"), iteration=shown["iteration"].astype("Int64"),
    )  # fmt: skip


def _operations(frames: Frames | Drawn, windows: pd.DataFrame) -> pd.DataFrame:
    """The operations that end in the windows of their ranks, with what is known of each."""
    rows = frames.operations
    window = windows.reindex(rows["rank"])
    ends_ns = rows["end_ns"].to_numpy()
    found = rows[(ends_ns > window["start_ns"].to_numpy()) & (ends_ns <= window["end_ns"].to_numpy())]
    found = found.merge(frames.signatures, on="signature", how="left")
    groups = frames.kernels.drop_duplicates(["kind", "name"])[["kind", "name", "group"]]
    found = found.merge(groups.astype({"kind": str}), on=["kind", "name"], how="left")
    where = ["rank", "stream", "start_ns", "end_ns", "signature"]
    waits = frames.collectives[[*where, "intrinsic_ns", "wait_ns"]].drop_duplicates(where)
    found = found.merge(waits.astype({"intrinsic_ns": "Int64", "wait_ns": "Int64"}), on=where, how="left")
    led = found["first_of_call"] & (found["call"] >= 0)
    rare = {name: found[name].where(found[name] != 0) for name in ("launch_exposed_ns", "overlap_ns")}
    texts = {name: found[name].astype(object).where(found[name].astype(object) != "") for name in ("grid", "block")}
    return found.assign(
        process=found["rank"], key=found["stream"], kind="stream", **texts, **rare,
        category=np.where(found["wait_ns"].notna(), "collective", found["kind"].astype(object)),
        of_call=found["call"].astype("Int64").where(found["call"] >= 0),
        call=found["call"].astype("Int64").where(led), leads=False,
        iteration=found["iteration"].astype("Int64").where(found["iteration"] >= 0),
        graph_node=found["graph_node"].astype("Int64").where(found["graph_node"] >= 0),
    )  # fmt: skip


def _idle(operations: pd.DataFrame) -> pd.DataFrame:
    """The gaps before operations, a span each, named by their cause."""
    found = operations[(operations["gap_ns"] > 0).fillna(False).to_numpy(bool)]
    return found[["process", "iteration", "launch_exposed_ns"]].assign(
        kind="idle", key=0, category="idle", name="idle: " + found["cause"].astype(object),
        start_ns=found["start_ns"] - found["gap_ns"].astype("int64"), end_ns=found["start_ns"],
    )  # fmt: skip


def _calls(frames: Frames | Drawn, operations: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """The calls from the first that launched something shown until the windows end."""
    launching = np.unique(operations["of_call"].dropna().to_numpy(np.int64))
    calls = frames.calls
    process = _process_of(frames, calls["thread"])
    begins_ns = pd.concat([windows["start_ns"], calls["start_ns"].iloc[launching].groupby(process[launching]).min()])
    first_ns, last_ns = begins_ns.groupby(level=0).min(), windows["end_ns"]
    lower = first_ns.reindex(process).fillna(first_ns.min()).to_numpy()
    upper = last_ns.reindex(process).fillna(last_ns.max()).to_numpy()
    beside = (calls["end_ns"].to_numpy() >= lower) & (calls["start_ns"].to_numpy() <= upper)
    led = operations["call"].dropna().to_numpy(np.int64)
    found: pd.DataFrame = calls.assign(process=process, call=pd.Series(calls.index, calls.index, dtype="Int64")).loc[
        beside
    ]
    return found.assign(
        kind="thread", key=found["thread"], category="call", name=found["name"].astype(object),
        of_call=found["call"], call=found["call"].where(found.index.isin(led)), leads=True,
    )  # fmt: skip


def _ranges(frames: Frames | Drawn, calls: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """The NVTX ranges beside what is shown, cut to it; recorded_ns is how long each was."""
    first_ns = min(int(windows["start_ns"].min()), int(calls["start_ns"].min()) if len(calls) else 2**62)
    last_ns = int(windows["end_ns"].max())
    found = frames.ranges[(frames.ranges["end_ns"] >= first_ns) & (frames.ranges["start_ns"] <= last_ns)]
    return found.assign(
        process=_process_of(frames, found["thread"]), kind="ranges", key=found["thread"], category="nvtx",
        name=found["text"].astype(object), recorded_ns=(found["end_ns"] - found["start_ns"]).astype("Int64"),
        start_ns=found["start_ns"].clip(lower=first_ns), end_ns=found["end_ns"].clip(upper=last_ns),
    )  # fmt: skip


def _process_of(frames: Frames | Drawn, threads: pd.Series[int]) -> Ints:
    """The rank of each thread's process; of one that drives none or several a negative number of its own."""
    owners = frames.ranks.drop_duplicates("global_pid", keep=False).set_index("global_pid")["rank"]
    global_pid = threads.to_numpy(np.int64) >> _THREAD_BITS << _THREAD_BITS
    ranks = owners.reindex(global_pid).to_numpy(np.float64)
    found: Ints = np.where(np.isnan(ranks), -1 - (global_pid >> _THREAD_BITS), np.nan_to_num(ranks)).astype(np.int64)
    return found


def _processes(frames: Frames | Drawn, spans: pd.DataFrame) -> pd.DataFrame:
    """Ranks, then processes that are none, with pids that are theirs where no two are equal."""
    rows = []
    for row in frames.ranks.to_dict("records"):
        pid = (int(row["global_pid"]) >> _THREAD_BITS) & 0xFFFFFF
        gpu = f"GPU {row['device'] if row['device'] >= 0 else row['process_device']}"
        about = ", ".join(part for part in (gpu, row["gpu_name"], f"process {pid}") if part)
        rows.append({"process": int(row["rank"]), "name": f"rank {row['rank']} ({about})", "pid": pid})
    for process in sorted({int(found) for found in spans["process"] if found < 0}, reverse=True):
        pid = (-1 - process) & 0xFFFFFF
        rows.append({"process": process, "name": f"process {pid} (no rank of its own)", "pid": pid})
    table = pd.DataFrame(rows)
    own = table["pid"].max() + 1 + np.arange(len(table))
    return table.assign(pid=np.where(table["pid"].duplicated(keep=False) | (table["pid"] < 1), own, table["pid"]))


def _laid(spans: pd.DataFrame) -> pd.DataFrame:
    """The spans in order of their tracks, on as many lanes of each as it takes for spans not to cross."""
    rank_of_kind = spans["kind"].map({kind: place for place, kind in enumerate(KINDS)})
    order = spans.assign(place=rank_of_kind, backward=-spans["end_ns"])
    order = order.sort_values(["process", "place", "key", "start_ns", "backward"], kind="stable", ignore_index=True)
    lane = np.zeros(len(order), np.int64)
    tracks: Mapping[Any, Any] = order.groupby(["process", "kind", "key"], sort=False).indices
    for track, rows in tracks.items():
        starts, ends = (order[name].to_numpy(np.int64)[rows] for name in ("start_ns", "end_ns"))
        lane[rows] = lanes(starts, ends, nests=track[1] in ("thread", "ranges"))
    return order.assign(lane=lane)[list(SPAN_COLUMNS)]


def lanes(starts_ns: Ints, ends_ns: Ints, *, nests: bool) -> Ints:
    """The first lane for each span, in order of start (longest first), on which it crosses none before it.

    Where `nests`, a span may lie inside another on the same lane, as calls inside calls do; else it must follow it.
    """
    found = np.zeros(len(starts_ns), np.int64)
    if (starts_ns[1:] >= np.maximum.accumulate(ends_ns)[:-1]).all():
        return found
    stacks: list[list[int]] = []
    for at, (start, end) in enumerate(zip(starts_ns.tolist(), ends_ns.tolist(), strict=True)):
        for stack in stacks:
            while stack and stack[-1] <= start:
                stack.pop()
        free = [lane for lane, stack in enumerate(stacks) if not stack or (nests and end <= stack[-1])]
        if not free:
            stacks.append([])
        found[at] = free[0] if free else len(stacks) - 1
        stacks[found[at]].append(end)
    return found


def _nested(spans: pd.DataFrame) -> pd.DataFrame:
    """Add to each collective that waited a span of its own inside it: the rank spun from its arrival on."""
    waited = spans[(spans["wait_ns"] > 0).fillna(False).to_numpy(bool)]
    ends_ns = waited["start_ns"] + waited["wait_ns"].astype("int64")
    inside = waited[[*TRACK_COLUMNS, "start_ns"]].assign(end_ns=ends_ns, name=WAITING, category="waiting")
    inside = inside.reindex(columns=list(SPAN_COLUMNS)).astype(spans.dtypes.to_dict())
    return pd.concat([spans, inside]).sort_index(kind="stable").reset_index(drop=True)


def _left_out(frames: Frames | Drawn, steady: int, numbers: Ints, operations: pd.DataFrame) -> tuple[str, ...]:
    found = []
    if steady > len(numbers):
        found.append(f"{steady - len(numbers)} of {steady} steady iterations; --iterations {steady} shows all")
    if dropped := int((~frames.steps["kept"]).sum()):
        found.append(f"{dropped} steps that are not steady; what ran between those shown is there, without causes")
    if unjoined := int(operations["of_call"].isna().sum()):
        found.append(f"the launches of {unjoined} operations: their calls were not recorded")
    if why := frames.summary["collectives"]["disagreement"]:
        found.append(f"waiting in collectives: {why}")
    if unrecorded := sorted(set(frames.left_out["name"]) - {"*"}):
        found.append(f"calls that only ask, which the recording itself leaves out: {', '.join(unrecorded)}")
    return tuple(found)
