"""What one decode iteration is, on hand-made and on real traces."""

from pathlib import Path

import numpy as np
import pytest

from analysis import extract, iterations
from analysis.errors import TraceError
from analysis.iterations import Trace
from tests import traces
from tests.traces import Sqlite

# Microseconds per iteration, from an independent analysis of the same traces.
WALL_US = {
    ("vllm", 1, "off"): 12652,
    ("vllm", 1, "on"): 4969,
    ("vllm", 4, "off"): 19513,
    ("vllm", 4, "on"): 2768,
    ("vllm", 8, "off"): 17945,
    ("vllm", 8, "on"): 2497,
    ("sglang", 1, "off"): 13750,
    ("sglang", 1, "on"): 4880,
    ("sglang", 2, "off"): 27604,
    ("sglang", 2, "on"): 3235,
    ("sglang", 8, "off"): 27388,
    ("sglang", 8, "on"): 2607,
}


def _find(trace: Sqlite, folder: Path) -> Trace:
    return iterations.find(extract.read(trace.write(folder / "trace.sqlite")))


def _windows(trace: Trace, rank: int = 0) -> list[list[int]]:
    mine = trace.iterations[trace.iterations["rank"] == rank]
    return mine[["iteration", "start_ns", "end_ns"]].to_numpy().tolist()


def test_an_iteration_runs_from_anchor_end_to_anchor_end(tmp_path: Path) -> None:
    trace = _find(traces.decode(steps=8), tmp_path)
    # Steps start at 1000, 1100, ...; `sample` ends 90 after each, and the bubble after it is the largest.
    assert _windows(trace) == [[5, 1390, 1490], [6, 1490, 1590], [7, 1590, 1690]]
    assert (trace.anchor, trace.period_operations) == ("sample 1x1x1 32x1x1", 4)


def test_the_first_four_and_the_last_are_dropped_and_said_to_be(tmp_path: Path) -> None:
    trace = _find(traces.decode(steps=12), tmp_path)
    assert trace.iterations["iteration"].tolist() == [5, 6, 7, 8, 9, 10, 11]
    assert trace.dropped == 5
    assert "first 4" in trace.why_dropped
    assert "last 1" in trace.why_dropped


def test_graphs_change_nothing_about_iterations(tmp_path: Path) -> None:
    (tmp_path / "on").mkdir()
    off, on = _find(traces.decode(), tmp_path), _find(traces.decode(graphs=True), tmp_path / "on")
    assert _windows(off) == _windows(on)


def test_operations_belong_to_the_iteration_in_which_they_end(tmp_path: Path) -> None:
    trace = _find(traces.decode(steps=8), tmp_path)
    counted = trace.operations.groupby("iteration")["end_ns"].agg(["size", "min", "max"])
    assert counted.loc[5].tolist() == [4, 1440, 1490]
    assert counted.loc[[5, 6, 7], "size"].tolist() == [4, 4, 4]
    assert counted.loc[-1, "size"] == len(trace.operations) - 12


def test_an_operation_that_runs_across_the_end_of_an_iteration_belongs_to_the_next(tmp_path: Path) -> None:
    trace = traces.decode(steps=8)
    for step in range(8):
        at = 1000 + 100 * step
        trace.launch("beside", pid=101, stream=9, at=at, start=at + 85, end=at + 97)
    found = _find(trace, tmp_path)
    names = found.activity.signatures["name"].iloc[found.operations["signature"]].to_numpy()
    rows = found.operations[(names == "beside") & (found.operations["iteration"] >= 0).to_numpy()]
    # `sample` ends iteration 5 at 1490; what began at 1485 and ended at 1497 is of iteration 6.
    assert rows[["iteration", "end_ns"]].to_numpy().tolist() == [[5, 1397], [6, 1497], [7, 1597]]


def test_the_layers_of_a_deep_model_are_not_its_iterations(tmp_path: Path) -> None:
    trace, now = Sqlite(), 0
    for _ in range(12):
        for name in ["embed", *["norm", "qkv", "attend", "up", "down"] * 80, "head", "sample"]:
            trace.launch(name, at=now - 1, start=now, end=now + 5)
            now += 6
    assert _find(trace, tmp_path).period_operations == 403


def test_an_operation_that_differs_every_other_step_does_not_double_the_iteration(tmp_path: Path) -> None:
    trace, now = Sqlite(), 0
    for step in range(12):
        for number, name in enumerate(["embed", *["norm", "qkv", "attend", "up", "down"] * 80, "head", "sample"]):
            trace.launch(name, at=now - 1, start=now, end=now + 5, grid=1 + step % 2 if number == 300 else 1)
            now += 6
    assert _find(trace, tmp_path).period_operations == 403


@pytest.mark.parametrize("layers", [1, 10, 60])
def test_a_step_with_an_operation_more_every_sixteen_does_not_make_sixteen_steps_one(
    tmp_path: Path, layers: int
) -> None:
    trace, now = Sqlite(), 0
    for step in range(80):
        extra = ["new block"] if step % 16 == 0 else []
        for name in [*extra, "embed", *["norm", "qkv", "attend", "up", "down"] * layers, "head", "sample"]:
            trace.launch(name, at=now - 1, start=now, end=now + 5)
            now += 6
    found = _find(trace, tmp_path)
    assert found.period_operations == 5 * layers + 3
    assert len(found.iterations) == 74


def test_piecewise_graphs_are_pieces_of_one_iteration(tmp_path: Path) -> None:
    trace = Sqlite()
    for step in range(10):
        now = 100 * step
        for piece in range(3):
            trace.graph([("norm", now + 20 * piece, now + 20 * piece + 9)], at=now)
            trace.launch("attend", at=now + 5, start=now + 20 * piece + 10, end=now + 20 * piece + 18)
        trace.launch("sample", at=now + 6, start=now + 70, end=now + 80)
    found = _find(trace, tmp_path)
    assert (found.period_operations, found.anchor) == (7, "sample 1x1x1 32x1x1")


def test_iterations_are_found_where_graphs_are_single_operations(tmp_path: Path) -> None:
    trace = Sqlite()
    for step in range(10):
        trace.whole_graph(100 * step, 100 * step + 80, at=100 * step - 5)
        trace.launch("sample", at=100 * step, start=100 * step + 81, end=100 * step + 85)
    assert set(np.diff(_find(trace, tmp_path).iterations[["start_ns", "end_ns"]]).ravel()) == {100}


@pytest.mark.parametrize("last", ["argmax", "last"])
@pytest.mark.parametrize("graphs", [False, True])
def test_a_step_of_one_kernel_repeated_and_another_is_no_single_kernel(tmp_path: Path, last: str, graphs: bool) -> None:
    trace = Sqlite()
    for step in range(20):
        now = 1000 * step
        nodes = [(name, now + 10 * at, now + 10 * at + 8) for at, name in enumerate(["gemm"] * 40 + [last])]
        if graphs:
            trace.graph(nodes, at=now - 5)
        else:
            for name, start, end in nodes:
                trace.launch(name, at=start - 5, start=start, end=end)
    found = _find(trace, tmp_path)
    assert found.period_operations == 41
    assert set(np.diff(found.iterations[["start_ns", "end_ns"]]).ravel()) == {1000}


def test_nodes_of_one_graph_launch_are_in_one_step(tmp_path: Path) -> None:
    trace = Sqlite()
    for step in range(40):
        names = ["gemm", "norm"] * 40 + ["last"]
        nodes = [(name, 1000 * step + 10 * at, 1000 * step + 10 * at + 8) for at, name in enumerate(names)]
        trace.graph(nodes, at=1000 * step - 5)
    assert _find(trace, tmp_path).period_operations == 81


def test_all_ranks_have_the_same_anchor_though_their_bubbles_differ(tmp_path: Path) -> None:
    trace = Sqlite()
    for step in range(10):
        now = 100 * step
        for pid, bubble in ((7, 0), (8, 30)):  # `sample` ends 30 later on rank 1, in every step
            where = {"pid": pid, "device": pid - 7}
            trace.launch("gemm", at=now, start=now, end=now + 50, **where)
            trace.launch("sample", at=now, start=now + 50 + bubble, end=now + 60 + bubble, **where)
    found = _find(trace, tmp_path)
    ends = found.iterations.pivot(index="iteration", columns="rank", values="end_ns")
    assert (ends[1] - ends[0]).tolist() == [30, 30, 30, 30]


def test_a_rank_that_was_recorded_longer_is_cut_to_the_others(tmp_path: Path) -> None:
    trace = traces.decode(ranks=2, steps=10)
    for step in (10, 11):
        traces.step(trace, 1000 + 100 * step, False, {"pid": 101, "device": 0})
    found = _find(trace, tmp_path)
    assert _windows(found, rank=0) == _windows(found, rank=1)


@pytest.mark.parametrize("early", [0, 1], ids=["rank 0 first", "rank 1 first"])
def test_a_rank_that_was_recorded_from_a_step_earlier_is_aligned_by_time(tmp_path: Path, early: int) -> None:
    trace = traces.decode(ranks=2, steps=10, step_ns=120, prefill=False)
    for before in (120, 240):
        traces.step(trace, 1000 - before, False, {"pid": 101 + early, "device": early}, meets=True)
    found = _find(trace, tmp_path)
    assert _windows(found, rank=0) == _windows(found, rank=1)
    assert _windows(found)[0] == [5, 1570, 1690]


def test_the_anchor_is_what_all_ranks_ran_equally_often_whatever_the_bubble_after_it(tmp_path: Path) -> None:
    trace = Sqlite()
    for rank in range(2):
        where = {"pid": 101 + rank, "device": rank}
        for begin in range(1000, 2200, 100):
            # Rank 1 was recorded from within a step, of which `last` alone is there.
            if rank == 0 and begin == 1000:
                continue
            parts = [("first", 0, 10), ("middle", 10, 20), ("last", 25, 35)]
            for name, start, end in parts if begin > 1000 else parts[2:]:
                trace.launch(name, at=begin + start - 5, start=begin + start, end=begin + end, **where)
    found = _find(trace, tmp_path)
    assert (found.anchor, found.period_operations) == ("middle 1x1x1 32x1x1", 3)
    assert _windows(found, rank=0) == _windows(found, rank=1)


def test_a_prefill_between_decode_steps_is_none_of_them(tmp_path: Path) -> None:
    trace, now = Sqlite(), 0
    for step in range(12):
        layers = 9 if step == 7 else 3  # step 7 is a prefill between decode steps
        for name in ["gemm"] * layers + ["sample"]:
            trace.launch(name, at=now, start=now + 1, end=now + 9)
            now += 10
    found = _find(trace, tmp_path)
    assert 7 not in found.iterations["iteration"].tolist()
    assert "1 that ran other operations than the rest" in found.why_dropped


def test_a_step_with_fewer_requests_is_no_step_like_the_others(tmp_path: Path) -> None:
    trace, now = Sqlite(), 0
    for step in range(30):
        requests = 10 if step in {20, 21} else 16
        for name in ["embed", *["norm", "qkv", "attend", "rotate"] * 8, "head", "sample"]:
            grid = 64 if name in {"embed", "qkv", "head"} else requests
            trace.launch(name, at=now - 1, start=now, end=now + 5, grid=grid)
            now += 26 if name == "sample" else 6
    found = _find(trace, tmp_path)
    assert found.period_operations == 35
    assert found.iterations["iteration"].tolist() == [*range(5, 20), *range(22, 29)]
    assert "2 of another batch size" in found.why_dropped


def test_a_step_unlike_the_others_does_not_make_a_rarer_return_look_better(tmp_path: Path) -> None:
    trace, now = Sqlite(), 0
    for step in range(60):
        grid = 10 if step == 58 else 16  # outside the span of what returns every 16 steps
        extra = ["new block"] * 2 if step % 16 == 3 else []
        for name in [*extra, "embed", *["norm", "qkv", "attend", "rotate"] * 8, "head", "sample"]:
            trace.launch(name, at=now - 1, start=now, end=now + 5, grid=grid)
            now += 6
    assert _find(trace, tmp_path).period_operations == 35


def test_a_growing_context_changes_attention_and_not_what_a_step_is(tmp_path: Path) -> None:
    trace, now = Sqlite(), 0
    for step in range(30):
        for name in ["embed", *["norm", "qkv", "rotate", "attend", "out", "norm", "up", "down"] * 8, "head", "sample"]:
            trace.launch(name, at=now - 1, start=now, end=now + 5, grid=1 + step // 10 if name == "attend" else 1)
            now += 6
    found = _find(trace, tmp_path)
    assert found.period_operations == 67
    assert len(found.iterations) == 29 - 5


def test_operations_that_do_not_repeat_are_refused(tmp_path: Path) -> None:
    trace = Sqlite()
    for number, name in enumerate(np.random.default_rng(1).permutation(300) % 97):
        trace.launch(f"kernel {name}", at=10 * number, start=10 * number + 1, end=10 * number + 9)
    with pytest.raises(TraceError, match=r"no decode iterations.*do not repeat.*record at least 64 decode steps"):
        _find(trace, tmp_path)


def test_one_kernel_that_returns_among_others_that_do_not_is_no_iteration(tmp_path: Path) -> None:
    trace = Sqlite()
    for number in range(200):
        name = "sample" if number % 10 == 0 else f"kernel {number}"
        trace.launch(name, at=10 * number, start=10 * number + 1, end=10 * number + 9)
    with pytest.raises(TraceError, match=r"do not repeat \(at best \d+% of them, 80% expected\)"):
        _find(trace, tmp_path)


def test_a_single_kernel_is_refused(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=1, end=2)
    with pytest.raises(TraceError, match="no decode iterations"):
        _find(trace, tmp_path)


def test_too_few_iterations_are_refused_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"too few decode iterations: found 5, of which 5 are dropped"):
        _find(traces.decode(steps=5), tmp_path)


def test_ranks_that_run_different_things_are_refused(tmp_path: Path) -> None:
    trace = Sqlite()
    for step in range(10):
        for pid in (7, 8):
            trace.launch(f"sample {pid}", pid=pid, device=pid - 7, at=100 * step, start=100 * step, end=100 * step + 9)
            trace.launch(
                f"gemm {pid}", pid=pid, device=pid - 7, at=100 * step, start=100 * step + 9, end=100 * step + 50
            )
    with pytest.raises(TraceError, match="none on all 2 ranks"):
        _find(trace, tmp_path)


@pytest.mark.parametrize(("engine", "tp", "graphs"), WALL_US)
def test_iteration_times_of_real_traces_agree_with_an_independent_analysis(engine: str, tp: int, graphs: str) -> None:
    found = traces.found(traces.recorded(engine, tp, graphs))
    length_us = (found.iterations["end_ns"] - found.iterations["start_ns"]) / 1e3
    by_rank = length_us.groupby(found.iterations["rank"]).median()
    assert len(by_rank) == tp
    assert by_rank.tolist() == pytest.approx([WALL_US[engine, tp, graphs]] * tp, rel=0.02)
