"""Perfetto's own trace processor finds in the file what the timeline holds, and nothing to complain of."""

from typing import Any

import pytest

import analysis
from analysis import perfetto_file, spans
from analysis.spans import Timeline
from tests import traces
from tests.trace_processor import ask
from tests.traces import recorded

TROUBLE = "select name, value from stats where value > 0 and severity != 'info'"
SLICES = "select ts, dur, name, category, depth from slice order by ts, dur desc, category"
ARROWS = "select a.name as call, a.ts as at, b.name as operation, b.ts as start from flow join slice a on slice_out = a.id join slice b on slice_in = b.id order by at"  # noqa: E501
PROCESSES = "select pid, name from process where name is not null order by pid"
TRACKS = """
select p.pid, coalesce(t.name, h.name) as name, count(*) as slices
from slice s join track t on s.track_id = t.id
left join process_track pt on pt.id = t.id left join thread_track tt on tt.id = t.id
left join thread h on h.utid = tt.utid join process p on p.upid = coalesce(pt.upid, h.upid)
group by s.track_id order by p.pid, name
"""
WAITING = "select s.dur, p.category as parent, s.ts - p.ts as late_ns from slice s join slice p on s.parent_id = p.id where s.category = 'waiting'"  # noqa: E501
FACTS = "select s.ts, substr(a.flat_key, 7) as fact, coalesce(a.string_value, a.int_value) as value from slice s join args a using (arg_set_id) where s.category in ('kernel', 'collective', 'iteration') order by s.ts"  # noqa: E501


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    """Two ranks, of which one comes 10 ns late once, an NVTX range, a call within a call, an operation begun early."""
    trace = traces.decode(ranks=2, steps=12, step_ns=1000)
    trace.nvtx("decode <b>step</b>", 6000, 8000, pid=101)
    trace.call("cudaStreamQuery_v3020", 6100, 6200, pid=101)
    trace.call("cudaEventRecord_v3020", 6120, 6150, pid=101)
    for row in trace.tables[traces.KERNEL]:
        if row["start"] == 7040:
            row["start"] = 7030
        elif row["start"] == 6060 and row["deviceId"] == 1:
            row["start"] = 6070
    return spans.find(analysis.read(trace.write(tmp_path_factory.mktemp("drawn") / "made.sqlite")), 3)


@pytest.fixture(scope="module")
def found(drawn: Timeline) -> dict[str, list[dict[str, Any]]]:
    queries = {"trouble": TROUBLE, "slices": SLICES, "arrows": ARROWS, "processes": PROCESSES, "tracks": TRACKS}
    queries |= {"facts": FACTS, "waiting": WAITING}
    return dict(zip(queries, ask(perfetto_file.encode(drawn), *queries.values()), strict=True))


def test_the_trace_processor_reads_it_without_complaint(found: dict[str, list[dict[str, Any]]]) -> None:
    assert found["trouble"] == []


def test_every_span_is_a_slice_with_its_name_and_times(drawn: Timeline, found: dict[str, list[dict[str, Any]]]) -> None:
    rows = drawn.spans
    expected = zip(rows["start_ns"], rows["end_ns"] - rows["start_ns"], rows["name"], rows["category"], strict=True)
    got = [(row["ts"], row["dur"], row["name"], row["category"]) for row in found["slices"]]
    assert sorted(got) == sorted(expected)
    assert ("decode <b>step</b>", "nvtx") in {row[2:] for row in got}


def test_arrows_lead_from_launches_to_what_they_launched(found: dict[str, list[dict[str, Any]]]) -> None:
    arrows = found["arrows"]
    assert len(arrows) == 2 * 3 * 4
    first = [(row["call"], row["at"], row["operation"], row["start"]) for row in arrows if row["at"] < 5000]
    # Both ranks run alike. Times count from 200, when the first operation of the trace began.
    step = [("gemm", 0, 0), ("norm", 5, 40), ("all_reduce", 10, 60), ("sample", 15, 80)]
    expected = [("cudaLaunchKernel", 4780 + at, name, 4800 + start) for name, at, start in step for _ in range(2)]
    assert first == expected


def test_waiting_lies_inside_the_collective_that_waited(found: dict[str, list[dict[str, Any]]]) -> None:
    assert found["waiting"] == [{"dur": 10, "parent": "collective", "late_ns": 0}]
    at = {(row["ts"], row["dur"]) for row in found["slices"] if row["category"] == "collective"}
    assert {(5860, 20), (5870, 10)} < at


def test_ranks_are_processes_with_streams_threads_and_iterations(found: dict[str, list[dict[str, Any]]]) -> None:
    assert found["processes"] == [
        {"pid": 101, "name": "rank 0 (GPU 0, NVIDIA H200, process 101)"},
        {"pid": 102, "name": "rank 1 (GPU 1, NVIDIA H200, process 102)"},
    ]
    tracks = [(row["pid"], row["name"]) for row in found["tracks"]]
    own = ["decode iterations", "idle, by cause", "launching thread", "stream 3"]
    assert sorted(set(tracks)) == sorted(
        [*((pid, name) for pid in (101, 102) for name in own), (101, "NVTX of thread 1")]
    )
    # What began early lies on a second lane of its stream.
    assert [row["slices"] for row in found["tracks"] if row["name"] == "stream 3"] == [12, 1, 11, 1]


def test_calls_within_calls_lie_below_them(found: dict[str, list[dict[str, Any]]]) -> None:
    depths = {row["name"]: row["depth"] for row in found["slices"] if row["category"] == "call"}
    assert depths == {"cudaLaunchKernel": 0, "cudaStreamQuery": 0, "cudaEventRecord": 1}


def test_what_is_known_of_a_span_is_told(found: dict[str, list[dict[str, Any]]]) -> None:
    facts = [(row["fact"], row["value"]) for row in found["facts"] if row["ts"] == 4800 + 60]
    assert ("gap_ns", "10") in [(fact, str(value)) for fact, value in facts]
    told = ["iteration", "group", "gap_ns", "cause", "intrinsic_ns", "wait_ns", "grid", "block"]
    assert {fact for fact, _ in facts} == set(told)
    assert {row["fact"] for row in found["facts"]} >= {"nsys_start_ns", "overlap_ns"}


def test_a_recorded_trace_has_its_waiting_its_arrows_and_no_trouble() -> None:
    timeline = spans.find(analysis.read(recorded("sglang", 2, "on")), 3)
    count = "select count(*) as n from {}"
    trouble, waiting, flows, slices = ask(
        perfetto_file.encode(timeline), TROUBLE, WAITING, count.format("flow"), count.format("slice")
    )
    assert trouble == []
    assert slices[0]["n"] == len(timeline.spans)
    assert flows[0]["n"] == timeline.spans["call"].nunique()
    assert {(row["parent"], row["late_ns"]) for row in waiting} == {("collective", 0)}
    shown = timeline.spans[timeline.spans["category"] == "waiting"]
    assert sum(row["dur"] for row in waiting) == (shown["end_ns"] - shown["start_ns"]).sum()


def test_the_same_timeline_is_the_same_file(drawn: Timeline) -> None:
    assert perfetto_file.encode(drawn) == perfetto_file.encode(drawn)
