"""From a trace file to tables: the only file that knows nsys's schema, in all its versions.

What it reads lies in the columns of tables.py; numbering and joining them is in joins.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import api, joins, plausible, store, tables
from analysis.api import Called
from analysis.errors import TraceError
from analysis.intervals import NEVER, Ints, latest_end_before
from analysis.store import Source
from analysis.threads import both, side_by_side

Columns = dict[str, Ints]

KERNEL = "CUPTI_ACTIVITY_KIND_KERNEL"
COPY = "CUPTI_ACTIVITY_KIND_MEMCPY"
SET = "CUPTI_ACTIVITY_KIND_MEMSET"
GRAPH = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"
NVTX = "NVTX_EVENTS"
LEFT_OUT = "LEFT_OUT"
# Which nsys and schema it was; the second is the name in 2022.
EXPORTED_BY = ("META_DATA_EXPORT", "EXPORT_META_DATA")

# What is read of all that runs on a GPU: by which id each table names it, and the columns that all of them share.
_NAMED_BY = {KERNEL: "demangledName", COPY: "copyKind", SET: "memKind", GRAPH: "graphExecId"}
_PLACE = {"deviceId": 0, "streamId": 0, "globalPid": 0, "correlationId": -1, "graphNodeId": -1}
_NEEDED = {"start", "end", "deviceId", "streamId", "correlationId", "globalPid"}
_NEEDED_OF_CALLS = {"start", "end", "globalTid", "correlationId", "nameId"}
_SMALL = {"deviceId", "streamId", "correlationId", "demangledName", "nameId", *joins.SHAPE}
_FOUND = (
    *("start_ns", "end_ns", "process_device", "stream", "global_pid", "correlation", "graph_node", "what"),
    *joins.SHAPE,
)
# A rank runs the model; other processes and devices with a few copies are not ranks.
_RANK_SHARE = 0.1
_NVTX_PUSH_POP, _NVTX_START_END = 59, 60
# A time that is NULL: of a begin later than any end, of an end before any begin.
_NEVER, _NO_BEGIN = -(2**63) + 1, 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What a trace says happened, as the tables of tables.py."""

    path: Path
    nsys_version: str
    ranks: pd.DataFrame
    signatures: pd.DataFrame
    operations: pd.DataFrame
    calls: pd.DataFrame
    ranges: pd.DataFrame
    left_out: pd.DataFrame
    """What a recording says was left out of it; empty for an export."""
    graph_tracing: str
    """How graphs were recorded: "node", "graph" (launches only), "unseen" (calls only), "none" where no graph ran."""
    stray_operations: int
    """Operations of processes and devices that are not ranks."""
    asking_known: bool
    """Whether it says how long calls only asked; older recordings do not."""


def read(path: Path) -> Activity:
    """Read a trace: `.sqlite`, `.sqlite.xz`, or one in the form of the recordings. Times stay in ns.

    Raises TraceError for a file that is not a trace, is damaged, or lacks what an analysis needs.
    """
    path = Path(path)
    with store.opened(path) as source:
        strings = {int(number or 0): value or "" for number, value in source.texts("StringIds", ("id", "value"))}
        # Either reads and computes in turn, so that neither core waits.
        ran, called = both(lambda: _ran(path, source, strings), lambda: _calls(source, strings))
        ranks, (operations, signatures), stray = ran
        operations["call"] = _launching(operations, called, ranks)
        driven = called.of_process(joins.rank_of_process(called.pids, ranks))
        calls = pd.DataFrame({**called.columns, "rank": driven}, copy=False)
        nodes = np.flatnonzero(operations["graph_node"] >= 0)
        plausible.expect_graph_calls(operations["call"][nodes], calls)
        first = joins.first_of_call(operations["rank"], operations["call"])
        operated = pd.DataFrame(operations, copy=False).assign(first_of_call=first)
        return Activity(
            path=path,
            nsys_version=_version(source),
            ranks=tables.conform(ranks, tables.RANKS, "ranks"),
            signatures=tables.conform(signatures, tables.SIGNATURES, "signatures"),
            operations=tables.conform(operated, tables.OPERATIONS, "operations"),
            calls=tables.conform(calls, tables.CALLS, "calls"),
            ranges=tables.conform(_ranges(source, strings), tables.RANGES, "ranges"),
            left_out=tables.conform(_left_out(source), tables.LEFT_OUT, "left_out"),
            graph_tracing=_graph_tracing(signatures, operations["signature"][nodes], calls),
            stray_operations=stray,
            asking_known=_asking_known(source),
        )


def _found(source: Source) -> Columns:
    """All that ran on a GPU, table below table in the order of tables.KINDS; `what` is the id that its name has."""
    wanted = {}
    for table, name in _NAMED_BY.items():
        plausible.expect_columns(table, source.columns(table), _NEEDED)
        shape = dict.fromkeys(joins.SHAPE, int(table == KERNEL))
        wanted[table] = {"start": _NO_BEGIN, "end": _NEVER, **_PLACE, name: -1, **shape}
    values, rows = source.stacked(wanted, small=_SMALL)
    kind: Any = np.repeat(np.arange(len(rows), dtype=np.int8), rows)
    found: Columns = {**dict(zip(_FOUND, values, strict=True)), "kind": kind}
    if rows[-1]:
        # CUPTI gives 0 for both times of a graph where it could not collect them.
        timed = (found["start_ns"] != 0) | (found["end_ns"] != 0) | (kind != tables.KINDS.index("graph"))
        found = {name: column[timed] for name, column in found.items()}
    plausible.expect_times("GPU operations", found["start_ns"], found["end_ns"])
    return found


def _ran(
    path: Path, source: Source, strings: Mapping[int, str]
) -> tuple[pd.DataFrame, tuple[Columns, pd.DataFrame], int]:
    """The ranks, their operations with signatures, and how many operations are of no rank."""
    found = _found(source)
    _expect_cuda(path, source, found["kind"])
    ranks, owner = _ranks(source, found.pop("global_pid"), found.pop("process_device"))
    return ranks, _operations(found, owner, strings), int((owner < 0).sum())


def _operations(found: Columns, owner: Ints, strings: Mapping[int, str]) -> tuple[Columns, pd.DataFrame]:
    """The operations of the ranks, rank by rank in order of start, and their signatures. Takes columns from `found`."""
    looks = {name: found.pop(name) for name in ("kind", "what", *joins.SHAPE)}
    code, first = joins.numbered(list(looks.values()))
    rows = pd.DataFrame({name: column[first] for name, column in looks.items()})
    del looks
    order, bounds = joins.in_order(owner, found["start_ns"], found["end_ns"])
    ranks = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    signature, signatures = joins.signed(code[order], rows, ranks, strings)
    names = ("correlation", "stream", "start_ns", "end_ns", "graph_node")
    columns = dict(zip(names, side_by_side(lambda name: found.pop(name)[order], names), strict=True))
    latest_ns, first_of_rank = latest_end_before(ranks, columns["end_ns"])
    latest_ns[first_of_rank] = NEVER
    return {"rank": ranks, "signature": signature, "latest_end_ns": latest_ns, **columns}, signatures


def _launching(operations: Columns, called: Called, ranks: pd.DataFrame) -> Ints:
    """The row of the call that launched each operation, -1 for none."""
    pids = ranks["global_pid"].to_numpy(np.int64)
    # Numbered from 0, a process takes two bytes a row.
    numbers = pd.Index(pd.unique(pids))
    of_rank, of_thread = (numbers.get_indexer(pd.Index(known)).astype(np.int16) for known in (pids, called.pids))
    ids = called.columns.pop("correlation"), operations.pop("correlation")
    return joins.launching(called.of_process(of_thread), ids[0], of_rank[operations["rank"]], ids[1])


def _expect_cuda(path: Path, source: Source, kinds: Ints) -> None:
    """`kinds` are those of all that ran, in the order of tables.KINDS: kernels come first and graphs last."""
    runtime, operations = bool(source.columns(RUNTIME)), len(kinds) > 0
    computed = operations and (tables.KINDS[kinds[0]] == "kernel" or tables.KINDS[kinds[-1]] == "graph")
    if computed and runtime:
        return
    if operations and runtime:
        found = f"copies on GPUs but no kernel ({KERNEL} and {GRAPH} are absent or empty)"
        option = "--trace=cuda,nvtx --cuda-graph-trace=node"
    elif operations:
        found, option = f"GPU operations but no CUDA calls ({RUNTIME} is absent)", "--trace=cuda,nvtx"
    elif runtime:
        found = f"CUDA calls but no GPU operation ({KERNEL} and {GRAPH} are absent or empty)"
        option = "--trace=cuda,nvtx --cuda-graph-trace=node, and a capture window with decode steps in it"
    else:
        found = f"no CUDA activity ({KERNEL} and {RUNTIME} are absent)"
        option = "--trace=cuda,nvtx, and --trace-fork-before-exec=true where the engine starts worker processes"
    raise TraceError(f"{path}: {found}; record it with: nsys profile {option}")


def _ranks(source: Source, pids: Ints, devices: Ints) -> tuple[pd.DataFrame, Ints]:
    """The ranks in the order of their GPUs, and the rank of every operation, -1 for what belongs to none."""
    keys = ["global_pid", "process_device"]
    group, first = joins.numbered([pids, devices])
    found = pd.DataFrame({"global_pid": pids[first], "process_device": devices[first]})
    found = found.assign(group=np.arange(len(found)), operations=np.bincount(group))
    found = found[found["operations"] >= _RANK_SHARE * found["operations"].max()]
    found = found.merge(_devices(source, found), on=keys, how="left", validate="one_to_one")
    found = found.sort_values(["device", "process_device", "global_pid"]).assign(rank=np.arange(len(found)))
    owner: Any = np.full(len(first), -1, np.int16)
    owner[found["group"].to_numpy()] = found["rank"].to_numpy()
    return found, owner[group]


def _devices(source: Source, ranks: pd.DataFrame) -> pd.DataFrame:
    """The host's number and the name of the GPU of each (process, device).

    With one visible GPU per worker every process calls its own 0: nsys lists, per process, which GPU that is, by
    UUID or by number.
    """
    gpus = {
        int(number or 0): (uuid or "", name or "")
        for number, uuid, name in source.texts("TARGET_INFO_GPU", ("id", "uuid", "name"))
    }
    by_uuid = {uuid: number for number, (uuid, _) in gpus.items() if uuid}
    seen = {}
    for gpu, cuda, pid, uuid in source.texts("TARGET_INFO_CUDA_DEVICE", ("gpuId", "cudaId", "pid", "uuid")):
        seen[int(pid or 0), int(cuda or 0)] = by_uuid.get(uuid or "", int(gpu or 0))
    unlisted = not seen and not ranks["process_device"].duplicated().any()
    rows = []
    for pid, device in zip(ranks["global_pid"], ranks["process_device"], strict=True):
        host = seen.get(((pid >> 24) & 0xFFFFFF, device), device if unlisted else -1)
        rows.append((pid, device, host, gpus.get(host, ("", ""))[1]))
    return pd.DataFrame(rows, columns=["global_pid", "process_device", "device", "gpu_name"])


def _calls(source: Source, strings: Mapping[int, str]) -> Called:
    plausible.expect_columns(RUNTIME, source.columns(RUNTIME), _NEEDED_OF_CALLS)
    wanted = {"start": _NO_BEGIN, "end": _NEVER, "globalTid": 0, "correlationId": -1, "nameId": -1}
    if api.ASKED in source.columns(RUNTIME):
        wanted[api.ASKED] = 0
    return api.called(source.integers(RUNTIME, wanted, small=_SMALL), strings)


def _ranges(source: Source, strings: Mapping[int, str]) -> pd.DataFrame:
    wanted = {"start": 0, "end": _NEVER, "globalTid": 0, "textId": -1, "eventType": _NVTX_PUSH_POP}
    values = source.integers(NVTX, wanted)
    inline = source.texts(NVTX, ("text",)) or [(None,)] * len(values["start"])
    closed = values["end"] != _NEVER
    frame = pd.DataFrame(
        {
            "thread": values["globalTid"],
            "start_ns": values["start"],
            "end_ns": np.where(closed, values["end"], values["start"]),
            "closed": closed,
            "text": [
                text if text is not None else strings.get(int(number), "")
                for (text,), number in zip(inline, values["textId"], strict=True)
            ],
        }
    )
    return frame[np.isin(values["eventType"], (_NVTX_PUSH_POP, _NVTX_START_END))].sort_values(["thread", "start_ns"])


def _left_out(source: Source) -> pd.DataFrame:
    rows = source.texts(LEFT_OUT, ("table_name", "name", "rows", "time_ns"))
    found = pd.DataFrame(rows, columns=["table_name", "name", "rows", "time_ns"])
    return found.assign(rows=pd.to_numeric(found["rows"]), time_ns=pd.to_numeric(found["time_ns"]))


def _asking_known(source: Source) -> bool:
    asked = {name for table, name in source.texts(LEFT_OUT, ("table_name", "name")) if table == RUNTIME}
    return not asked & api.QUERIES or api.ASKED in source.columns(RUNTIME)


def _version(source: Source) -> str:
    found = {row[0]: row[1] for table in EXPORTED_BY for row in source.texts(table, ("name", "value"))}
    return found.get("EXPORT_PRODUCT_VERSION") or "unknown"


def _graph_tracing(signatures: pd.DataFrame, nodes: Ints, calls: pd.DataFrame) -> str:
    """How graphs were recorded; `nodes` are the signatures of their nodes."""
    if (signatures["kind"] == "graph").any():
        return "graph"
    # A graph of a step has kernels: of copies and memsets alone, what it computed is missing.
    if (signatures["kind"] == "kernel").to_numpy(bool)[nodes].any():
        return "node"
    return "unseen" if (calls["kind"] == "graph").any() else "none"
