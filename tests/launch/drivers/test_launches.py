"""The calibration's driver with a torch that takes a known time for each launch."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launch.drivers import launches


class Torch:
    """As much of torch as the driver asks for; each operation takes the clock `launch_us` further."""

    __version__ = "9.9"
    version = SimpleNamespace(cuda="13.0")
    bfloat16 = "bf16"

    def __init__(self, launch_us: float) -> None:
        self.now_s, self._launch_us, self.waited = 0.0, launch_us, 0
        self.cuda = SimpleNamespace(synchronize=self._wait, get_device_name=lambda number: f"GPU {number}")
        self.nn = SimpleNamespace(functional=SimpleNamespace(silu=self._run))
        self.rsqrt = self._run

    def _wait(self) -> None:
        self.waited += 1
        # The GPU takes long: it must not count.
        self.now_s += 1.0

    def _run(self, *_: Any) -> None:
        self.now_s += self._launch_us / 1e6

    def ones(self, *_: Any, **where: str) -> "Tensor":
        assert where["device"] == "cuda"
        return Tensor(self)


class Tensor:
    def __init__(self, torch: Torch) -> None:
        self._torch = torch

    def __add__(self, other: "Tensor") -> None:
        self._torch._run()

    __mul__ = __add__


def test_a_round_is_the_hosts_time_for_each_launch() -> None:
    torch = Torch(launch_us=7.0)
    found = launches.measured(torch, lambda: torch.now_s)  # type: ignore[arg-type]
    assert found["rounds_us"] == pytest.approx([7.0] * launches.ROUNDS)
    assert (found["torch"], found["cuda"], found["gpu"]) == ("9.9", "13.0", "GPU 0")
    assert torch.waited == launches.ROUNDS + launches.WARMUP_ROUNDS + 1


def test_a_round_fits_into_the_queue_and_is_whole() -> None:
    assert launches.LAUNCHES < 1000
    assert launches.LAUNCHES % 4 == 0


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("class cuda:\n    is_available = staticmethod(lambda: False)\n")
    out = tmp_path / "out.json"
    command = [sys.executable, launches.__file__, "--out", str(out)]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode == 1
    assert out.read_text() == '{"error": "torch sees no GPU"}'
