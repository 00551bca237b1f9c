"""What the analysis says of programs whose truth is known, recorded by nsys on a real GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis import summary
from launch import nsys

pytestmark = pytest.mark.gpu
STEPS, KERNELS = 80, 40
PROGRAM = Path(__file__).with_name("program.py")
# At the 1.5 to 2 GHz of a data centre GPU: about 8 us, far less than a host takes to launch the next; and 100 us.
SHORT, LONG = 15_000, 180_000


def _recorded(folder: Path, *options: str, tracing: str = "node") -> tuple[dict[str, Any], float]:
    """The summary of the trace of a run, and the time of a step as CUDA events saw it."""
    command = [sys.executable, str(PROGRAM), f"--steps={STEPS}", f"--kernels={KERNELS}", *options]
    tool, output = os.environ.get("NSYS", "nsys"), folder / "trace"
    profile = nsys.profile(command, nsys=tool, output=output, tracing=tracing, windows=1)
    ran = subprocess.run(profile, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    exported = folder / "trace.sqlite"
    subprocess.run(nsys.export(nsys.reports(output, 1)[0], exported, nsys=tool), check=True, capture_output=True)
    seen = next(json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"step_ms"'))
    return summary.summarise(exported), seen["step_ms"]


def _agrees(found: dict[str, Any], step_ms: float) -> None:
    assert found["iter_ms"]["median"] == pytest.approx(step_ms, rel=0.03)
    assert found["iterations"] >= STEPS - 8
    assert found["unjoined_operations"] == 0


def test_launches_far_apart_make_a_step_wait_for_launches(tmp_path: Path) -> None:
    found, step_ms = _recorded(tmp_path, f"--cycles={SHORT}", "--pause-us=30")
    _agrees(found, step_ms)
    rank, path = found["ranks"][0], found["critical_path_us"]
    assert found["graphs"] == "off"
    # One operation more than the kernels that spin, or two: argmax may take a second kernel.
    assert rank["operations"] == rank["launches"] and rank["operations"] - KERNELS in (1, 2)
    assert path["launch_idle"] > 0.6 * path["wall"]
    assert rank["t_launch_us"] > 30


def test_long_kernels_wait_for_nothing(tmp_path: Path) -> None:
    found, step_ms = _recorded(tmp_path, f"--cycles={LONG}", "--pause-us=0")
    _agrees(found, step_ms)
    path = found["critical_path_us"]
    assert path["launch_idle"] < 0.01 * path["wall"]
    assert path["compute"] > 0.97 * path["wall"]


def test_a_graph_is_one_launch_and_nothing_in_it_waits_for_launches(tmp_path: Path) -> None:
    found, step_ms = _recorded(tmp_path, f"--cycles={SHORT}", "--pause-us=0", "--graph")
    _agrees(found, step_ms)
    rank, path = found["ranks"][0], found["critical_path_us"]
    assert (found["graphs"], found["graph_tracing"]) == ("on", "node")
    assert (rank["launches"], rank["graph_launches"]) == (1, 1)
    assert rank["operations"] - KERNELS in (1, 2)
    # Between the replays of a queue that is never empty there is a little idle time, whose cause is no late launch.
    assert path["launch_idle"] < 0.01 * path["wall"]
    assert path["compute"] > 0.9 * path["wall"]


def test_a_graph_recorded_as_a_whole_has_the_same_period(tmp_path: Path) -> None:
    found, step_ms = _recorded(tmp_path, f"--cycles={SHORT}", "--pause-us=0", "--graph", tracing="graph")
    assert found["graph_tracing"] == "graph"
    assert found["iter_ms"]["median"] == pytest.approx(step_ms, rel=0.03)
    assert found["ranks"][0]["graph_launches"] == 1
