"""The GPUs a study can be planned for, and how the host's own GPU is recognised."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from study.errors import StudyError
from study.words import hint

FILE = Path(__file__).resolve().parents[1] / "data" / "gpus.csv"
MIB_PER_GIB = 1024
# What CUDA hands out is 0.5-2 % less than nvidia-smi's total; the lower figure is the safe one.
USABLE_SHARE = 0.98
# Beyond this the card is another variant of the same name (a 4090 with 48 GB, a slice of a card).
MEMORY_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A kind of GPU, a row of data/gpus.csv; `pattern` matches the whole of nvidia-smi's name, less NVIDIA and GeForce.

    `memory_gib` is what CUDA can allocate; `bandwidth_gb_s` the peak of device memory and `nvlink_gb_s` of what joins
    the GPUs of a host, both ways together (10^9 bytes; 0 where there is none, or it is not known); `tensor_tflops`
    dense bf16 products (10^12/s); `peer_to_peer` whether one GPU may read another's memory.
    """

    key: str
    pattern: str
    memory_gib: float
    bandwidth_gb_s: float
    tensor_tflops: float
    nvlink_gb_s: float
    peer_to_peer: bool
    quirks: str
    source: str

    def all_reduce(self, tp: int) -> str:
        """What the engines' all-reduce over so many GPUs can be: their own kernel, or NCCL and over what."""
        if tp < 2:
            return "none"
        if self.nvlink_gb_s:
            return "the engine's own, over NVLink"
        if self.peer_to_peer and tp == 2:
            return "the engine's own, over PCIe"
        # Engines turn their own kernel off for more than two GPUs that are not all joined to each other.
        return "NCCL, over PCIe" if self.peer_to_peer else "NCCL, through host memory"

    def matches(self, name: str) -> bool:
        """Whether nvidia-smi's `name` is this GPU."""
        return re.fullmatch(self.pattern, _short(name), flags=re.IGNORECASE) is not None


def _rows() -> tuple[Gpu, ...]:
    with FILE.open(encoding="utf-8", newline="") as lines:
        return tuple(_row(row) for row in csv.DictReader(lines))


def _row(row: dict[str, str]) -> Gpu:
    return Gpu(
        key=row["key"],
        pattern=row["pattern"],
        memory_gib=float(row["memory_gib"]),
        bandwidth_gb_s=float(row["bandwidth_gb_s"]),
        tensor_tflops=float(row["tensor_tflops"]),
        nvlink_gb_s=float(row["nvlink_gb_s"]),
        peer_to_peer=row["peer_to_peer"] == "yes",
        quirks=row["quirks"],
        source=row["source"],
    )


GPUS = _rows()


def keys() -> tuple[str, ...]:
    """The names by which a GPU can be asked for."""
    return tuple(gpu.key for gpu in GPUS)


def find(name: str) -> Gpu:
    """The GPU of a key or of an nvidia-smi name. Raises StudyError, suggesting the nearest key, if there is none."""
    for gpu in GPUS:
        if gpu.key == name.strip().lower() or gpu.matches(name):
            return gpu
    raise StudyError(f"unknown GPU {name!r}: {hint(name, keys())}")


def _short(name: str) -> str:
    return re.sub(r"^(NVIDIA )?(GeForce )?", "", name.strip(), flags=re.IGNORECASE)


def on_host(name: str, memory_mib: float) -> Gpu:
    """The host's GPU from the name and total memory that nvidia-smi reports; a GPU not listed is made of just these."""
    reported_gib = memory_mib / MIB_PER_GIB
    for gpu in GPUS:
        if gpu.matches(name) and abs(reported_gib / gpu.memory_gib - 1) <= MEMORY_TOLERANCE:
            return gpu
    key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return Gpu(
        key=key,
        pattern=re.escape(_short(name)),
        memory_gib=round(reported_gib * USABLE_SHARE, 1),
        bandwidth_gb_s=0,
        tensor_tflops=0,
        nvlink_gb_s=0,
        peer_to_peer=False,
        quirks="",
        source=f"nvidia-smi: {name}, {memory_mib:.0f} MiB",
    )
