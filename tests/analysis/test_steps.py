"""What each step of a capture was, on hand-made servers and on real ones whose schedule is known."""

import dataclasses
import json
from itertools import chain, product, repeat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import extract, iterations, step_marks, steps
from analysis.errors import TraceError
from analysis.iterations import Trace
from tests import traces
from tests.traces import Sqlite, forward

VLLM = ("vllm_off_tp1", "vllm_on_tp1", "vllm_on_tp2", "vllm_cliff_tp1", "vllm_piecewise_tp1")
SGLANG = ("sglang_off_tp1", "sglang_on_tp1", "sglang_on_tp2")


def decode(sequences: int, graphs: str = "none", tokens: int = 0) -> dict:
    return {"tokens": tokens or sequences, "sequences": sequences, "graphs": graphs}


def prefill(tokens: int, sequences: int = 1) -> dict:
    return {"tokens": tokens, "sequences": sequences, "graphs": "none"}


def serve(*schedule, marks=None, inline=True, **shape) -> Sqlite:
    """A trace of these steps; of `marks` each is an NVTX range around the launches of the step of its number."""
    trace, now = Sqlite(), 1000
    for number, each in enumerate(chain(*(step if isinstance(step, list) else [step] for step in schedule))):
        began, now = now, forward(trace, now, **each, **shape)
        if marks:
            trace.nvtx(marks[number], began - 15, now - 30, inline=inline)
    return trace


def find(trace: Sqlite, folder: Path) -> Trace:
    return iterations.find(extract.read(trace.write(folder / "trace.sqlite")))


def kinds(trace: Trace) -> list[tuple]:
    return list(zip(trace.steps["kind"], trace.steps["sequences"], trace.steps["tokens"], strict=True))


def test_a_batch_that_shrinks_is_cut_into_steps_and_the_most_frequent_size_kept(tmp_path: Path) -> None:
    trace = find(serve([decode(4)] * 12, [decode(3)] * 20, [decode(1)] * 6), tmp_path)
    # The first step ends where the first interval begins.
    assert kinds(trace) == [("decode", 4, 4)] * 11 + [("decode", 3, 3)] * 20 + [("decode", 1, 1)] * 6
    assert trace.iterations["iteration"].tolist() == list(range(12, 32))
    assert steps.counts(trace) == {
        "decode": 38, "prefill": 0, "mixed": 0, "other": 0, "open_ends": 1, "kept": 20, "sequences": 3,
        "dropped": {"profiler start": 4, "end of capture": 1, "batch size": 12},
    }  # fmt: skip
    assert "12 of another batch size" in trace.why_dropped


def test_prefill_between_decode_steps_is_told_from_them_and_dropped(tmp_path: Path) -> None:
    schedule = [[decode(3)] * 8, prefill(100), [decode(4)] * 9, prefill(40), prefill(70, 2), [decode(4)] * 9]
    trace = find(serve(*schedule), tmp_path)
    between = [("prefill", 1, 40), ("prefill", 2, 70)]
    assert kinds(trace) == [
        *[("decode", 3, 3)] * 7, ("prefill", 1, 100), *[("decode", 4, 4)] * 9, *between, *[("decode", 4, 4)] * 9,
    ]  # fmt: skip
    assert trace.steps["why"].tolist()[7:10] == ["prefill", "after prefill", ""]
    # A step that was dropped leaves its number free.
    assert trace.iterations["iteration"].tolist() == [*range(10, 18), *range(21, 28)]
    assert set(np.diff(trace.iterations[["start_ns", "end_ns"]]).ravel()) == {35 * 6 + 20}


def test_prefill_that_runs_beside_decoding_sequences_is_mixed(tmp_path: Path) -> None:
    schedule = [[decode(3)] * 8, prefill(103, 4), [decode(4)] * 9, prefill(55, 5), [decode(5)] * 4, [decode(4)] * 9]
    trace = find(serve(*schedule), tmp_path)
    found = steps.counts(trace)
    assert (found["decode"], found["mixed"], found["prefill"], found["kept"]) == (30, 2, 0, 16)
    assert trace.steps["kind"].tolist()[7] == "mixed"


def test_a_prefill_before_the_first_anchor_is_counted_though_nothing_tells_where_it_began(tmp_path: Path) -> None:
    trace = find(serve(prefill(100), [decode(3)] * 12), tmp_path)
    assert kinds(trace) == [("decode", 3, 3)] * 12
    assert trace.open_ends == ("prefill",)
    counted = steps.counts(trace)
    assert (counted["prefill"], counted["decode"], counted["open_ends"]) == (1, 12, 1)


@pytest.mark.parametrize(("kept", "counted"), [(17, 0), (18, 1)])
def test_a_step_that_the_end_of_the_capture_cuts_counts_from_half_of_its_operations_on(
    tmp_path: Path, kept: int, counted: int
) -> None:
    trace = serve([decode(3)] * 12)
    # A step has 35 operations; of one more this many were recorded.
    forward(trace, 1000 + 12 * (35 * 6 + 20), tokens=3, sequences=3)
    for table in (traces.KERNEL, traces.RUNTIME):
        del trace.tables[table][12 * 35 + kept :]
    found = find(trace, tmp_path)
    assert found.open_ends == ("decode",) * (1 + counted)
    assert steps.counts(found)["decode"] == 12 + counted


def test_where_the_engine_marks_steps_an_open_end_without_a_mark_is_none(tmp_path: Path) -> None:
    marks = ["execute_context_1(100)_generation_0(0)", *["execute_context_0(0)_generation_3(3)"] * 12]
    for first, expected in ((marks[0], ("prefill",)), ("execute_context_0(0)_generation_0(0)", ())):
        activity = serve(prefill(100), [decode(3)] * 12, marks=[first, *marks[1:]])
        folder = tmp_path / str(len(expected))
        folder.mkdir()
        assert find(activity, folder).open_ends == expected


@pytest.mark.parametrize(("engine", "tp"), [*product(("vllm",), (1, 4, 8)), *product(("sglang",), (1, 2, 8))])
@pytest.mark.parametrize("graphs", ["off", "on"])
def test_the_prefill_of_a_recorded_capture_and_all_its_decode_steps_are_counted(
    engine: str, tp: int, graphs: str
) -> None:
    activity = traces.activity(traces.recorded(engine, tp, graphs))
    found = steps.counts(traces.found(traces.recorded(engine, tp, graphs)))
    # vLLM's ranges say 23; SGLang, which schedules a step ahead, runs one more.
    assert (found["prefill"], found["decode"]) == (1, 23 + (engine == "sglang"))
    marks = step_marks.marked(activity, 0)["kind"].value_counts().to_dict()
    assert marks in ({}, {"decode": 23, "prefill": 1})


@pytest.mark.parametrize("name", VLLM)
def test_of_a_served_vllm_as_many_steps_of_each_kind_are_counted_as_it_marked(name: str) -> None:
    activity = traces.activity(traces.served(name))
    marks = step_marks.marked(activity, 0)["kind"].value_counts()
    found = steps.counts(traces.found(traces.served(name)))
    assert {kind: found[kind] for kind in steps.KINDS} == {kind: marks.get(kind, 0) for kind in steps.KINDS}


def test_what_ran_beside_the_first_step_of_many_rows_cannot_be_told(tmp_path: Path) -> None:
    schedule = [decode(3), prefill(103, 4), [decode(4)] * 9, prefill(55, 5), [decode(5)] * 9, decode(4)]
    assert find(serve(*schedule), tmp_path).steps["kind"].tolist()[0] == "other"


@pytest.mark.parametrize("inline", [True, False])
def test_marks_of_the_engine_are_believed(tmp_path: Path, inline: bool) -> None:
    marks = [*["execute_context_0(0)_generation_3(3)"] * 8, "execute_context_1(100)_generation_3(3)"]
    marks += ["execute_context_0(0)_generation_4(4)"] * 12
    # Marks that say of two steps what the operations cannot: two sequences of two tokens each.
    marks[12] = marks[13] = "execute_context_0(0)_generation_2(4)"
    trace = find(serve([decode(3)] * 8, prefill(103, 4), [decode(4)] * 12, marks=marks, inline=inline), tmp_path)
    assert kinds(trace)[6:9] == [("decode", 3, 3), ("mixed", 4, 103), ("decode", 4, 4)]
    assert kinds(trace)[11:13] == [("decode", 2, 4), ("decode", 2, 4)]
    assert trace.steps.loc[trace.steps["sequences"] == 2, "why"].tolist() == ["batch size"] * 2


def test_the_mark_of_a_step_is_the_one_around_most_of_its_launches(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for batch in [*[3] * 10, *[4] * 14]:  # the first three launches of a step lie in the range of the one before
        began, now = now, forward(trace, now, tokens=batch, sequences=batch)
        trace.nvtx(f"execute_context_0(0)_generation_{batch}({batch})", began, now - 1)
    assert find(trace, tmp_path).steps["sequences"].tolist() == [3] * 9 + [4] * 14


def test_a_step_outside_all_marks_is_told_by_its_operations(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for number, batch in enumerate([*[3] * 10, *[4] * 14]):
        began, now = now, forward(trace, now, tokens=batch, sequences=batch)
        if number < 10:
            trace.nvtx(f"execute_context_0(0)_generation_{batch}({batch})", began - 15, now - 30)
    assert find(trace, tmp_path).steps["sequences"].tolist() == [3] * 9 + [4] * 14


def test_marks_of_an_idle_engine_mark_nothing(tmp_path: Path) -> None:
    trace = serve([decode(2)] * 12, marks=["execute_context_0(0)_generation_0(0)"] * 12)
    assert steps.counts(find(trace, tmp_path))["decode"] == 12


def test_a_graph_is_padded_and_prefill_between_graphs_is_not_in_one(tmp_path: Path) -> None:
    schedule = [[decode(3, "full", 4)] * 8, prefill(100), [decode(4, "full")] * 12, [decode(3, "full", 4)] * 4]
    trace = find(serve(*schedule), tmp_path)
    assert kinds(trace)[:8] == [*[("decode", 3, 4)] * 7, ("prefill", 1, 100)]
    assert trace.steps["graph_launches"].tolist() == [*[1] * 7, 0, *[1] * 16]
    assert trace.iterations["iteration"].tolist() == list(range(10, 21))


def test_a_graph_of_many_more_rows_than_sequences_is_not_padded(tmp_path: Path) -> None:
    trace = find(serve([decode(4, "full")] * 8, decode(5, "full", 64), [decode(5, "full", 8)] * 12), tmp_path)
    assert trace.steps["kind"].tolist() == ["decode"] * 7 + ["mixed"] + ["decode"] * 12


@pytest.mark.parametrize(("rows", "kind"), [(7, "decode"), (8, "mixed"), (12, "mixed")])
def test_a_graph_of_twice_as_many_rows_as_sequences_is_not_padded(tmp_path: Path, rows: int, kind: str) -> None:
    trace = find(serve([decode(3, "full")] * 8, decode(4, "full", rows), [decode(3, "full")] * 12), tmp_path)
    assert trace.steps["kind"].tolist() == ["decode"] * 7 + [kind] + ["decode"] * 12


def test_pieces_of_graphs_are_one_step(tmp_path: Path) -> None:
    schedule = [[decode(3, "pieces", 4)] * 8, prefill(100), [decode(4, "pieces")] * 12, [decode(2, "pieces")] * 4]
    trace = find(serve(*schedule), tmp_path)
    assert trace.steps["graph_launches"].tolist() == [*[7] * 7, 0, *[7] * 16]
    assert steps.counts(trace)["kept"] == 11


def test_a_graph_recorded_as_a_whole_decodes_and_prefill_between_does_not(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for batch in [*[2] * 8, None, *[3] * 12]:
        if batch is None:
            now = forward(trace, now, tokens=90, sequences=1)
            continue
        trace.whole_graph(now, now + 200, at=now - 8, exec_id=batch)
        trace.launch("sample", at=now, start=now + 206, end=now + 211, grid=batch)
        trace.launch("update", at=now, start=now + 212, end=now + 217)
        now += 230
    found = find(trace, tmp_path)
    assert kinds(found)[6:9] == [("decode", 2, pd.NA), ("prefill", 1, 90), ("decode", 3, pd.NA)]
    assert (steps.counts(found)["kept"], steps.counts(found)["sequences"]) == (10, 3)


def test_pieces_recorded_as_a_whole_hide_what_the_step_was(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for _ in range(12):
        for layer in range(4):
            trace.whole_graph(now, now + 20, at=now - 8, exec_id=layer)
            trace.launch("attend", at=now, start=now + 21, end=now + 26, grid=132)
            now += 30
        trace.launch("sample", at=now, start=now + 1, end=now + 6, grid=2)
        now += 20
    with pytest.raises(TraceError, match=r"what returns, 11 times, may be a step"):
        find(trace, tmp_path)


def test_steps_with_and_without_a_graph_are_not_kept_together(tmp_path: Path) -> None:
    schedule = [[decode(4, "full")] * 12, [decode(4)] * 5, [decode(4, "full")] * 8]
    trace = find(serve(*schedule), tmp_path)
    assert steps.counts(trace)["dropped"] == {"profiler start": 4, "end of capture": 1, "graph use": 5}
    assert set(trace.steps.loc[trace.steps["kept"], "graph_launches"]) == {1}
    assert steps.other_graph_launches(trace).tolist() == [0] * 5
    assert "5 with another number of graph launches" in trace.why_dropped


def test_batches_beyond_the_largest_graph_run_without(tmp_path: Path) -> None:
    trace = find(serve([decode(5)] * 12, [decode(4, "full")] * 8, [decode(5)] * 8), tmp_path)
    assert set(trace.steps.loc[trace.steps["kept"], "graph_launches"]) == {0}
    assert steps.counts(trace)["sequences"] == 5


def test_all_ranks_are_cut_alike(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for each in chain(repeat(decode(3), 8), [prefill(100)], repeat(decode(4), 12)):
        for rank in (0, 1):
            end = forward(trace, now + 2 * rank, **each, pid=7 + rank, device=rank)
        now = end
    found = find(trace, tmp_path)
    windows = found.iterations.pivot(index="iteration", columns="rank", values="end_ns")
    assert (windows[1] - windows[0]).unique().tolist() == [2]
    assert windows.index.tolist() == list(range(10, 20))


def test_an_anchor_whose_name_tells_nothing_is_found_by_what_else_runs_once_in_a_step(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for rows in [*[1] * 12, 50, *[1] * 16]:
        for name in ["begin", *["rms_norm", f"gemm_{rows}", "attend"] * 6, "rms_norm", "end", "choose"]:
            trace.launch(name, at=now - 5, start=now, end=now + 5, grid=rows)
            now += 6
    found = find(trace, tmp_path)
    # Nothing is known to sample: of one row it can be no more than one sequence, of fifty it is not known.
    assert found.steps["kind"].value_counts()[["decode", "other"]].tolist() == [27, 1]


@pytest.mark.parametrize("later", [16, 60])
def test_a_batch_that_changes_once_hides_no_step(tmp_path: Path, later: int) -> None:
    trace = find(serve([decode(4)] * 12, [decode(3)] * later), tmp_path)
    assert steps.counts(trace)["decode"] == 12 + later


def test_steps_before_the_first_that_returns_are_not_hidden(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for batch in [*[4] * 12, *[3] * 60]:  # every grid follows the batch
        for name in ["embed", *["norm", f"gemm_{batch}", "silu"] * 6, "norm", "head", "sample"]:
            trace.launch(name, at=now - 5, start=now, end=now + 5, grid=batch)
            now += 6
    assert find(trace, tmp_path).steps["sequences"].tolist() == [4] * 11 + [3] * 60


def test_what_samples_in_each_layer_ends_no_step(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for batch in [*[4] * 12, *[3] * 9, *[2] * 9]:
        for name in ["embed", *["norm", f"gemm_{batch}", "sample_experts", "silu"] * 6, "norm", "head", "sample"]:
            trace.launch(name, at=now - 5, start=now, end=now + 5, grid=batch)
            now += 6
    assert find(trace, tmp_path).steps["sequences"].tolist() == [4] * 11 + [3] * 9 + [2] * 9


def test_blocks_beyond_the_rows_are_no_sequences(tmp_path: Path) -> None:
    trace, now = Sqlite(), 1000
    for batch in [*[4] * 12, *[3] * 16]:
        for name in ["embed", *["norm", f"gemm_{batch}", "act"] * 6, "norm", "head", "argmax_parts", "argmax"]:
            grid = 500 if name == "argmax_parts" else batch
            trace.launch(name, at=now - 5, start=now, end=now + 5, grid=grid)
            now += 6
    assert find(trace, tmp_path).steps["sequences"].tolist() == [4] * 11 + [3] * 16


def test_one_steady_iteration_is_enough_and_none_is_not(tmp_path: Path) -> None:
    assert len(find(serve([decode(4)] * 7), tmp_path).iterations) == 1
    (tmp_path / "none").mkdir()
    with pytest.raises(TraceError, match=r"too few decode iterations: found 5.*record at least 64 decode steps"):
        find(serve([decode(4)] * 6), tmp_path / "none")


def test_prefill_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TraceError, match=r"of 11 steps \(11 prefill\) none is kept.*none decodes only.*record at least"
    ):
        find(serve([prefill(100)] * 12), tmp_path)


def test_one_prefill_whose_layers_return_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"what returns, 3\d times, is a part of one step.*only 1 sampled a token"):
        find(serve(prefill(100), layers=32), tmp_path)


def test_prefill_without_its_end_is_refused(tmp_path: Path) -> None:
    trace = Sqlite()
    for layer in range(64):
        for at, name in enumerate(["norm", "gemm", "attend", "gemm_b", "act"]):
            trace.launch(name, at=50 * layer, start=50 * layer + 8 * at, end=50 * layer + 8 * at + 5, grid=512)
    with pytest.raises(
        TraceError, match=r"what returns, \d+ times, may be a step or a part of one.*kernels for norms and for sampling"
    ):
        find(trace, tmp_path)


def test_steps_whose_rows_cannot_be_told_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"what returns, 19 times, may be a step or a part of one"):
        find(serve([decode(4)] * 20, unnamed=True), tmp_path)


def test_prefills_of_equal_prompts_one_after_the_other_do_not_pass_for_layers(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"of 7 steps \(7 prefill\)"):
        find(serve([prefill(100)] * 8, layers=32), tmp_path)


def test_too_few_steps_of_one_sort_within_the_window_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no steady decode iterations: of 8 steps \(5 decode, 3 prefill\)"):
        find(serve([decode(4)] * 5, [prefill(90)] * 3, decode(4)), tmp_path)


@pytest.mark.parametrize("name", VLLM)
def test_the_operations_alone_tell_what_vllm_says_of_its_steps(name: str) -> None:
    activity = traces.activity(traces.served(name))
    marked = traces.found(traces.served(name)).steps
    told = iterations.find(dataclasses.replace(activity, ranges=activity.ranges.iloc[:0])).steps
    assert set(marked["kind"]) == {"decode", "mixed"}
    assert told["kind"].tolist()[1:] == marked["kind"].tolist()[1:]
    # The first of the capture: nothing shows what ran before.
    assert (marked["kind"][0], told["kind"][0]) == ("mixed", "other")
    assert told["sequences"].tolist() == marked["sequences"].tolist()
    padded = marked["tokens"].where((marked["tokens"] != 3) | (marked["graph_launches"] == 0), 4)
    assert told["tokens"].tolist() == padded.tolist()
    assert told["kept"].tolist() == marked["kept"].tolist()


@pytest.mark.parametrize("name", VLLM)
def test_every_step_that_vllm_marks_is_found_in_its_order(name: str) -> None:
    activity = traces.activity(traces.served(name))
    truth = step_marks.marked(activity, 0)
    found = traces.found(traces.served(name)).steps
    # The capture begins with the step that the first interval begins at the end of.
    assert found["kind"].tolist() == truth["kind"].tolist()[1:]
    assert found["tokens"].tolist() == truth["tokens"].tolist()[1:]


@pytest.mark.parametrize("name", ["vllm_on_tp1", "vllm_on_tp2", "sglang_on_tp1", "sglang_on_tp2"])
def test_the_first_step_after_a_prefill_is_left_out_because_it_is_slow(name: str) -> None:
    trace = traces.found(traces.served(name))
    lasted = (trace.iterations["end_ns"] - trace.iterations["start_ns"])[trace.iterations["rank"] == 0]
    assert (trace.steps["why"] == "after prefill").sum() == 5
    assert lasted.quantile(0.95) < 1.06 * lasted.median()


@pytest.mark.parametrize("name", SGLANG)
def test_every_step_that_sglang_scheduled_is_told_from_the_operations(name: str) -> None:
    path = traces.served(name)
    logged = json.loads(path.with_name(path.name.replace(".sqlite.xz", ".steps.json")).read_text())
    found = iterations.find(extract.read(path)).steps
    logged = logged[-len(found) :]
    assert found["kind"].tolist() == [step["kind"] for step in logged]
    assert found["sequences"].tolist() == [step["requests"] for step in logged]
    rows = [4 if step.get("graph") and step["tokens"] == 3 else step["tokens"] for step in logged]
    assert found["tokens"].tolist() == rows
    assert found["graph_launches"].tolist() == [int(step.get("graph", False)) for step in logged]


@pytest.mark.parametrize(
    ("name", "kept", "launches"),
    [("off_tp1", 57, 0), ("on_tp1", 58, 1), ("on_tp2", 56, 1), ("cliff_tp1", 56, 0), ("piecewise_tp1", 57, 33)],
)
def test_of_a_served_vllm_the_steps_of_four_sequences_are_kept(name: str, kept: int, launches: int) -> None:
    trace = traces.found(traces.served(f"vllm_{name}"))
    counted = steps.counts(trace)
    assert (counted["kept"], counted["sequences"], counted["mixed"]) == (kept, 4, 7)
    assert set(trace.steps.loc[trace.steps["kept"], "graph_launches"]) == {launches}
    assert sum(counted["dropped"].values()) + counted["kept"] == len(trace.steps)
    assert sum(counted[kind] for kind in steps.KINDS) == len(trace.steps) + counted["open_ends"]


@pytest.mark.parametrize(
    ("name", "launches", "operations"),
    [("vllm_piecewise_tp1", 33, 438), ("vllm_compiled_tp1", 0, 438), ("vllm_whole-graphs_tp1", 1, 24),
     ("vllm_whole-graphs_tp2", 1, 24), ("sglang_whole-graphs_tp1", 1, 11), ("sglang_whole-graphs_tp2", 1, 11)],
)  # fmt: skip
def test_other_modes_are_cut_into_decode_steps(name: str, launches: int, operations: int) -> None:
    trace = traces.found(traces.steady(name))
    assert (set(trace.steps["kind"]), trace.period_operations) == ({"decode"}, operations)
    assert set(trace.steps["graph_launches"]) == {launches}
    assert set(trace.steps["sequences"]) == {1}
