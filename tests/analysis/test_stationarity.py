"""Whether the iteration time stays what it was: on sequences whose truth is chosen, and on real traces."""

from pathlib import Path

import numpy as np
import pytest

from analysis import extract, iterations
from analysis.stationarity import LEAST, find, settling
from tests import traces

WINDOWS = 200


def _noise(count: int, seed: int, sd: float = 0.02) -> np.ndarray:
    return 1 + sd * np.random.default_rng(seed).standard_normal(count)


def _of_trace(path: Path) -> dict:
    windows = iterations.find(extract.read(path)).iterations
    per_step = ((windows["end_ns"] - windows["start_ns"]) / 1e6).groupby(windows["iteration"]).median()
    return find(per_step.to_numpy(), per_step.index.to_numpy())


@pytest.mark.parametrize("count", [18, 70, 500])
def test_in_constant_time_with_noise_nothing_is_found(count: int) -> None:
    found = [find(5 * _noise(count, seed)) for seed in range(WINDOWS if count < 100 else 40)]
    assert sum(not each["stationary"] for each in found) <= 0.02 * len(found)
    assert sum(bool(each["bursts"]) for each in found) <= 0.02 * len(found)


def test_neighbours_that_are_alike_count_as_fewer() -> None:
    findings = 0
    for seed in range(WINDOWS):
        steps = np.random.default_rng(seed).standard_normal(70)
        for at in range(1, 70):
            steps[at] = 0.7 * steps[at - 1] + np.sqrt(1 - 0.7**2) * steps[at]
        findings += not find(5 * (1 + 0.05 * steps))["stationary"]
    assert findings <= 0.1 * WINDOWS


def test_times_that_never_differ_are_stationary() -> None:
    assert find(np.full(70, 5.0)) == {
        "stationary": True, "settling_iterations": 0, "drift_ratio": 0.0, "change_points": [], "bursts": [],
        "reason": None,
    }  # fmt: skip


@pytest.mark.parametrize("at", [20, 35, 60])
@pytest.mark.parametrize("change", [0.8, 1.2])
def test_a_step_is_found_within_an_iteration(at: int, change: float) -> None:
    for seed in range(20):
        found = find(5 * _noise(80, seed) * np.where(np.arange(80) < at, 1, change))
        assert len(found["change_points"]) == 1
        assert found["change_points"][0]["iteration"] == pytest.approx(at, abs=1)
        assert found["change_points"][0]["before_ms"] == pytest.approx(5, rel=0.02)
        assert found["change_points"][0]["after_ms"] == pytest.approx(5 * change, rel=0.02)
        assert "the level changes at iteration" in found["reason"]


def test_two_steps_are_two_changes() -> None:
    level = np.repeat([5.0, 8.0, 5.0], 30)
    assert [change["iteration"] for change in find(level * _noise(90, 1))["change_points"]] == [30, 60]


def test_a_step_of_five_percent_matters() -> None:
    found = find(np.repeat([5.0, 5.25], 40) * _noise(80, 1, sd=0.001))
    assert [change["iteration"] for change in found["change_points"]] == [40]
    assert not found["stationary"]


def test_a_step_too_small_to_matter_is_none() -> None:
    level = np.repeat([5.0, 5.1], 40)
    found = find(level * _noise(80, 1, sd=0.001))
    assert (found["stationary"], found["change_points"]) == (True, [])


def test_a_slow_drift_is_a_drift_and_no_row_of_steps() -> None:
    for seed in range(20):
        found = find(5 * _noise(80, seed) * np.linspace(1, 1.2, 80))
        assert found["drift_ratio"] == pytest.approx(0.2, abs=0.03)
        assert found["change_points"] == []
        assert "drifts by +" in found["reason"]


def test_bursts_are_found_whole_and_hide_nothing() -> None:
    times = 5 * _noise(80, 3)
    times[[20, 21, 22, 23, 50]] = [9, 9.5, 5, 9, 12]  # one usual iteration within the first burst
    found = find(times, np.arange(5, 85))
    assert found["bursts"] == [
        {"iteration": 25, "length": 4, "iter_ms": 9.0},
        {"iteration": 55, "length": 1, "iter_ms": 12.0},
    ]
    assert found["stationary"]


def test_a_window_full_of_bursts_is_not_stationary() -> None:
    times = 5 * _noise(80, 3)
    times[::8] = 9
    times[1::8] = 9
    found = find(times)
    assert (len(found["bursts"]), found["reason"]) == (10, "25% of the iterations are in bursts")


def test_iterations_have_the_numbers_given() -> None:
    found = find(np.repeat([5.0, 8.0], 30), range(100, 160))
    assert found["change_points"] == [{"iteration": 130, "before_ms": 5.0, "after_ms": 8.0}]


@pytest.mark.parametrize("count", [0, 1, LEAST - 1])
def test_of_few_iterations_nothing_is_told(count: int) -> None:
    found = find(np.full(count, 5.0))
    assert not found["stationary"]
    assert found["drift_ratio"] is None
    assert found["reason"] == f"{count} iterations are too few to tell, {LEAST} are needed"


@pytest.mark.parametrize(
    ("iter_ms", "settled_after"),
    [
        pytest.param([5.0] * 20, 0, id="steady"),
        pytest.param([9.0] * 6 + [5.0] * 20, 4, id="slow at first: the median of five counts"),
        pytest.param([5.0] * 10 + [8.0] + [5.0] * 10, 0, id="a single burst"),
        pytest.param([5.5] * 6 + [5.0] * 20, 4, id="a tenth slower at first"),
        pytest.param([5.2] * 6 + [5.0] * 20, 0, id="4 % slower at first"),
    ],
)
def test_settling(iter_ms: list[float], settled_after: int) -> None:
    assert settling(np.array(iter_ms)) == settled_after


def test_a_slow_start_is_told_and_how_long_it_takes() -> None:
    found = find(np.concatenate([np.linspace(8, 5.5, 14), np.full(50, 5.0)]) * _noise(64, 1))
    assert not found["stationary"]
    assert 8 <= found["settling_iterations"] <= 14
    assert "to settle" in found["reason"]


def test_a_run_on_eight_gpus_with_graphs_is_not_stationary_and_on_one_is() -> None:
    assert not _of_trace(traces.recorded("vllm", 8, "on"))["stationary"]
    for engine in ("vllm", "sglang"):
        assert _of_trace(traces.recorded(engine, 1, "on"))["reason"] is None


def test_a_host_that_becomes_faster_within_a_real_window_is_seen() -> None:
    found = _of_trace(traces.served("sglang_off_tp1"))
    assert [change["iteration"] for change in found["change_points"]] == [45]
    assert found["change_points"][0]["before_ms"] == pytest.approx(34.9, abs=0.1)
    assert found["change_points"][0]["after_ms"] == pytest.approx(19.0, abs=0.2)
