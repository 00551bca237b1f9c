"""One trace in one dictionary."""

import json
from pathlib import Path

import pytest

from analysis import extract, iterations
from analysis.summary import gaps, summarise
from tests import traces
from tests.traces import Sqlite

RANK_KEYS = (
    "rank device iterations iter_ms busy_ms idle_ms idle_ratio gap_us overlap_ratio operations launches graph_launches "
    "graph_launches_range launch_call_us useful_ms wait_ms idle_plus_wait_ratio host_ms t_launch_us lead_us "
    "graph_lead_us queue_median_launches queue_max_launches straggler_ratio host_us"
)


def _summarise(trace: Sqlite, folder: Path) -> dict:
    return summarise(trace.write(folder / "a.sqlite"))


def test_the_figures_of_a_rank(tmp_path: Path) -> None:
    summary = _summarise(traces.decode(ranks=2, steps=8), tmp_path)
    first, second = summary["ranks"]
    assert " ".join(first) == RANK_KEYS
    assert (first["rank"], first["device"], second["rank"], second["device"]) == (0, 0, 1, 1)
    assert first["iter_ms"] == {"median": 0.0001, "p10": 0.0001, "p90": 0.0001}
    assert (first["busy_ms"], first["idle_ms"], first["idle_ratio"]) == (0.00008, 0.00002, 0.2)
    assert first["gap_us"] == {"p50": 0.005, "p90": 0.01, "p99": 0.01}
    assert (first["operations"], first["launches"], first["graph_launches"]) == (4, 4, 0)
    assert (first["iterations"], first["graph_launches_range"]) == (3, [0, 0])


def test_the_figures_of_the_trace(tmp_path: Path) -> None:
    summary = _summarise(traces.decode(ranks=2, steps=8), tmp_path)
    assert (summary["name"], summary["nsys_version"], summary["tp"]) == ("a", "2025.3.2.0", 2)
    assert summary["gpus"] == ["NVIDIA H200", "NVIDIA H200"]
    assert (summary["iterations"], summary["dropped"]["count"]) == (3, 5)
    assert summary["iter_ms"]["median"] == 0.0001
    assert summary["period"] == {"operations": 4, "alike_ratio": 1}
    assert (summary["steps"]["kept"], summary["steps"]["open_ends"]) == (3, 1)


def test_a_summary_is_json_as_it_is(tmp_path: Path) -> None:
    summary = _summarise(traces.decode(), tmp_path)
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize(("with_graphs", "label"), [((), "off"), (range(20), "on"), (range(0, 20, 2), "mixed")])
def test_graphs_are_on_when_every_iteration_launches_one(tmp_path: Path, with_graphs, label: str) -> None:
    trace = Sqlite()
    for step in range(10):
        traces.step(trace, 1000 + 100 * step, step in with_graphs, {"pid": 101, "device": 0})
    assert _summarise(trace, tmp_path)["graphs"] == label


def _moved(trace: Sqlite, step: int, by: int, *, pid: int = 101) -> Sqlite:
    """The last kernel of a step moved on one rank, and with it the end of the iteration."""
    for row in trace.tables[traces.KERNEL]:
        if row["start"] == 1080 + 100 * step and row["globalPid"] == traces.global_pid(pid):
            row["start"], row["end"] = row["start"] + by, row["end"] + by
    return trace


def test_idle_time_is_that_of_all_iterations_over_their_length(tmp_path: Path) -> None:
    trace = Sqlite()
    # Iterations 5 to 7 take 100, 300 and 100, in which 80 are busy.
    for start in (1000, 1100, 1200, 1300, 1400, 1500, 1800, 1900, 2000):
        traces.step(trace, start, False, {"pid": 101, "device": 0})
    (rank,) = _summarise(trace, tmp_path)["ranks"]
    assert (rank["idle_ms"], rank["idle_ratio"]) == (0.00002, 260 / 500)


def test_the_iteration_time_is_that_of_the_median_rank(tmp_path: Path) -> None:
    summary = _summarise(_moved(traces.decode(ranks=3, steps=8), 5, 8), tmp_path)
    assert summary["ranks"][0]["iter_ms"]["p90"] == 0.000106
    assert summary["iter_ms"] == {"median": 0.0001, "p10": 0.0001, "p90": 0.0001}


def test_the_overlap_is_the_mean_over_iterations(tmp_path: Path) -> None:
    trace = traces.decode(steps=8)
    trace.launch("extra", pid=101, stream=9, at=0, start=1510, end=1512)
    (rank,) = _summarise(trace, tmp_path)["ranks"]
    # One of five operations in one of three iterations.
    assert rank["overlap_ratio"] == pytest.approx(0.2 / 3, abs=1e-6)


GPU_TIMES = (
    "busy_ms idle_ms idle_ratio overlap_ratio operations launches launch_call_us useful_ms wait_ms idle_plus_wait_ratio"
)


@pytest.mark.parametrize("ranks", [1, 2])
def test_graphs_whose_calls_alone_were_recorded_are_on_and_nothing_is_told_of_busy_and_idle_time(
    tmp_path: Path, ranks: int
) -> None:
    summary = _summarise(traces.unseen(ranks=ranks), tmp_path)
    assert (summary["graphs"], summary["graph_tracing"], summary["iterations"]) == ("on", "unseen", 18)
    assert [check["name"] for check in summary["fitness"]["checks"] if not check["passed"]] == ["graph nodes"]
    assert set(summary["critical_path_us"].values()) == {None}
    assert summary["kernels"] == []
    assert summary["launch_law"]["operations"] == 0
    for rank in summary["ranks"]:
        assert {rank[name] for name in GPU_TIMES.split()} | set(rank["gap_us"].values()) == {None}
        assert (rank["graph_launches"], rank["graph_launches_range"]) == (1, [1, 1])
        assert rank["iter_ms"]["median"] == summary["iter_ms"]["median"] == 0.00023
        assert rank["host_ms"] > 0


def test_graphs_recorded_whole_tell_of_no_single_operation_but_of_busy_and_idle_time() -> None:
    path = traces.steady("vllm_whole-graphs_tp1")
    (rank,) = summarise(path)["ranks"]
    assert {rank["operations"], rank["overlap_ratio"], *rank["gap_us"].values()} == {None}
    assert rank["busy_ms"] > rank["idle_ms"] > 0
    assert (rank["launches"], rank["graph_launches"]) == (26, 1)
    assert gaps(path).empty


def test_where_one_step_launched_no_graph_and_none_was_recorded_they_are_mixed(tmp_path: Path) -> None:
    trace = traces.unseen()
    launches = [row for row in trace.tables[traces.RUNTIME] if row["nameId"] == trace.text("cudaGraphLaunch_v10000")]
    trace.tables[traces.RUNTIME].remove(launches[10])
    summary = _summarise(trace, tmp_path)
    assert (summary["graphs"], summary["ranks"][0]["graph_launches_range"]) == ("mixed", [0, 1])


def test_where_it_is_not_known_which_step_launched_a_graph_nothing_is_claimed(tmp_path: Path) -> None:
    trace = traces.unseen()
    graph = trace.text("cudaGraphLaunch_v10000")
    trace.tables[traces.RUNTIME] = [row for row in trace.tables[traces.RUNTIME] if row["nameId"] == graph]
    summary = _summarise(trace, tmp_path)
    assert (summary["graphs"], summary["ranks"][0]["graph_launches_range"]) == ("mixed", [None, None])


def test_gaps_are_told_without_the_overlaps(tmp_path: Path) -> None:
    trace = traces.decode(steps=8)
    for step in range(8):
        trace.launch("extra", pid=101, stream=9, at=0, start=1010 + 100 * step, end=1012 + 100 * step)
    path = trace.write(tmp_path / "a.sqlite")
    found = gaps(path)
    assert found.columns.tolist() == ["rank", "iteration", "gap_us"]
    assert found.loc[found["iteration"] == 6, "gap_us"].tolist() == [0.01, 0, 0.01, 0]
    assert gaps(iterations.find(extract.read(path))).equals(found)


@pytest.mark.parametrize(("tp", "graphs"), [(1, "on"), (8, "off")])
def test_real_traces_are_what_their_names_say(tp: int, graphs: str) -> None:
    summary = summarise(traces.recorded("sglang", tp, graphs))
    assert (summary["tp"], summary["graphs"], summary["unjoined_operations"]) == (tp, graphs, 0)
    assert summary["gpus"] == ["NVIDIA H200"] * tp
    assert [rank["device"] for rank in summary["ranks"]] == list(range(tp))


def _shifted(trace: Sqlite, by: int) -> Sqlite:
    for rows in trace.tables.values():
        for row in rows:
            for side in {"start", "end"} & set(row):
                row[side] += by
    return trace


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize(
    "by", [-1_700, -10_000_000_000, 1_763_000_000_123_456_789], ids=["through zero", "before zero", "since 1970"]
)
def test_when_the_clock_began_changes_nothing(tmp_path: Path, by: int, graphs: bool) -> None:
    there = _summarise(_shifted(traces.decode(ranks=2, steps=12, graphs=graphs), by), tmp_path)
    (tmp_path / "here").mkdir()
    assert there == _summarise(traces.decode(ranks=2, steps=12, graphs=graphs), tmp_path / "here")


def test_one_steady_iteration_has_a_summary(tmp_path: Path) -> None:
    summary = _summarise(traces.decode(steps=6), tmp_path)
    assert summary["iterations"] == 1
    assert summary["iter_ms"] == {"median": 0.0001, "p10": 0.0001, "p90": 0.0001}
    assert summary["critical_path_us"]["wall"] == 0.1
    assert (summary["stationarity"]["stationary"], summary["fitness"]["fit"]) == (False, False)


def test_workers_that_call_their_one_gpu_0_are_the_ranks_that_they_are(tmp_path: Path) -> None:
    own = traces.decode(ranks=2, steps=12)
    alike = traces.decode(ranks=2, steps=12)
    for rows in alike.tables.values():
        for row in rows:
            if "deviceId" in row:
                row["deviceId"] = 0
    for rank in range(2):
        alike.row(traces.DEVICE, gpuId=0, cudaId=0, pid=101 + rank, uuid=f"uuid-{rank}")
    (tmp_path / "own").mkdir()
    assert _summarise(alike, tmp_path) == _summarise(own, tmp_path / "own")
