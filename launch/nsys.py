"""The command lines of Nsight Systems, and what its version is."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path


def profile(command: Sequence[str], *, nsys: str, output: Path, tracing: str, windows: int) -> list[str]:
    """Wrap a command so that each of its `windows` cudaProfilerStart/Stop pairs makes one report.

    `tracing` is "graph" (one row a graph launch) or "node" (one row a kernel inside a graph). nsys writes
    `output`.nsys-rep for one window and `output`.N.nsys-rep for several.
    """
    range_end = "stop" if windows == 1 else f"repeat:{windows}"
    flags = [
        "--trace=cuda,nvtx",
        f"--cuda-graph-trace={tracing}",
        "--sample=none",
        "--cpuctxsw=none",
        "--trace-fork-before-exec=true",
        "--capture-range=cudaProfilerApi",
        f"--capture-range-end={range_end}",
        # A report is written only while nsys and the application both live; the defaults differ by version.
        "--kill=none",
        "--wait=all",
        "--force-overwrite=true",
        f"--output={output}",
    ]
    return [nsys, "profile", *flags, *command]


def export(report: Path, sqlite: Path, *, nsys: str) -> list[str]:
    """The command that turns a report into the SQLite file that the analysis reads."""
    return [nsys, "export", "--type=sqlite", "--force-overwrite=true", f"--output={sqlite}", str(report)]


def reports(output: Path, windows: int) -> tuple[Path, ...]:
    """Where the reports of `profile` lie, in the order of their windows."""
    if windows == 1:
        return (output.with_name(f"{output.name}.nsys-rep"),)
    return tuple(output.with_name(f"{output.name}.{n}.nsys-rep") for n in range(1, windows + 1))


def version(nsys: str) -> str | None:
    """The version of an nsys command such as 2025.3.1, or None where it does not run."""
    try:
        shown = subprocess.run([nsys, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d{4}\.\d+(\.\d+)?", shown)
    return found.group(0) if found else None
