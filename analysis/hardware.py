"""What GPUs are able to do at most, by their makers (data/gpus.csv): for iterations on GPUs that nobody traced."""

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from analysis.errors import TraceError

FILE = Path(__file__).resolve().parents[1] / "data" / "gpus.csv"
COMPARED = ("h200", "h100", "a800", "rtx4090")
"""The GPUs that a recording is set beside where nobody names one."""
# How long a small collective takes, as a ratio to recorded ones over NVLink at 900 GB/s: value, low, high.
_NVLINK, _SLOWER_NVLINK, _PCIE = (1.0, 0.8, 1.5), (1.3, 1.0, 2.5), (7.0, 3.0, 20.0)
_FULL_NVLINK_GB_S = 900.0


@dataclass(frozen=True, kw_only=True)
class Peak:
    """One kind of GPU: memory bandwidth in 10^9 bytes/s, dense bf16 products in 10^12 operations/s, and its link.

    `collective` is how long a small collective takes, as a ratio to recorded ones over NVLink: value, low, high.
    """

    key: str
    pattern: str
    bandwidth_gb_s: float
    tensor_tflops: float
    nvlink_gb_s: float
    source: str

    @property
    def link(self) -> str:
        """What joins the GPUs of a host."""
        return f"NVLink {self.nvlink_gb_s:.0f} GB/s" if self.nvlink_gb_s else "PCIe"

    @property
    def collective(self) -> tuple[float, float, float]:
        """See above."""
        if not self.nvlink_gb_s:
            return _PCIE
        return _NVLINK if self.nvlink_gb_s >= _FULL_NVLINK_GB_S else _SLOWER_NVLINK


@lru_cache
def peaks() -> tuple[Peak, ...]:
    """Every GPU whose figures are known, in the order of the file."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        return tuple(_peak(row) for row in csv.DictReader(lines))


def _peak(row: dict[str, str]) -> Peak:
    names = ("bandwidth_gb_s", "tensor_tflops", "nvlink_gb_s")
    figures = {name: float(row[name]) for name in names}
    return Peak(key=row["key"], pattern=row["pattern"], source=row["source"], **figures)


def find(name: str) -> Peak:
    """The GPU of a key, or of a name that a trace holds. Raises TraceError where its figures are not known."""
    short = re.sub(r"^(NVIDIA )?(GeForce )?", "", name.strip(), flags=re.IGNORECASE)
    for peak in peaks():
        if peak.key == short.lower() or re.fullmatch(peak.pattern, short, flags=re.IGNORECASE):
            return peak
    known = ", ".join(peak.key for peak in peaks())
    raise TraceError(f"no figures of the GPU {name!r}; expected one of {known}; add it to data/gpus.csv")
