"""GPU samples: taken while entered, by a stand-in nvidia-smi, and summed up by hand."""

import os
import time
from pathlib import Path

import psutil
import pytest

from launch import monitor
from launch.monitor import Monitor, read, summary

LINES = """\
2026/11/21 16:25:26.123, 0, 1980, 3201, 650.10, 700.00, 61, 98, 0x0000000000000004
2026/11/21 16:25:26.124, 1, 1755, 3201, [N/A], 700.00, 70, 97, 0x0000000000000001
2026/11/21 16:25:27.123, 0, 1700, 3201, 699.90, 700.00, 63, 99, 0x0000000000000024
2026/11/21 16:25:27.1"""


def samples(folder: Path) -> list[dict[str, str]]:
    (folder / "gpu.csv").write_text(LINES)
    return read(folder / "gpu.csv")


def test_each_gpu_is_summed_up_by_itself(tmp_path: Path) -> None:
    first, second = summary(samples(tmp_path))
    assert (first["index"], first["samples_count"], second["index"], second["samples_count"]) == (0, 2, 1, 1)
    assert first["sm_mhz"] == {"low": 1700, "median": 1840, "high": 1980}
    assert first["power_w"] == {"low": 650.1, "median": 675.0, "high": 699.9}


def test_what_slowed_a_gpu_is_the_share_of_its_samples(tmp_path: Path) -> None:
    first, second = summary(samples(tmp_path))
    assert first["slowed_ratio"] == {"software power cap": 1.0, "software thermal": 0.5}
    assert second["slowed_ratio"] == {}, "idle is no slowing"


def test_a_quantity_that_a_gpu_does_not_give_is_left_out(tmp_path: Path) -> None:
    assert "power_w" not in summary(samples(tmp_path))[1]


def test_no_file_is_no_sample(tmp_path: Path) -> None:
    assert summary(read(tmp_path / "gpu.csv")) == []


def test_samples_come_while_it_is_entered_and_nothing_runs_after(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{root / 'tests' / 'standin'}{os.pathsep}{os.environ['PATH']}")
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt), Monitor(tmp_path / "gpu.csv", [0, 1]):
        deadline = time.monotonic() + 10
        while len(read(tmp_path / "gpu.csv")) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert [row["index"] for row in read(tmp_path / "gpu.csv")[:2]] == ["0", "1"]
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_a_host_without_nvidia_smi_is_measured_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Monitor(tmp_path / "gpu.csv", [0]):
        pass
    assert read(tmp_path / "gpu.csv") == []
    assert monitor.summary([]) == []
