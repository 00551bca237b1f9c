"""What GPUs are able to do at most, by their makers' figures: for iterations on GPUs that nobody traced."""

import re
from dataclasses import dataclass

from analysis.errors import TraceError


@dataclass(frozen=True, kw_only=True)
class Peak:
    """One kind of GPU: memory bandwidth in 10^9 bytes/s, dense bf16 products in 10^12 operations/s, and its link.

    `collective` is how long a small collective takes, as a ratio to recorded ones over NVLink: value, low, high.
    """

    key: str
    pattern: str
    bandwidth_gb_s: float
    tensor_tflops: float
    link: str
    collective: tuple[float, float, float]
    source: str


_NVLINK, _SLOWER_NVLINK, _PCIE = (1.0, 0.8, 1.5), (1.3, 1.0, 2.5), (7.0, 3.0, 20.0)
PEAKS = (
    Peak(key="h200", pattern="H200", bandwidth_gb_s=4800, tensor_tflops=989, link="NVLink 900 GB/s",
         collective=_NVLINK, source="NVIDIA H200 datasheet, SXM"),
    Peak(key="h100", pattern="H100 80GB HBM3", bandwidth_gb_s=3350, tensor_tflops=989, link="NVLink 900 GB/s",
         collective=_NVLINK, source="NVIDIA H100 datasheet, SXM"),
    Peak(key="a800", pattern="A800-SXM4-80GB", bandwidth_gb_s=2039, tensor_tflops=312, link="NVLink 400 GB/s",
         collective=_SLOWER_NVLINK, source="NVIDIA A800 datasheet, SXM"),
    Peak(key="rtx4090", pattern="RTX 4090", bandwidth_gb_s=1008, tensor_tflops=165, link="PCIe 4.0, through the host",
         collective=_PCIE, source="NVIDIA Ada whitepaper"),
)  # fmt: skip


def find(name: str) -> Peak:
    """The GPU of a key, or of a name that a trace holds. Raises TraceError where its figures are not known."""
    short = re.sub(r"^(NVIDIA )?(GeForce )?", "", name.strip(), flags=re.IGNORECASE)
    for peak in PEAKS:
        if peak.key == short.lower() or re.fullmatch(peak.pattern, short, flags=re.IGNORECASE):
            return peak
    known = ", ".join(peak.key for peak in PEAKS)
    raise TraceError(f"no figures of the GPU {name!r}; expected one of {known}; add it to analysis/hardware.py")
