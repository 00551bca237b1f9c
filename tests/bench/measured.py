"""One run of the analysis, or of a bare SELECT, in a process of its own: how long it took and its largest memory.

The wall time is that of the whole process, interpreter and imports included. The bare SELECT fetches the columns that
the analysis reads of the two big tables, one table after the other, with fetchall, as a plain reader would; and once
more without keeping any row, which is the least that Python's sqlite3 takes, and of no use to a reader.
"""

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.extract import KERNEL, RUNTIME

COLUMNS = {
    KERNEL: (
        *("start", "end", "deviceId", "streamId", "globalPid", "correlationId", "graphNodeId", "demangledName"),
        *("gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ"),
    ),
    RUNTIME: ("start", "end", "globalTid", "correlationId", "nameId"),
}
_SELECT = """
import json, sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro&immutable=1", uri=True)
counts = []
for query in sys.argv[3:]:
    rows = database.execute(query)
    counts.append(len(rows.fetchall()) if sys.argv[2] == "kept" else sum(1 for _ in rows))
print(json.dumps(counts))
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished process."""

    wall_s: float
    peak_mb: float
    kernels: int = 0
    api_rows: int = 0


def select(trace: Path, *, kept: bool) -> Run:
    """Fetch all rows of the two big tables, into a list for each or one by one."""
    listed = (", ".join(f'"{name}"' for name in names) for names in COLUMNS.values())
    queries = [f"SELECT {names} FROM {table}" for table, names in zip(COLUMNS, listed, strict=True)]
    wall_s, peak_mb, out = _run([sys.executable, "-c", _SELECT, str(trace), "kept" if kept else "dropped", *queries])
    kernels, api_rows = json.loads(out)
    return Run(wall_s=wall_s, peak_mb=peak_mb, kernels=kernels, api_rows=api_rows)


def analysis(trace: Path) -> Run:
    """Analyse the trace as a user would."""
    wall_s, peak_mb, _ = _run([sys.executable, "-m", "analysis", "--json", str(trace)])
    return Run(wall_s=wall_s, peak_mb=peak_mb)


def machine() -> str:
    """What it ran on, in a line."""
    cpuinfo, meminfo = (Path("/proc") / name for name in ("cpuinfo", "meminfo"))
    model = next((line.split(":")[1].strip() for line in _lines(cpuinfo) if line.startswith("model name")), "?")
    memory_gib = next((int(line.split()[1]) / 2**20 for line in _lines(meminfo) if line.startswith("MemTotal")), 0)
    return (
        f"{os.cpu_count()} cores of {model}, {memory_gib:.0f} GiB, Python {platform.python_version()}, "
        f"pandas {pd.__version__}, numpy {np.__version__}"
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _run(argv: list[str]) -> tuple[float, float, str]:
    begun = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv[1:3]} ended with status {process.returncode}")
    # The kernel counts in KiB.
    return wall_s, used.ru_maxrss * 1024 / 1e6, out
