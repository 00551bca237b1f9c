"""The page's columns say of a trace what the trace says: where each thing ran, why it waited, what launched it."""

from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis import tables, timeline_data
from tests import traces
from tests.analysis.packs import opened
from tests.traces import Sqlite


def _half(folder: Path, trace: Sqlite, most: int = 1) -> dict[str, Any]:
    return timeline_data.half(analysis.read(trace.write(folder / "made.sqlite")), most)


def _names(half: dict[str, Any], what: str) -> list[str]:
    return [half["names"][number][0] for number in half[what]["name"]]


def test_a_step_is_told_from_the_begin_of_its_iteration(tmp_path: Path) -> None:
    half = _half(tmp_path, traces.decode(steps=12), most=2)
    assert half["rows"] == [["host", 0, 1], ["gpu", 0, 3]]
    assert half["iterations"] == [[0, 5, 0, 100], [0, 6, 100, 200]]
    assert half["iteration_ns"] == 100
    found = half["operations"]
    assert _names(half, "operations") == ["gemm", "norm", "gemm", "sample"] * 2
    assert list(accumulate(found["start"])) == [10, 50, 70, 90, 110, 150, 170, 190]
    assert found["duration"] == [40, 10, 20, 10] * 2
    assert found["gap"] == [10, 0, 10, 0] * 2
    assert found["iteration"] == [5] * 4 + [6] * 4
    assert [timeline_data.CLASSES[code] for code in found["class"]] == ["gemm", "other", "gemm", "other"] * 2


def test_each_operation_names_the_call_that_launched_it(tmp_path: Path) -> None:
    half = _half(tmp_path, traces.decode(steps=12))
    calls = half["calls"]
    starts = list(accumulate(calls["start"]))
    assert [starts[call] for call in half["operations"]["call"]] == [-10, -5, 0, 5]
    assert {timeline_data.CALL_CLASSES[code] for code in calls["class"]} == {"launch"}


def test_all_nodes_of_a_graph_name_its_one_launch(tmp_path: Path) -> None:
    half = _half(tmp_path, traces.decode(steps=12, graphs=True))
    operations = half["operations"]
    assert len(set(operations["call"])) == 1 and operations["call"][0] >= 0
    assert [tables.CAUSES[code] for code in operations["cause"][1:]] == ["none", "graph", "none"]


def test_an_operation_without_a_recorded_call_names_none(tmp_path: Path) -> None:
    trace = traces.decode(steps=12, graphs=True)
    for number, kernel in enumerate(trace.tables[traces.KERNEL]):
        if number % 4 == 1:
            kernel["correlationId"] = 10_000 + number
    assert -1 in _half(tmp_path, trace)["operations"]["call"]


def test_what_a_rank_waited_in_a_collective_is_told(tmp_path: Path) -> None:
    trace = traces.decode(steps=12, ranks=2)
    name = trace.text("all_reduce")
    for kernel in trace.tables[traces.KERNEL]:
        if kernel["demangledName"] == name and kernel["deviceId"] == 0:
            kernel["start"] -= 5  # type: ignore[operator]
    half = _half(tmp_path, trace)
    assert half["rows"] == [["host", 0, 1], ["gpu", 0, 3], ["host", 1, 1], ["gpu", 1, 3]]
    waited = [
        (half["rows"][row][1], wait)
        for row, wait, kind in zip(*(half["operations"][name] for name in ("row", "wait", "class")), strict=True)
        if timeline_data.CLASSES[kind] == "collective"
    ]
    assert waited == [(0, 5), (1, 0)]


def test_a_blocking_call_is_told_apart_and_a_thread_that_launches_nothing_left_out(tmp_path: Path) -> None:
    trace = traces.decode(steps=12)
    for step in range(12):
        trace.call("cudaStreamSynchronize_v3020", 1080 + 100 * step, 1085 + 100 * step, pid=101)
        trace.call("cudaEventQuery_v3020", 1080 + 100 * step, 1082 + 100 * step, pid=101, thread=2)
    half = _half(tmp_path, trace)
    assert [row for row in half["rows"] if row[0] == "host"] == [["host", 0, 1]]
    blocking = timeline_data.CALL_CLASSES.index("wait")
    names = [name for name, kind in zip(_names(half, "calls"), half["calls"]["class"], strict=True) if kind == blocking]
    assert set(names) == {"cudaStreamSynchronize"}


def _pair(folder: Path) -> dict[str, Any]:
    """Steps of 200 ns without graphs, of 100 ns with."""
    off = traces.decode(steps=12, step_ns=200).write(folder / "off.sqlite")
    on = traces.decode(steps=16, graphs=True).write(folder / "on.sqlite")
    packed = timeline_data.pair(off, on)
    assert packed is not None
    return opened(packed)


def test_of_graphs_on_as_many_iterations_are_shown_as_run_in_the_time_of_those_of_off(tmp_path: Path) -> None:
    assert [len(half["iterations"]) for half in _pair(tmp_path).values()] == [2, 4]


def test_a_page_is_not_given_more_operations_than_it_can_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_data, "MOST_OPERATIONS", 13)
    assert [len(half["iterations"]) for half in _pair(tmp_path).values()] == [2, 3]


def test_of_long_iterations_without_graphs_one_alone_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_data, "OFF_OPERATIONS", 7)
    assert [len(half["iterations"]) for half in _pair(tmp_path).values()] == [1, 2]


def test_a_pair_of_which_one_cannot_be_read_is_none(tmp_path: Path) -> None:
    off = traces.decode(steps=12).write(tmp_path / "off.sqlite")
    (tmp_path / "on.sqlite").write_text("no trace")
    assert timeline_data.pair(off, tmp_path / "on.sqlite") is None
