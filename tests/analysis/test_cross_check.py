"""The iteration time by other marks than the anchor."""

from pathlib import Path

import pytest

from analysis import cross_check, extract, iterations
from tests import traces
from tests.traces import Sqlite


def _find(trace: Sqlite, folder: Path) -> dict:
    return cross_check.find(iterations.find(extract.read(trace.write(folder / "trace.sqlite"))))


def test_ranges_of_the_engine_come_first(tmp_path: Path) -> None:
    trace = traces.decode(graphs=True, steps=12)
    for step in range(12):
        begin = 1000 + 100 * step - 15
        trace.nvtx("execute_context_0(0)_generation_1(1)", begin, begin + 30, pid=101)
    assert _find(trace, tmp_path) == {"by": "nvtx", "iter_ms": 0.0001, "difference_ratio": 0}


def test_then_launches_of_graphs(tmp_path: Path) -> None:
    found = _find(traces.decode(graphs=True, steps=12), tmp_path)
    assert found == {"by": "graph launches", "iter_ms": 0.0001, "difference_ratio": 0}


def test_then_copies_of_the_sampled_tokens(tmp_path: Path) -> None:
    trace = traces.decode(steps=12)
    for step in range(12):
        trace.copy(1091 + 100 * step, 1093 + 100 * step, at=1080 + 100 * step, pid=101, stream=5)
    assert _find(trace, tmp_path) == {"by": "sampled-token copy", "iter_ms": 0.0001, "difference_ratio": 0}


def test_of_several_copies_in_a_step_the_first_counts(tmp_path: Path) -> None:
    trace = traces.decode(steps=12)
    for step in range(12):
        at = 1000 + 100 * step
        trace.copy(at + 52, at + 54, at=at + 40, pid=101, stream=5)
        trace.copy(at + 56 + 2 * step, at + 57 + 2 * step, at=at + 41, pid=101, stream=5)
    assert _find(trace, tmp_path) == {"by": "sampled-token copy", "iter_ms": 0.0001, "difference_ratio": 0}


def test_a_trace_with_no_other_mark_is_not_checked(tmp_path: Path) -> None:
    assert _find(traces.decode(steps=12), tmp_path) == {"by": None, "iter_ms": None, "difference_ratio": None}


def test_a_mark_at_another_pace_shows(tmp_path: Path) -> None:
    trace = traces.decode(steps=20)
    for step in range(20):  # 90 apart where steps are 100 apart, all within their steps for a while
        trace.copy(2085 - 90 * step, 2087 - 90 * step, at=0, pid=101, stream=5)
    assert _find(trace, tmp_path)["difference_ratio"] == pytest.approx(10 / 90, abs=1e-3)


def test_a_mark_in_only_some_steps_counts_where_it_is_in_two_that_follow(tmp_path: Path) -> None:
    trace = traces.decode(steps=30)
    for step in range(30):
        if step % 5:
            trace.copy(1091 + 100 * step, 1093 + 100 * step, at=1080 + 100 * step, pid=101, stream=5)
    assert _find(trace, tmp_path)["iter_ms"] == 0.0001


def test_steps_that_do_not_follow_each_other_are_no_pair(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for batch in [4, 4, 3] * 5 + [4, 3] * 12:
        now = traces.forward(trace, now, tokens=batch, sequences=batch, graphs="full")
    assert _find(trace, tmp_path) == {"by": "graph launches", "iter_ms": 0.00023, "difference_ratio": 0}


@pytest.mark.parametrize("graphs", ["on", "off"])
@pytest.mark.parametrize(("engine", "tp"), [("vllm", 1), ("vllm", 4), ("vllm", 8), ("sglang", 1), ("sglang", 8)])
def test_real_traces_agree_with_marks_of_the_host(engine: str, tp: int, graphs: str) -> None:
    found = cross_check.find(traces.found(traces.recorded(engine, tp, graphs)))
    expected = "nvtx" if engine == "vllm" else "graph launches" if graphs == "on" else "sampled-token copy"
    assert found["by"] == expected
    assert abs(found["difference_ratio"]) < 0.045


@pytest.mark.parametrize("name", ["vllm_on_tp2", "vllm_piecewise_tp1", "sglang_off_tp1", "sglang_on_tp2"])
def test_served_traces_agree_where_decode_steps_follow_each_other(name: str) -> None:
    found = cross_check.find(traces.found(traces.served(name)))
    assert abs(found["difference_ratio"]) < 0.02
