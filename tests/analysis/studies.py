"""Study folders on disk, small enough to know by heart: every number in them is chosen here."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FORMAT = "2026-11-21"
HOST = {
    "label": "2x Test GPU", "gpu_name": "Test GPU", "gpu_count": 2, "driver": "580.1", "cuda": "13.0",
    "nsys": "2025.3.1", "python": "3.12.3", "torch": "2.11.0", "engine_version": "0.25.1",
    "cpu": "Test CPU", "cpu_count": 4,
}  # fmt: skip
LAYERS = ("norm", "qkv", "attention", "out", "gate_up", "down")
KERNEL_NS, STEPS = 5_000, 72
# The gap before each kernel of a step: launches are slow, graph nodes are not.
GAP_NS = {"off": 10_000, "on": 400}


def write_study(folder: Path, **content: Any) -> Path:
    """A study folder with study.json; content: skips, planned (names beyond those of the folder), spec, recording."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cases").mkdir(exist_ok=True)
    names = [path.name for path in sorted((folder / "cases").iterdir())]
    plan = {"cases": [*names, *content.get("planned", ())], "skips": list(content.get("skips", ()))}
    spec = content.get("spec", {})
    _dump(folder / "study.json", {"format": FORMAT, "spec": spec, "plan": plan, "gpu": {}, "gpu_count": 2, "argv": []})
    if "recording" in content:
        _dump(folder / "recording.json", {"format": FORMAT, **content["recording"]})
    return folder


def write_case(
    folder: Path,
    *,
    graphs: str = "on",
    tp: int = 1,
    repeat: int = 1,
    tpot_ms: Sequence[float] | None = None,
    traced_graphs: str | None = None,
    engine: str = "vllm",
    batch: int = 1,
    **changes: Any,
) -> Path:
    """A case folder below `folder`: untraced with these windows, or traced with a trace of these graphs, or neither."""
    tracing = "node" if traced_graphs else "off"
    name = f"llama3-8b_{engine}_tp{tp}_graphs-{graphs}_trace-{tracing}_r{repeat}"
    path = folder / "cases" / name
    path.mkdir(parents=True)
    if tpot_ms:
        rows = [f"{batch},{index},64,{0.064 * time_ms},{time_ms}" for index, time_ms in enumerate(tpot_ms)]
        (path / "samples.csv").write_text("\n".join(["batch,window,tokens,seconds,tpot_ms", *rows]) + "\n")
    if traced_graphs:
        write_trace(path / f"trace_b{batch}.sqlite", graphs=traced_graphs, tp=tp)
    traces = [{"batch": batch, "file": f"trace_b{batch}.sqlite"}] if traced_graphs else []
    asked = {
        "engine": engine, "model": "llama3-8b", "tp": tp, "graphs": graphs, "tracing": tracing, "repeat": repeat,
        "batches": [batch], "prompt_tokens": 128, "output_tokens": 64, "windows": 3, "traced_steps": 64, "seed": 0,
        "checkpoint": None,
    }  # fmt: skip
    record = {
        "format": FORMAT, "name": name, "outcome": "ok", "reason": None, "log_tail": [], "made_by": "study.sweep",
        "asked": asked, "resolved": {"graphs": graphs, "kv_tokens": 1000}, "host": HOST,
        "argv": ["python", "drive.py", "--set", '{"a": 1}'], "env": {"OMP_NUM_THREADS": "1"},
        "started_utc": "2026-11-21T03:00:00Z", "phases_s": {"starting": 2.5},
        "files": {"log": "engine.log", "samples": "samples.csv" if tpot_ms else None, "traces": traces},
    }  # fmt: skip
    _dump(path / "case.json", record | changes)
    return path


def change_record(case: Path, changes: Mapping[str, Any]) -> None:
    _dump(case / "case.json", json.loads((case / "case.json").read_text()) | dict(changes))


def write_trace(path: Path, *, graphs: str, tp: int = 1, slow_every: int = STEPS) -> None:
    """An nsys export of STEPS decode steps: a graph or its kernels one by one, the sampler, a longer bubble.

    Several ranks meet in the last kernel of the graph, an all-reduce. Every so many steps one takes 1 ms longer.
    """
    layers = LAYERS if tp == 1 else (*LAYERS[:-1], "all_reduce")
    names = ["", *layers, "sampler", "cudaLaunchKernel_v7000", "cudaGraphLaunch_v10000"]
    kernels, calls = [], []
    for rank in range(tp):
        pid, now, correlation = (rank + 1) << 24, 0, 0
        for step in range(STEPS):
            now += 1_000_000 if step % slow_every == slow_every - 1 else 0
            for node, layer in enumerate([*layers, "sampler"]):
                in_graph = graphs == "on" and layer != "sampler"
                now += GAP_NS[graphs] if layer != "norm" else 20_000
                if not in_graph or node == 0:
                    correlation += 1
                    call = "cudaGraphLaunch_v10000" if in_graph else "cudaLaunchKernel_v7000"
                    calls.append((now - 6_000, now - 2_000, pid | 1, correlation, names.index(call)))
                graph_node = node + 1 if in_graph else None
                place = (rank, 7, correlation, pid, names.index(layer), graph_node)
                kernels.append((now, now + KERNEL_NS, *place))
                now += KERNEL_NS
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE StringIds (id INTEGER, value TEXT)")
        db.executemany("INSERT INTO StringIds VALUES (?, ?)", enumerate(names))
        db.execute(
            "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER,"
            " correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, graphNodeId INTEGER, gridX INTEGER,"
            " gridY INTEGER, gridZ INTEGER, blockX INTEGER, blockY INTEGER, blockZ INTEGER)"
        )
        db.executemany("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?,?,?,?,?,?,?,?,1,1,1,32,1,1)", kernels)
        db.execute(
            "CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, globalTid INTEGER,"
            " correlationId INTEGER, nameId INTEGER)"
        )
        db.executemany("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (?,?,?,?,?)", calls)
    db.close()


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content))
