"""The GPUs a study can be planned for, and how the host's own GPU is recognised."""

import re
from dataclasses import dataclass

from study.errors import StudyError
from study.words import hint

MIB_PER_GIB = 1024
# What CUDA hands out is 0.5-2 % less than nvidia-smi's total; the lower figure is the safe one.
USABLE_SHARE = 0.98
# Beyond this the card is another variant of the same name (a 4090 with 48 GB, a slice of a card).
MEMORY_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of GPU. `pattern` matches the whole of nvidia-smi's name, less NVIDIA and GeForce.

    `memory_gib` is what CUDA can allocate; `bandwidth_gb_s` the peak of device memory (10^9 bytes; 0 if unknown);
    `nvlink` whether the GPUs of a host are normally joined by NVLink rather than by PCIe alone.
    """

    key: str
    pattern: str
    memory_gib: float
    bandwidth_gb_s: float
    nvlink: bool
    source: str

    def matches(self, name: str) -> bool:
        """Whether nvidia-smi's `name` is this GPU."""
        return re.fullmatch(self.pattern, _short(name), flags=re.IGNORECASE) is not None


_ROWS = (
    # key, pattern, memory_gib, bandwidth_gb_s, nvlink, source
    ("rtx3090", r"RTX 3090", 23.6, 936, False, "NVIDIA product page: 24 GB GDDR6X, 936 GB/s; NVLink only in pairs"),
    ("rtx4090", r"RTX 4090( D)?", 23.6, 1008, False, "NVIDIA Ada whitepaper: 24 GB GDDR6X, 1008 GB/s, no NVLink"),
    ("rtx5090", r"RTX 5090", 31.3, 1792, False, "NVIDIA product page: 32 GB GDDR7, 1792 GB/s, no NVLink"),
    ("l4", r"L4", 22.0, 300, False, "NVIDIA L4 datasheet: 24 GB GDDR6, 300 GB/s"),
    ("l40s", r"L40S", 44.4, 864, False, "NVIDIA L40S datasheet: 48 GB GDDR6 with ECC, 864 GB/s"),
    ("a10", r"A10", 22.0, 600, False, "NVIDIA A10 datasheet: 24 GB GDDR6, 600 GB/s"),
    ("a100-40gb", r"A100-SXM4-40GB", 39.4, 1555, True, "NVIDIA A100 datasheet, SXM: 40 GB HBM2, 1555 GB/s, NVLink"),
    ("a100-80gb", r"A100-SXM4-80GB", 79.2, 2039, True, "NVIDIA A100 datasheet, SXM: 80 GB HBM2e, 2039 GB/s, NVLink"),
    ("a100-pcie", r"A100 80GB PCIe", 79.2, 1935, False, "NVIDIA A100 datasheet, PCIe: 80 GB HBM2e, 1935 GB/s"),
    ("a800", r"A800-SXM4-80GB", 79.3, 2039, True, "NVIDIA A800 datasheet, SXM: as the A100 80 GB, NVLink 400 GB/s"),
    ("a800-pcie", r"A800 80GB PCIe", 79.3, 1935, False, "NVIDIA A800 datasheet, PCIe: 80 GB HBM2e, 1935 GB/s"),
    ("h100", r"H100 80GB HBM3", 79.1, 3350, True, "NVIDIA H100 datasheet, SXM: 80 GB HBM3, 3350 GB/s, NVLink 900 GB/s"),
    ("h100-pcie", r"H100 PCIe", 79.1, 2000, False, "NVIDIA H100 datasheet, PCIe: 80 GB HBM2e, 2000 GB/s"),
    ("h100-nvl", r"H100 NVL", 93.0, 3900, False, "NVIDIA H100 datasheet, NVL: 94 GB HBM3, 3900 GB/s; NVLink in pairs"),
    ("h200", r"H200", 139.8, 4800, True, "NVIDIA H200 datasheet, SXM: 141 GB HBM3e, 4800 GB/s, NVLink 900 GB/s"),
    ("b200", r"B200", 178.3, 8000, True, "NVIDIA DGX B200 datasheet: 180 GB HBM3e, 8000 GB/s, NVLink 1800 GB/s"),
)
GPUS = tuple(
    Gpu(key=key, pattern=pattern, memory_gib=memory, bandwidth_gb_s=bandwidth, nvlink=nvlink, source=source)
    for key, pattern, memory, bandwidth, nvlink, source in _ROWS
)


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
        nvlink=False,
        source=f"nvidia-smi: {name}, {memory_mib:.0f} MiB",
    )
