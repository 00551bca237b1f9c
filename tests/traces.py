"""Hand-made traces, small enough to check by eye, written as nsys would export them.

    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)           # one API call and its kernel
    trace.graph([("gemm", 20, 30), ("norm", 30, 32)], at=18)
    trace.write(tmp_path / "trace.sqlite")

Tables appear only when they have rows, as in nsys's lazy export. `decode` makes a whole steady trace.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache
from itertools import count
from pathlib import Path

from analysis import extract, iterations
from analysis.extract import Activity
from analysis.iterations import Trace

KERNEL = "CUPTI_ACTIVITY_KIND_KERNEL"
COPY = "CUPTI_ACTIVITY_KIND_MEMCPY"
SET = "CUPTI_ACTIVITY_KIND_MEMSET"
GRAPH = "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"
NVTX = "NVTX_EVENTS"
GPU = "TARGET_INFO_GPU"
DEVICE = "TARGET_INFO_CUDA_DEVICE"


def global_pid(pid: int) -> int:
    return (1 << 48) | (pid << 24)


def global_tid(pid: int, thread: int = 1) -> int:
    return global_pid(pid) | thread


class Sqlite:
    """Rows of an export, table by table, before they are written."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, object]]] = {}
        self._strings: dict[str, int] = {}
        self._correlation: dict[int, count] = {}
        self._nodes = count(1 << 32)
        self.row("META_DATA_EXPORT", name="EXPORT_PRODUCT_VERSION", value="2025.3.2.0")

    def row(self, table: str, **cells: object) -> None:
        self.tables.setdefault(table, []).append(cells)

    def text(self, value: str) -> int:
        if value not in self._strings:
            self._strings[value] = len(self._strings) + 1
            self.row("StringIds", id=self._strings[value], value=value)
        return self._strings[value]

    def correlation(self, pid: int) -> int:
        """The next id of a process; every process counts from 1."""
        return next(self._correlation.setdefault(pid, count(1)))

    def call(
        self, name: str, start: int, end: int, *, pid: int = 7, thread: int = 1, correlation: int | None = None
    ) -> int:
        correlation = self.correlation(pid) if correlation is None else correlation
        self.row(
            RUNTIME, start=start, end=end, eventClass=0, globalTid=global_tid(pid, thread), correlationId=correlation,
            nameId=self.text(name), returnValue=0,
        )  # fmt: skip
        return correlation

    def kernel(
        self, name: str, start: int, end: int, *, correlation: int, pid: int = 7, device: int = 0, stream: int = 3,
        grid: int = 1, block: int = 32, node: int | None = None,
    ) -> None:  # fmt: skip
        self.row(
            KERNEL, start=start, end=end, deviceId=device, contextId=1, streamId=stream, correlationId=correlation,
            globalPid=global_pid(pid), demangledName=self.text(name), shortName=self.text(name), gridX=grid, gridY=1,
            gridZ=1, blockX=block, blockY=1, blockZ=1, graphNodeId=node,
        )  # fmt: skip

    def launch(self, name: str, *, at: int, start: int, end: int, took: int = 2, pid: int = 7, **where: int) -> None:
        """A kernel and the call that launched it."""
        correlation = self.call("cudaLaunchKernel_v7000", at, at + took, pid=pid)
        self.kernel(name, start, end, correlation=correlation, pid=pid, **where)

    def copy(
        self, start: int, end: int, *, at: int, kind: int = 2, pid: int = 7, device: int = 0, stream: int = 3
    ) -> None:
        correlation = self.call("cudaMemcpyAsync_v3020", at, at + 2, pid=pid)
        self.row(
            COPY, start=start, end=end, deviceId=device, contextId=1, streamId=stream, correlationId=correlation,
            globalPid=global_pid(pid), bytes=4, copyKind=kind, graphNodeId=None,
        )  # fmt: skip

    def set(self, start: int, end: int, *, at: int, pid: int = 7, device: int = 0, stream: int = 3) -> None:
        correlation = self.call("cudaMemsetAsync_v3020", at, at + 2, pid=pid)
        self.row(
            SET, start=start, end=end, deviceId=device, contextId=1, streamId=stream, correlationId=correlation,
            globalPid=global_pid(pid), bytes=4, value=0, memKind=2, graphNodeId=None,
        )  # fmt: skip

    def graph(
        self, nodes: Iterable[tuple[str, int, int]], *, at: int, took: int = 2, pid: int = 7, device: int = 0
    ) -> None:
        """One graph launch, its nodes recorded one by one (node tracing)."""
        correlation = self.call("cudaGraphLaunch_v10000", at, at + took, pid=pid)
        for name, start, end in nodes:
            self.kernel(name, start, end, correlation=correlation, pid=pid, device=device, node=next(self._nodes))

    def whole_graph(self, start: int, end: int, *, at: int, exec_id: int = 1, pid: int = 7, device: int = 0) -> None:
        """One graph launch, recorded as one operation (graph tracing)."""
        correlation = self.call("cudaGraphLaunch_v10000", at, at + 2, pid=pid)
        self.row(
            GRAPH, start=start, end=end, deviceId=device, contextId=1, streamId=3, correlationId=correlation,
            globalPid=global_pid(pid), graphId=exec_id, graphExecId=exec_id,
        )  # fmt: skip

    def nvtx(
        self, text: str, start: int, end: int | None, *, pid: int = 7, inline: bool = True, kind: int = 59
    ) -> None:
        self.row(
            NVTX, start=start, end=end, eventType=kind, globalTid=global_tid(pid), domainId=0,
            text=text if inline else None, textId=None if inline else self.text(text),
        )  # fmt: skip

    def gpu(self, number: int, *, uuid: str, name: str = "NVIDIA H200") -> None:
        self.row(GPU, id=number, name=name, uuid=uuid)

    def sees(self, pid: int, *, cuda: int, gpu: int) -> None:
        """What a process calls GPU `cuda` is GPU `gpu` of the host."""
        self.row(DEVICE, gpuId=gpu, cudaId=cuda, pid=pid)

    def write(self, path: Path, *, without: Sequence[str] = ()) -> Path:
        """Write the tables, leaving out those and the columns (TABLE.column) named in `without`."""
        with closing(sqlite3.connect(path)) as database:
            for table, rows in self.tables.items():
                if table not in without:
                    _write(
                        database,
                        table,
                        rows,
                        {name.partition(".")[2] for name in without if name.startswith(f"{table}.")},
                    )
            database.commit()
        return path


def decode(
    *,
    ranks: int = 1,
    steps: int = 10,
    step_ns: int = 100,
    graphs: bool = False,
    prefill: bool = True,
    slower_ns: int = 0,
) -> Sqlite:
    """A steady decode: per step `gemm` [0, 40), `norm` [40, 50), `gemm` [60, 80), `sample` [80, 90), idle to the next.

    A step without graphs is four launches, with graphs one. Each step is `slower_ns` longer than the one before.
    Ranks are processes 101, 102, ... on GPUs 0, 1, ...; they run alike and count their correlation ids alike. Of
    several ranks the second `gemm` is an all-reduce, in which they meet.
    """
    trace = Sqlite()
    for rank in range(ranks):
        start = 1000
        where = {"pid": 101 + rank, "device": rank}
        trace.gpu(rank, uuid=f"uuid-{rank}")
        if prefill:
            for layer in range(3):
                trace.launch("attend", at=100 + 50 * layer, start=200 + 50 * layer, end=240 + 50 * layer, **where)
            trace.launch("sample", at=300, start=400, end=410, **where)
        for number in range(steps):
            step(trace, start, graphs, where, meets=ranks > 1)
            start += step_ns + number * slower_ns
    return trace


def step(trace: Sqlite, start: int, graphs: bool, where: dict[str, int], *, meets: bool = False) -> None:
    """One step of `decode` on one rank, one of several if it `meets` others."""
    parts = [("gemm", 0, 40), ("norm", 40, 50), ("all_reduce" if meets else "gemm", 60, 80), ("sample", 80, 90)]
    if graphs:
        trace.graph([(name, start + begin, start + end) for name, begin, end in parts], at=start - 10, **where)
        return
    for number, (name, begin, end) in enumerate(parts):
        trace.launch(name, at=start - 20 + 5 * number, start=start + begin, end=start + end, **where)


def unseen(*, ranks: int = 1, steps: int = 24, without_graph: int | None = None) -> Sqlite:
    """Steps of `forward` in one graph launch, of which the call alone is recorded; sampling runs outside of it.

    So does a version of nsys that has no table for graphs recorded whole. Step `without_graph` launches none.
    """
    trace = Sqlite()
    for rank in range(ranks):
        trace.gpu(rank, uuid=f"uuid-{rank}")
        start = 1000
        for number in range(steps):
            graphs = "none" if number == without_graph else "full"
            start = forward(trace, start, tokens=1, sequences=1, graphs=graphs, pid=101 + rank, device=rank)
    return without_nodes(trace)


def without_nodes(trace: Sqlite) -> Sqlite:
    """The trace without what ran in graphs."""
    trace.tables[KERNEL] = [row for row in trace.tables[KERNEL] if row["graphNodeId"] is None]
    return trace


def _write(database: sqlite3.Connection, table: str, rows: list[dict[str, object]], without: set[str]) -> None:
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in without]
    types = {name: "TEXT" if any(isinstance(row.get(name), str) for row in rows) else "INTEGER" for name in names}
    database.execute(f'CREATE TABLE "{table}" ({", ".join(f"{name} {types[name]}" for name in names)})')
    cells = [[row.get(name) for name in names] for row in rows]
    database.executemany(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(names))})', cells)


@cache
def activity(path: Path) -> Activity:
    """What a recorded trace holds, read once for all tests; they leave it as it is."""
    return extract.read(path)


@cache
def found(path: Path) -> Trace:
    """The iterations of a recorded trace, found once for all tests; they leave it as it is."""
    return iterations.find(activity(path))


def recorded(engine: str, tp: int, graphs: str) -> Path:
    """A real trace: Llama-3-8B at batch 1 on H200s."""
    cases = Path(__file__).resolve().parents[1] / "data" / "recordings" / "h200x8-2026-11-20" / "cases"
    return cases / f"llama3-8b_{engine}_tp{tp}_graphs-{graphs}_trace-node_r1" / "trace_b1.sqlite.xz"


def older(engine: str, tp: int, graphs: str) -> Path:
    """A real trace of the same model in a recording that does not say how long calls only asked."""
    cases = Path(__file__).resolve().parents[1] / "data" / "recordings" / "h200x4-2026-11-21" / "cases"
    return cases / f"llama3-8b_{engine}_tp{tp}_graphs-{graphs}_trace-node_r1" / "trace_b1.sqlite.xz"


def served(name: str) -> Path:
    """A real trace of a changing batch: Llama-3-8B, at most 4 sequences at a time, on H200s."""
    return Path(__file__).resolve().parents[1] / "data" / "traces" / f"served_{name}.sqlite.xz"


def steady(name: str) -> Path:
    """A real trace of one sequence in a mode that the study does not run."""
    return Path(__file__).resolve().parents[1] / "data" / "traces" / f"steady_{name}.sqlite.xz"


def forward(
    trace: Sqlite, start: int, *, tokens: int, sequences: int, graphs: str = "none", layers: int = 6, pid: int = 7,
    device: int = 0, unnamed: bool = False,
) -> int:  # fmt: skip
    """One step of a server, whose grids and matrix products follow the batch; returns when the next may begin.

    `graphs`: "none"; "full", all but the sampling in one launch; "pieces", a launch a layer, attention between them.
    An operation takes 5 ns and begins 6 after the one before. `unnamed` kernels do not say what they compute.
    """
    where = {"pid": pid, "device": device}
    layer = [("norm", tokens), (f"gemm_{tokens}", 64), ("attend", 132), (f"gemm_b_{tokens}", 64), ("act", tokens)]
    body = [("embed", tokens), *(layer * layers), ("norm", tokens), (f"head_{sequences}", 64)]
    tail = [("sample", sequences), ("update", 1)]
    if unnamed:
        hidden = {name: f"k{at}" for at, name in enumerate(dict.fromkeys(name for name, _ in body + tail))}
        body, tail = [(hidden[name], n) for name, n in body], [(hidden[name], n) for name, n in tail]
    at, launched = start, start - 8
    for piece, graphed in _pieces(body, graphs):
        if graphed:
            correlation = trace.call("cudaGraphLaunch_v10000", launched, launched + 2, pid=pid)
        for name, grid in piece:
            if graphed:
                node = next(trace._nodes)
                trace.kernel(name, at, at + 5, correlation=correlation, grid=grid, node=node, **where)
            else:
                trace.launch(name, at=launched, start=at, end=at + 5, grid=grid, **where)
            at, launched = at + 6, launched + 3
    for name, grid in tail:
        trace.launch(name, at=launched, start=at, end=at + 5, grid=grid, **where)
        at, launched = at + 6, launched + 3
    return at + 20


def _pieces(body: list[tuple[str, int]], graphs: str) -> list[tuple[list[tuple[str, int]], bool]]:
    if graphs != "pieces":
        return [(body, graphs == "full")]
    pieces: list[tuple[list[tuple[str, int]], bool]] = [([], True)]
    for operation in body:
        if operation[0] == "attend":
            pieces += [([operation], False), ([], True)]
        else:
            pieces[-1][0].append(operation)
    return pieces
