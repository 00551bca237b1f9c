"""What the GPUs do while a case is measured: clocks, power, temperature and what slowed them, once a second."""

import contextlib
import csv
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

COLUMNS = (
    "time", "index", "sm_mhz", "memory_mhz", "power_w", "power_limit_w", "temperature_c", "utilisation_percent",
    "slowed_by",
)  # fmt: skip
# nvidia-smi takes a second or two to start on a host with eight GPUs.
FIRST_S, POLL_S = 5.0, 0.01
_FIELDS = (
    "timestamp,index,clocks.sm,clocks.mem,power.draw,power.limit,temperature.gpu,utilization.gpu,"
    # The old name of clocks_event_reasons, which every driver still takes.
    "clocks_throttle_reasons.active"
)
# Bits of the last column by NVML's names. Idle (1) is no slowing; the display's (256) is no server's.
REASONS = {
    0x2: "application clocks",
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}


class Monitor:
    """Samples GPUs into a CSV file for as long as it is entered; where nvidia-smi does not run the file stays empty."""

    def __init__(self, file: Path, gpus: Sequence[int]) -> None:
        """Name the file and the GPUs, by nvidia-smi's numbers."""
        self._file, self._gpus = file, gpus
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Monitor":
        """Start sampling."""
        which = ",".join(map(str, self._gpus))
        argv = ["nvidia-smi", f"--id={which}", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits", "--loop=1"]
        with self._file.open("wb") as sink, contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.DEVNULL, start_new_session=True
            )
        self._await_first()
        return self

    def _await_first(self) -> None:
        """Wait for the state before the measurement, so that the shortest has a sample."""
        deadline = time.monotonic() + FIRST_S
        while self._process and self._process.poll() is None and time.monotonic() < deadline:
            if self._file.stat().st_size:
                return
            time.sleep(POLL_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sampling."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def read(file: Path) -> list[dict[str, str]]:
    """The samples, in COLUMNS; a line that was cut short is left out."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows if len(row) == len(COLUMNS)]


def summary(samples: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """For each GPU its lowest, median and highest of every quantity, and the share of samples that each reason slowed.

    Keys: index, samples_count, a {low, median, high} for each quantity that was given, slowed_ratio {reason: share}.
    """
    return [
        _of_gpu(index, [row for row in samples if row["index"] == index])
        for index in sorted({row["index"] for row in samples}, key=_number)
    ]


def _of_gpu(index: str, rows: Sequence[dict[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {"index": int(_number(index)), "samples_count": len(rows)}
    for name in COLUMNS[2:-1]:
        values = [value for row in rows if (value := _number(row[name])) >= 0]
        if values:
            found[name] = {"low": min(values), "median": statistics.median(values), "high": max(values)}
    masks = [_mask(row["slowed_by"]) for row in rows]
    shares = {reason: sum(bool(mask & bit) for mask in masks) / len(masks) for bit, reason in REASONS.items()}
    return {**found, "slowed_ratio": {reason: round(share, 3) for reason, share in shares.items() if share}}


def _number(text: str) -> float:
    """A number, or -1 for [N/A]."""
    try:
        return float(text)
    except ValueError:
        return -1.0


def _mask(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
