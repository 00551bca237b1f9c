"""What this host has: GPUs, driver, CPU, and the versions inside an engine's environment."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_PROBE = """
import importlib.metadata as m, json, sys
print(json.dumps({"python": sys.version.split()[0], **{p: m.version(p) for p in sys.argv[1:]}}))
"""
_PACKAGES = """
import importlib.metadata as m, json
print(json.dumps(dict(sorted((d.metadata["Name"], d.version) for d in m.distributions() if d.metadata["Name"]))))
"""
_GPU = re.compile(r"(\x1b\[\d*m)*GPU\d+(\x1b\[\d*m)*")


@dataclass(frozen=True, kw_only=True)
class HostGpu:
    """One GPU as nvidia-smi names it; memory in GiB, index its number there."""

    name: str
    memory_gib: float
    driver: str
    index: int = 0


@cache
def gpus() -> tuple[HostGpu, ...]:
    """The GPUs of this host in the order of nvidia-smi; empty where there is none or no driver.

    Where CUDA_VISIBLE_DEVICES is set, those that it names, by number or UUID. A GPU without memory of its own, for
    which nvidia-smi gives no number, has the host's.
    """
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    rows = [line.split(", ") for line in _output(query).splitlines() if line.count(", ") == 2]
    found = [
        HostGpu(name=name, memory_gib=_gib(mib), driver=driver, index=index)
        for index, (name, mib, driver) in enumerate(rows)
    ]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(gpu for gpu in found if named is None or _is_named(gpu.index, named))


def _is_named(index: int, visible: str) -> bool:
    words = [word.strip() for word in visible.split(",")]
    uuid = next(iter(uuids()[index : index + 1]), "")
    return str(index) in words or any(word.startswith("GPU-") and uuid.startswith(word) for word in words)


@cache
def engine_versions(python: str, package: str) -> dict[str, str] | None:
    """Versions that an engine's interpreter sees (keys python, PACKAGE, torch), or None where it lacks the package."""
    shown = _output([python, "-c", _PROBE, package, "torch"])
    try:
        versions: dict[str, str] = json.loads(shown.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return None
    return versions


@cache
def uuids() -> tuple[str, ...]:
    """The GPUs' own names, in the order of nvidia-smi."""
    return tuple(_output(["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]).split())


@cache
def links() -> tuple[tuple[str, ...], ...]:
    """How each GPU is joined to each, in nvidia-smi's words: X itself, NV18 eighteen NVLinks, SYS through the CPUs."""
    rows = [line.split("\t") for line in _output(["nvidia-smi", "topo", "-m"]).splitlines()]
    joined = [[cell.strip() for cell in cells[1:]] for cells in rows if _GPU.fullmatch(cells[0].strip())]
    return tuple(tuple(cells[: len(joined)]) for cells in joined)


@cache
def packages(python: str) -> dict[str, str]:
    """Every distribution that an interpreter sees, with its version."""
    shown = _output([python, "-c", _PACKAGES])
    try:
        found: dict[str, str] = json.loads(shown.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return {}
    return found


@cache
def commit(folder: Path) -> str | None:
    """The git commit of a checkout, with + for uncommitted changes of its files; None where it is none."""
    git = ["git", "-C", str(folder)]
    found = _output([*git, "rev-parse", "HEAD"]).strip()
    changed = _output([*git, "status", "--porcelain", "--untracked-files=no"]).strip()
    return f"{found}{'+' if changed else ''}" if found else None


def governor() -> str | None:
    """How the kernel chooses the processor's frequency; None where it leaves that to the hardware or hides it."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gib(mib: str) -> float:
    try:
        return float(mib) / 1024
    except ValueError:
        return psutil.virtual_memory().total / 2**30


def _output(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
