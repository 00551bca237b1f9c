"""What each quantity is, in pictures; and what every metric promises."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import extract, iterations, measure
from analysis.intervals import busy_by_rank, covered_ns, latest_end_before, union
from analysis.iterations import Trace
from analysis.metrics import gap_us
from tests import traces
from tests.traces import Sqlite


def _trace(trace: Sqlite, folder: Path) -> Trace:
    return iterations.find(extract.read(trace.write(folder / "trace.sqlite")))


def _values(trace: Trace, quantity: str) -> list[float]:
    samples = measure.measure(trace)
    return samples.loc[samples["quantity"] == quantity, "value"].tolist()


def _of(name: str, trace: Trace) -> pd.DataFrame:
    return import_module(f"analysis.metrics.{name}").measure(trace)


def _with(*extra: tuple[int, int, int], steps: int = 8) -> Sqlite:
    """A decode (see traces.decode: busy [0, 50) and [60, 90) of each 100) with more kernels: stream, start, end."""
    trace = traces.decode(steps=steps)
    for step in range(steps):
        for stream, start, end in extra:
            at = 1000 + 100 * step
            trace.launch("extra", pid=101, at=at, start=at + start, end=at + end, stream=stream)
    return trace


@pytest.mark.parametrize("name", measure.names())
def test_a_metric_has_a_row_for_every_iteration_of_every_rank(tmp_path: Path, name: str) -> None:
    trace = _trace(traces.decode(ranks=2), tmp_path)
    wide = _of(name, trace)
    assert wide.columns.tolist() == ["rank", "iteration", name]
    keys = wide[["rank", "iteration"]].sort_values(["rank", "iteration"]).to_numpy().tolist()
    assert keys == [[rank, iteration] for rank in (0, 1) for iteration in (5, 6, 7, 8, 9)]


@pytest.mark.parametrize("name", measure.names())
def test_a_metric_leaves_its_input_as_it_was(tmp_path: Path, name: str) -> None:
    trace = _trace(traces.decode(ranks=2, graphs=True), tmp_path)
    before = [frame.copy() for frame in (trace.operations, trace.iterations, trace.ranks, trace.activity.calls)]
    _of(name, trace)
    for frame, old in zip((trace.operations, trace.iterations, trace.ranks, trace.activity.calls), before, strict=True):
        pd.testing.assert_frame_equal(frame, old)


@pytest.mark.parametrize("name", measure.names())
def test_a_metric_does_not_depend_on_the_order_of_rows(tmp_path: Path, name: str) -> None:
    trace = _trace(_with((9, 55, 75)), tmp_path)
    rows = trace.operations.sample(frac=1, random_state=1).reset_index(drop=True)
    shuffled = Trace(**{**vars(trace), "operations": rows})
    pd.testing.assert_frame_equal(_of(name, trace), _of(name, shuffled))


@pytest.mark.parametrize(
    ("extra", "busy_ns"),
    [
        pytest.param([], 80, id="gaps are not busy"),
        pytest.param([(9, 10, 30)], 80, id="beside a kernel on another stream"),
        pytest.param([(9, 45, 55)], 85, id="partly beside"),
        pytest.param([(9, 52, 58)], 86, id="inside a gap"),
        pytest.param([(9, 92, 108)], 88, id="over the end of the iteration"),
    ],
)
def test_busy_is_the_union_over_streams(tmp_path: Path, extra: list[tuple[int, int, int]], busy_ns: int) -> None:
    trace = _trace(_with(*extra), tmp_path)
    assert _values(trace, "busy_ms") == pytest.approx([busy_ns / 1e6] * 3)
    assert _values(trace, "idle_ms") == pytest.approx([(100 - busy_ns) / 1e6] * 3)


def test_copies_and_memsets_are_busy(tmp_path: Path) -> None:
    trace = traces.decode(steps=8)
    for step in range(8):
        at = 1000 + 100 * step
        trace.copy(at + 52, at + 54, at=at, pid=101)
        trace.set(at + 55, at + 56, at=at, pid=101)
    found = _trace(trace, tmp_path)
    assert _values(found, "busy_ms") == pytest.approx([83 / 1e6] * 3)
    assert _values(found, "operations") == [6, 6, 6]
    assert _values(found, "launches") == [6, 6, 6]


@pytest.mark.parametrize(
    ("extra", "gaps_ns"),
    [
        pytest.param([], [10, 0, 10, 0], id="idle between kernels"),
        pytest.param([(9, 2, 62)], [10, -38, -22, -2, 0], id="hidden under a longer kernel"),
        pytest.param([(3, 85, 95)], [5, 0, 10, 0, -5], id="a dependent launch starts before the end"),
        pytest.param([(9, 95, 98)], [2, 0, 10, 0, 5], id="of another stream, before the iteration's first"),
    ],
)
def test_a_gap_counts_from_the_latest_end_of_all_earlier_operations(
    tmp_path: Path, extra: list[tuple[int, int, int]], gaps_ns: list[int]
) -> None:
    found = gap_us.gaps(_trace(_with(*extra), tmp_path))
    one = found.loc[found["iteration"] == 6, "gap_us"] * 1e3
    assert sorted(one.round(3).tolist()) == sorted(gaps_ns)


def test_the_first_operation_of_a_rank_has_no_gap(tmp_path: Path) -> None:
    trace = _trace(traces.decode(ranks=2, prefill=False), tmp_path)
    everything = Trace(**{**vars(trace), "operations": trace.operations.assign(iteration=1)})
    assert gap_us.gaps(everything).groupby("rank").size().tolist() == [39, 39]


def test_idle_is_the_sum_of_the_gaps_that_are_no_overlap(tmp_path: Path) -> None:
    trace = _trace(_with((9, 2, 55), (4, 92, 94)), tmp_path)
    found = gap_us.gaps(trace)
    summed = found[found["gap_us"] > 0].groupby("iteration")["gap_us"].sum() / 1e3
    assert summed.tolist() == pytest.approx(_values(trace, "idle_ms"))


def test_overlap_is_the_share_of_operations_that_start_early(tmp_path: Path) -> None:
    assert _values(_trace(_with((9, 10, 30)), tmp_path), "overlap_ratio") == pytest.approx([0.2, 0.2, 0.2])


@pytest.mark.parametrize(
    ("graphs", "launches", "graph_launches", "call_us"),
    [pytest.param(False, 4, 0, 0.008, id="four calls of 2 ns"), pytest.param(True, 1, 1, 0.002, id="one call of 2 ns")],
)
def test_a_graph_is_one_launch_whatever_its_nodes(
    tmp_path: Path, graphs: bool, launches: int, graph_launches: int, call_us: float
) -> None:
    trace = _trace(traces.decode(steps=8, graphs=graphs), tmp_path)
    assert _values(trace, "operations") == [4, 4, 4]
    assert _values(trace, "launches") == [launches] * 3
    assert _values(trace, "graph_launches") == [graph_launches] * 3
    assert _values(trace, "launch_call_us") == pytest.approx([call_us] * 3)


def test_a_launch_counts_where_its_work_ran_though_the_host_was_far_ahead(tmp_path: Path) -> None:
    trace = Sqlite()
    for step in range(10):
        trace.graph([("gemm", 100 * step, 100 * step + 50), ("sample", 100 * step + 60, 100 * step + 70)], at=step)
    assert _values(_trace(trace, tmp_path), "graph_launches") == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("intervals", "until", "covered"),
    [
        pytest.param([(0, 10)], 5, 5, id="inside one"),
        pytest.param([(0, 10)], -5, 0, id="before all"),
        pytest.param([(0, 10), (20, 30)], 15, 10, id="in a gap"),
        pytest.param([(20, 30), (0, 10)], 99, 20, id="in any order, after all"),
        pytest.param([(0, 10), (10, 12)], 99, 12, id="touching"),
        pytest.param([(0, 100), (5, 10), (90, 110)], 99, 99, id="one hidden, one overlapping"),
        pytest.param([(-20, -10)], 0, 10, id="before zero"),
        pytest.param([(2**60, 2**60 + 1)], 2**61, 1, id="beyond what a float tells apart"),
    ],
)
def test_covered_time(intervals: list[tuple[int, int]], until: int, covered: int) -> None:
    starts, ends = np.array(intervals, np.int64).T
    assert union(starts, ends).covered_until(np.array([until])).tolist() == [covered]


def test_covered_time_is_what_counting_nanoseconds_gives() -> None:
    random = np.random.default_rng(3)
    starts = random.integers(0, 900, 60)
    ends = starts + random.integers(0, 30, 60)
    ran = np.zeros(1000, dtype=bool)
    for start, end in zip(starts, ends, strict=True):
        ran[start:end] = True
    windows = pd.DataFrame({"rank": 0, "start_ns": [0, 100, 350], "end_ns": [100, 350, 1000]})
    operations = pd.DataFrame({"rank": 0, "start_ns": starts, "end_ns": ends})
    assert covered_ns(busy_by_rank(operations), windows).tolist() == [
        ran[:100].sum(),
        ran[100:350].sum(),
        ran[350:].sum(),
    ]


def test_a_window_in_which_nothing_ran_is_idle_and_no_window_is_nothing() -> None:
    operations = pd.DataFrame({"rank": [0, 0], "start_ns": [10, 50], "end_ns": [20, 60]})
    windows = pd.DataFrame({"rank": [0, 0, 0, 0], "start_ns": [20, 0, 60, 15], "end_ns": [50, 10, 99, 15]})
    assert covered_ns(busy_by_rank(operations), windows).tolist() == [0, 0, 0, 0]
    assert covered_ns(busy_by_rank(operations), windows.iloc[:0]).tolist() == []


def test_the_latest_end_is_of_earlier_rows_of_the_same_group() -> None:
    latest, first = latest_end_before(np.array([0, 0, 0, 1, 1]), np.array([10, 5, 20, 3, 9]))
    assert first.tolist() == [True, False, False, True, False]
    assert latest[~first].tolist() == [10, 10, 3]


def test_busy_and_straggler_of_a_real_trace_are_as_published() -> None:
    trace = traces.found(traces.recorded("vllm", 4, "off"))
    samples = measure.measure(trace)
    wide = samples.pivot_table(index="rank", columns="quantity", values="value", aggfunc="median")
    assert wide["busy_ms"].tolist() == pytest.approx([18.9, 18.9, 2.5, 18.9], rel=0.01)
    assert wide["gap_us"].tolist() == pytest.approx([1.15, 1.02, 27.7, 0.99], rel=0.03)
    assert set(wide["graph_launches"]) == {0}
