"""A timeline shows each span where it ran, beside what launched it, on a track of its own where two would cross."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis import spans
from analysis.errors import TraceError
from analysis.frames import Frames
from analysis.spans import Timeline, lanes
from tests import traces
from tests.traces import Sqlite, recorded


def _made(folder: Path, trace: Sqlite) -> Frames:
    return analysis.read(trace.write(folder / "made.sqlite"))


def _of(timeline: Timeline, **which: object) -> pd.DataFrame:
    found = timeline.spans
    for column, value in which.items():
        found = found[found[column] == value]
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """One rank, without graphs, seven steady iterations: 5 to 11."""
    return _made(tmp_path_factory.mktemp("plain"), traces.decode(steps=12))


@pytest.fixture(scope="module")
def four_ranks() -> Frames:
    return analysis.read(recorded("vllm", 4, "off"))


@pytest.mark.parametrize(
    ("given", "nests", "expected"),
    [
        pytest.param([(0, 10), (10, 20)], False, [0, 0], id="one follows the other"),
        pytest.param([(0, 10), (8, 20), (20, 30)], False, [0, 1, 0], id="begun early, as dependent launches are"),
        pytest.param([(0, 30), (5, 10), (12, 20)], False, [0, 1, 1], id="within another, but not part of it"),
        pytest.param([(0, 30), (5, 10), (12, 20)], True, [0, 0, 0], id="calls within a call"),
        pytest.param([(0, 30), (5, 10), (7, 20)], True, [0, 0, 1], id="calls that cross within a call"),
        pytest.param([(0, 0), (0, 0), (0, 5)], False, [0, 0, 0], id="of no length"),
        pytest.param([(0, 9), (1, 9), (2, 9), (9, 12)], False, [0, 1, 2, 0], id="three at once"),
    ],
)
def test_spans_that_cross_lie_on_lanes_of_their_own(
    given: list[tuple[int, int]], nests: bool, expected: list[int]
) -> None:
    starts, ends = np.array(given, np.int64).T
    assert lanes(starts, ends, nests=nests).tolist() == expected


def test_a_launch_and_what_it_launched_share_a_number(plain: Frames) -> None:
    timeline = spans.find(plain, 2)
    arrows = _of(timeline).dropna(subset="call").set_index("call")
    calls, operations = (arrows[arrows["leads"] == leads] for leads in (True, False))
    names = operations["name"].reindex(calls.index).tolist()
    assert names == ["gemm", "norm", "gemm", "sample"] * 2
    # Launched 20, 15, 10 and 5 ns before the step begins, whose operations start 0, 40, 60 and 80 into it.
    led_ns = (operations["start_ns"] - calls["start_ns"]).reindex(calls.index)
    assert led_ns.tolist() == [20, 55, 70, 85] * 2


def test_a_graph_launch_leads_to_its_first_node_alone(tmp_path: Path) -> None:
    timeline = spans.find(_made(tmp_path, traces.decode(steps=12, graphs=True)), 3)
    launches = _of(timeline, name="cudaGraphLaunch").dropna(subset="call")
    assert len(launches) == 3
    led = _of(timeline, kind="stream").dropna(subset="call")
    assert led["call"].tolist() == launches["call"].tolist()
    assert led["name"].tolist() == ["gemm"] * 3
    assert led["gap_ns"].tolist() == [10] * 3
    assert _of(timeline, kind="stream")["graph_node"].notna().all()


def test_the_gap_before_an_operation_is_a_span_named_by_its_cause(tmp_path: Path) -> None:
    timeline = spans.find(_made(tmp_path, traces.decode(steps=12, step_ns=100_000)), 1)
    idle, iteration = _of(timeline, kind="idle"), _of(timeline, kind="iterations")
    start_ns = int(iteration["start_ns"].iloc[0])
    assert iteration["name"].tolist() == ["iteration 5"]
    found = list(zip(idle["start_ns"] - start_ns, idle["end_ns"] - start_ns, idle["name"], strict=True))
    assert found == [(0, 99_910, "idle: launch"), (99_960, 99_970, "idle: dependency")]
    operations = _of(timeline, kind="stream")
    assert operations["gap_ns"].tolist() == [99_910, 0, 10, 0]
    assert operations["cause"].tolist() == ["launch", "none", "dependency", "none"]


def test_time_counts_from_the_first_operation_of_the_trace(plain: Frames) -> None:
    timeline = spans.find(plain, 2)
    assert timeline.first_ns == 200
    iteration = plain.iterations.iloc[0]
    shown = _of(timeline, kind="iterations").iloc[0]
    assert (shown["start_ns"], shown["nsys_start_ns"]) == (iteration["start_ns"] - 200, iteration["start_ns"])


def test_time_counts_from_the_first_span_where_that_comes_before_every_operation(tmp_path: Path) -> None:
    trace = traces.decode(steps=12, prefill=False)
    trace.nvtx("serve", 3, 5000, pid=101)
    trace.call("cudaLaunchKernel_v7000", 5, 1500, pid=101, thread=2)
    timeline = spans.find(_made(tmp_path, trace), 20)
    assert timeline.first_ns == 5
    assert timeline.spans["start_ns"].min() == 0


def test_a_rank_that_waited_shows_so_inside_its_collective(four_ranks: Frames) -> None:
    timeline = spans.find(four_ranks, 3)
    waiting = _of(timeline, category="waiting")
    collectives = _of(timeline, category="collective")
    assert len(collectives) > len(waiting) > 0
    above = timeline.spans.loc[waiting.index - 1]
    assert (above["category"] == "collective").all()
    assert above["start_ns"].tolist() == waiting["start_ns"].tolist()
    lengths_ns = waiting["end_ns"] - waiting["start_ns"]
    assert lengths_ns.tolist() == above["wait_ns"].tolist()
    assert (above["end_ns"].to_numpy() >= waiting["end_ns"].to_numpy()).all()
    shown = four_ranks.collectives[four_ranks.collectives["iteration"].isin(timeline.iterations)]
    # One at a border may end in the iteration beside on another rank.
    assert lengths_ns.sum() == pytest.approx(shown["wait_ns"].sum(), rel=0.02)


def test_what_is_shown_is_what_the_tables_say(four_ranks: Frames) -> None:
    timeline = spans.find(four_ranks, 3)
    mine = four_ranks.operations[four_ranks.operations["iteration"].isin(timeline.iterations)]
    shown = _of(timeline, kind="stream")
    shown = shown[shown["category"] != "waiting"]
    assert len(shown) == len(mine)
    assert shown["gap_ns"].sum() == mine["gap_ns"].sum()
    busy_ns = (mine["end_ns"] - mine["start_ns"]).sum()
    assert (shown["end_ns"] - shown["start_ns"]).sum() == busy_ns
    arrows = timeline.spans["call"].dropna()
    assert arrows.value_counts().eq(2).all()
    assert len(arrows) == 2 * mine["first_of_call"].sum()


def test_no_two_spans_of_a_lane_cross(four_ranks: Frames) -> None:
    for frames in (four_ranks, analysis.read(recorded("sglang", 2, "on"))):
        timeline = spans.find(frames, 5)
        for _, lane in timeline.spans.groupby(list(spans.TRACK_COLUMNS)):
            open_ends: list[int] = []
            for start, end in zip(lane["start_ns"], lane["end_ns"], strict=True):
                open_ends = [other for other in open_ends if other > start]
                assert all(end <= other for other in open_ends)
                open_ends.append(end)


def test_ranges_are_cut_to_what_is_shown_and_tell_how_long_they_were(tmp_path: Path) -> None:
    trace = traces.decode(steps=12)
    trace.nvtx("capture", 0, 1_000_000, pid=101)
    trace.nvtx("long ago", 0, 10, pid=101)
    timeline = spans.find(_made(tmp_path, trace), 1)
    ranges = _of(timeline, kind="ranges")
    assert ranges["name"].tolist() == ["capture"]
    assert ranges["recorded_ns"].tolist() == [1_000_000]
    shown = _of(timeline, kind="iterations").iloc[0]
    assert ranges["end_ns"].tolist() == [shown["end_ns"]]


def test_ranks_are_processes_with_the_pids_that_they_had(tmp_path: Path) -> None:
    timeline = spans.find(_made(tmp_path, traces.decode(ranks=2, steps=12)), 1)
    assert timeline.processes.to_dict("records") == [
        {"process": 0, "name": "rank 0 (GPU 0, NVIDIA H200, process 101)", "pid": 101},
        {"process": 1, "name": "rank 1 (GPU 1, NVIDIA H200, process 102)", "pid": 102},
    ]


def test_ranks_of_one_process_are_told_apart_and_its_calls_are_nobodys(tmp_path: Path) -> None:
    trace = traces.decode(steps=12, prefill=False)
    trace.gpu(1, uuid="uuid-1")
    for number in range(12):
        traces.step(trace, 1000 + 100 * number, False, {"pid": 101, "device": 1})
    timeline = spans.find(_made(tmp_path, trace), 1)
    assert timeline.processes["pid"].is_unique
    assert [name[:7] for name in timeline.processes["name"]] == ["rank 0 ", "rank 1 ", "process"]
    assert set(_of(timeline, category="call")["process"]) == {timeline.processes["process"].iloc[-1]}
    assert timeline.spans["call"].dropna().value_counts().eq(2).all()


def test_what_is_not_shown_is_told(plain: Frames) -> None:
    assert spans.find(plain, 2).left_out == (
        "5 of 7 steady iterations; --iterations 7 shows all",
        "5 steps that are not steady; what ran between those shown is there, without causes",
    )
    assert spans.find(plain, 2).iterations == (5, 6)
    assert len(spans.find(plain, 1000).iterations) == 7


def test_what_a_trace_does_not_tell_is_told(tmp_path: Path) -> None:
    told = spans.find(_made(tmp_path, traces.unseen(ranks=2)), 100).left_out
    assert any(line.startswith("waiting in collectives: graphs were launched, but nothing") for line in told)


def test_operations_without_a_recorded_launch_are_told(tmp_path: Path) -> None:
    trace = traces.decode(steps=12)
    trace.tables[traces.RUNTIME] = trace.tables[traces.RUNTIME][:30]
    told = spans.find(_made(tmp_path, trace), 100).left_out
    assert any(line.endswith("operations: their calls were not recorded") for line in told)


@pytest.mark.parametrize("most", [0, -1])
def test_no_iterations_are_no_timeline(plain: Frames, most: int) -> None:
    with pytest.raises(TraceError, match="expected 1 or more"):
        spans.find(plain, most)


def test_the_tables_stay_as_they_were(four_ranks: Frames) -> None:
    frames = four_ranks
    before = {name: frame.copy() for name, frame in vars(frames).items() if isinstance(frame, pd.DataFrame)}
    spans.find(frames, 3)
    for name, frame in before.items():
        pd.testing.assert_frame_equal(getattr(frames, name), frame)
