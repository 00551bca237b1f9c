"""What differs between graphs off and on, told apart: idle time of the GPU, and other work.

A step of 100 us: `nvjet` 40, `rms_norm` 10, `nvjet` 20, `sample` 10. Without graphs the GPU waits 5 us for each of the
four launches, in a graph 1 us between nodes; the step ends when `sample` does.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from analysis import compare, differences, extract, iterations, kernels, tables
from analysis.compare import Comparison
from analysis.errors import TraceError
from analysis.iterations import Trace
from tests import traces
from tests.traces import Sqlite, recorded, steady

STEP = (("nvjet_a", 40), ("rms_norm", 10), ("nvjet_b", 20), ("sample", 10))
COMPILED = (("nvjet_a", 40), ("triton_red_fused_rms_norm_0", 6), ("nvjet_b", 20), ("sample", 10))
STEPS = 24


def _write(
    path: Path,
    *,
    graphs: bool,
    step: Sequence[tuple[str, int]] = STEP,
    ranks: int = 1,
    gpu: str = "H200",
) -> Path:
    """A trace of such steps; times in us."""
    trace = Sqlite()
    for rank in range(ranks):
        trace.gpu(rank, uuid=f"uuid-{rank}", name=gpu)
        where = {"pid": 101 + rank, "device": rank}
        now = 1_000_000
        for _ in range(STEPS):
            nodes, began = [], now
            for name, took in step:
                start = now + (1_000 if graphs else 5_000)
                now = start + 1_000 * took
                if graphs and name != "sample":
                    nodes.append((name, start, now))
                else:
                    trace.launch(name, at=start - 5_000, took=3_000, start=start, end=now, **where)
            if nodes:
                trace.graph(nodes, at=began - 9_000, took=2_000, **where)
    return trace.write(path)


def _read(path: Path) -> Trace:
    return iterations.find(extract.read(path))


def _pair(folder: Path, *, on: Sequence[tuple[str, int]] = STEP, **settings: object) -> Comparison:
    off = _read(_write(folder / "off.sqlite", graphs=False))
    return compare.compare(off, _read(_write(folder / "on.sqlite", graphs=True, step=on, **settings)))


def test_kernels_that_are_the_same_leave_nothing_but_idle_time(tmp_path: Path) -> None:
    found = _pair(tmp_path)
    saved = found.separation
    assert (saved["iteration"], saved["idle"], saved["work"], saved["residual"]) == (16, 16, 0, 0)
    assert found.kernels["change"].tolist() == ["same"] * 4
    assert found.warnings == ()


def test_what_torch_compile_saves_is_work_and_not_the_effect_of_graphs(tmp_path: Path) -> None:
    found = _pair(tmp_path, on=COMPILED)
    assert (found.separation["iteration"], found.separation["idle"], found.separation["work"]) == (20, 16, 4)
    assert found.work["only_off"] == {"off_us": 10, "on_us": 0, "saved_us": 10}
    assert found.work["only_on"] == {"off_us": 0, "on_us": 6, "saved_us": -6}
    assert found.work["all"]["saved_us"] == 4
    assert "Of the 20 us between them on the critical path, 16 us (80 %) are time in which" in found.sentence
    assert "4 us (20 %) are other work (compute 4, collectives 0)" in found.sentence
    assert "only with graphs off took 10 us, those that ran only with graphs on 6 us." in found.sentence


def test_groups_stand_side_by_side_whatever_their_kernels_are_called(tmp_path: Path) -> None:
    groups = _pair(tmp_path, on=COMPILED).groups.set_index("group")
    assert groups.loc["norm"].tolist() == [1, 1, 10, 6, 4]
    assert groups.loc["GEMM"].tolist() == [2, 2, 60, 60, 0]


@pytest.mark.parametrize(
    ("off", "on", "changes"),
    [
        pytest.param({"f<1>(x)": (4, 8.0)}, {"f<1>(x)": (4, 8.0)}, ["same"], id="the same"),
        pytest.param({"f<1>(x)": (4, 8.0)}, {"f<1>(x)": (5, 10.0)}, ["count"], id="more often"),
        pytest.param({"f<1>(x)": (4, 8.0)}, {"f<1>(x)": (4, 12.0)}, ["time"], id="longer each"),
        pytest.param({"f<1>(x)": (4, 8.0)}, {"f<1>(x)": (4, 8.3)}, ["same"], id="longer by little"),
        pytest.param({"f<1>(x)": (4, 8.0)}, {"f<2>(x)": (4, 8.0)}, ["variant"], id="other template arguments"),
        pytest.param({"f<1>(x)": (4, 8.0)}, {"f<2>(x)": (5, 8.0)}, ["only_off", "only_on"], id="not as often"),
        pytest.param({"f<1>(x)": (4, 8.0)}, {"g<1>(x)": (4, 8.0)}, ["only_off", "only_on"], id="another function"),
        pytest.param(
            {"f<1>(x)": (4, 8.0)},
            {"f<2>(x)": (4, 8.0), "f<3>(x)": (4, 1.0)},
            ["only_off", "only_on", "only_on"],
            id="two candidates",
        ),
        pytest.param(
            {"f<1>(x)": (4, 8.0), "f<0>(x)": (1, 1.0)},
            {"f<2>(x)": (4, 8.0), "f<0>(x)": (1, 1.0)},
            ["same", "variant"],
            id="one candidate is left",
        ),
    ],
)
def test_a_kernel_is_matched_by_name_and_a_variant_only_where_that_is_sure(
    off: dict[str, tuple[int, float]], on: dict[str, tuple[int, float]], changes: list[str]
) -> None:
    found = differences.between(_kernels(off), _kernels(on))
    assert sorted(found["change"]) == changes
    assert found["off_us"].sum() == sum(us for _, us in off.values())
    assert found["on_us"].sum() == sum(us for _, us in on.values())


def _kernels(rows: dict[str, tuple[int, float]]) -> pd.DataFrame:
    cells = [
        {"group": "GEMM", "kind": "kernel", "name": name, "shapes": 1, "per_iteration": count, "us_per_iteration": us,
         "in_graph_ratio": 0.0} for name, (count, us) in rows.items()
    ]  # fmt: skip
    return tables.conform(pd.DataFrame(cells), kernels.KERNELS, "kernels")


def test_a_first_trace_with_graphs_is_refused_and_what_was_found_is_named(tmp_path: Path) -> None:
    on = _read(_write(tmp_path / "on.sqlite", graphs=True))
    with pytest.raises(TraceError, match=r"^on: graphs are on \(graph launches in an iteration: 1\); expected none"):
        compare.compare(on, on)


def test_a_second_trace_without_graphs_is_refused(tmp_path: Path) -> None:
    off = _read(_write(tmp_path / "off.sqlite", graphs=False))
    with pytest.raises(
        TraceError, match=r"^off: graphs are off \(graph launches in an iteration: 0\); expected at least"
    ):
        compare.compare(off, off)


@pytest.mark.parametrize("unseen", ["off", "on"])
def test_a_trace_with_graphs_of_which_nothing_was_recorded_is_on_neither_side(tmp_path: Path, unseen: str) -> None:
    sides = {graphs: _read(_write(tmp_path / f"{graphs}.sqlite", graphs=graphs == "on")) for graphs in ("off", "on")}
    sides[unseen] = _read(traces.unseen().write(tmp_path / "unseen.sqlite"))
    with pytest.raises(TraceError, match=r"^unseen: graphs were launched, but nothing .*: nsys profile --cuda-graph-"):
        compare.compare(sides["off"], sides["on"])


def test_traces_of_different_tensor_parallel_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="off has 1 rank and on 2 ranks; expected"):
        _pair(tmp_path, ranks=2)


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"gpu": "A800"}, "the traces differ in GPU: H200 with graphs off, A800 with graphs on"),
        ({"on": (*STEP[:3], ("nvjet_c", 1), STEP[3])}, "differ in model: 2 matrix products with graphs off, 3 with"),
        ({"on": (("nvjet_a", 60), *STEP[1:])}, "differ in what their matrix products take: 60 us an iteration"),
        ({"on": (*STEP[:3], ("ncclDevKernel_AllReduce(x)", 5), STEP[3])}, "differ in collectives: none with graphs"),
        ({"on": (STEP[0], ("layer_norm", 10), STEP[2], ("argmax", 10))}, "differ in engine or its version: beside"),
    ],
)  # fmt: skip
def test_what_else_differs_than_graphs_is_warned_of(tmp_path: Path, settings: dict, warning: str) -> None:
    found = [text for text in _pair(tmp_path, **settings).warnings if text.startswith("the traces differ")]
    assert len(found) == 1
    assert warning in found[0]


def test_half_of_the_functions_may_be_others_as_torch_compile_makes_them(tmp_path: Path) -> None:
    assert _pair(tmp_path, on=COMPILED).warnings == ()


def test_another_engine_is_warned_of_with_the_share_of_functions_that_the_other_lacks() -> None:
    found = compare.compare(_read(recorded("vllm", 1, "off")), _read(recorded("sglang", 1, "on")))
    (warning,) = [text for text in found.warnings if "engine" in text]
    assert all(int(share) > 50 for share in re.findall(r"(\d+) %", warning))
    assert warning.startswith("the traces differ in engine or its version: beside matrix products ")


@pytest.mark.parametrize(
    ("changed", "warning"),
    [
        ({"nsys_version": "2026.1"}, "differ in nsys version: 2025.3.2.0 with graphs off, 2026.1 with graphs on"),
        ({"steps": {"sequences": 4}}, "differ in batch size: 1 with graphs off, 4 with graphs on"),
        ({"steps": {"sequences": None}}, ""),
    ],
)
def test_other_versions_of_nsys_and_other_batch_sizes_are_warned_of(
    tmp_path: Path, changed: dict, warning: str
) -> None:
    off, on = (compare.side(_read(_write(tmp_path / f"{g}.sqlite", graphs=g == "on")), g) for g in ("off", "on"))
    found = compare.between(off, compare.Side(summary={**on.summary, **changed}, kernels=on.kernels)).warnings
    assert [text for text in found if text.startswith("the traces")] == ([f"the traces {warning}"] if warning else [])


def test_where_graphs_were_recorded_whole_the_separation_is_not_guessed_at_over_ranks(tmp_path: Path) -> None:
    on = Sqlite()
    for rank in range(2):
        on.gpu(rank, uuid=f"uuid-{rank}", name="H200")
        for begin in range(1_000_000, 3_400_000, 100_000):
            on.whole_graph(begin, begin + 70_000, at=begin - 9_000, pid=101 + rank, device=rank)
            for name, start in (("rms_norm", 71_000), ("sample", 80_000)):
                at = begin + start
                on.launch(name, at=at - 5_000, took=3_000, start=at, end=at + 5_000, pid=101 + rank, device=rank)
    meeting = (*STEP[:3], ("ncclDevKernel_AllReduce(x)", 5), STEP[3])
    off = _read(_write(tmp_path / "off.sqlite", graphs=False, ranks=2, step=meeting))
    found = compare.compare(off, _read(on.write(tmp_path / "on.sqlite")))
    assert set(found.separation.values()) == {None}
    assert "(traced). No verdict on what the difference is made of: on: graph nodes: a launch as one" in found.sentence
    assert any("recorded whole" in text for text in found.warnings)
    assert any(text.startswith("on: unfit: graph nodes: ") and "graph-trace=node" in text for text in found.warnings)
    json.dumps(found.to_json(), allow_nan=False)


def test_one_gpu_with_graphs_recorded_whole_gets_no_verdict_but_what_to_record(tmp_path: Path) -> None:
    off, on = (_read(steady(f"vllm_{how}_tp1")) for how in ("compiled", "whole-graphs"))
    found = compare.compare(off, on)
    assert found.on.summary["critical_path_us"]["wall"] > 0
    assert found.on.summary["critical_path_us"]["graph_gap"] is None
    assert set(found.separation.values()) == {None}
    assert {us for row in found.work.values() for us in row.values()} == {None}
    assert (len(found.kernels), len(found.groups)) == (0, 0)
    saved = found.measures.set_index("quantity")["saved"]
    assert saved[["path_wall_us", "path_compute_us", "path_graph_gap_us", "useful_us", "operations"]].isna().all()
    assert saved["iteration_median_us"] > 0
    assert re.fullmatch(
        r"An iteration takes \d+ us with graphs off and \d+ us with graphs on \(traced\)\. No verdict on what the "
        r"difference is made of: .*: graph nodes: .*; record with: nsys profile --cuda-graph-trace=node\.",
        found.sentence,
    )
    json.dumps(found.to_json(), allow_nan=False)


def test_too_few_steps_on_a_side_are_no_verdict_though_paths_are_known(tmp_path: Path) -> None:
    off, on = (_read(_write(tmp_path / f"{g}.sqlite", graphs=g == "on")) for g in ("off", "on"))
    few = _read(traces.decode(graphs=True, prefill=False, steps=12).write(tmp_path / "few.sqlite"))
    found = compare.compare(off, few)
    assert found.on.summary["critical_path_us"]["graph_gap"] is not None
    assert (found.separation["idle"], found.work["all"]["saved_us"]) == (None, None)
    assert "few: steady steps: 6 steady decode iterations; record at least 64 decode steps" in found.sentence
    assert len(found.kernels) > 0
    assert compare.compare(off, on).voided == ()


def test_the_json_has_the_keys_that_the_module_describes(tmp_path: Path) -> None:
    found = _pair(tmp_path, on=COMPILED).to_json()
    json.dumps(found, allow_nan=False)
    assert compare.__doc__ is not None
    described = [
        line.split()[0].strip(",")
        for line in compare.__doc__.splitlines()
        if line.startswith("    ") and line[4] != " "
    ]
    assert ["off", *described[1:]] == [key for key in found if key != "on"]
    assert found["off"]["name"] == "off"
    assert found["on"]["batch"] == 1
    assert set(found["work"]) == {*differences.CHANGES, "all"}
    assert [row["off_name"] for row in found["kernels"] if row["change"] == "only_on"] == [None]


def test_the_measures_stand_side_by_side(tmp_path: Path) -> None:
    measures = _pair(tmp_path).measures.set_index("quantity")
    assert measures.loc["iteration_median_us"].tolist() == [100, 84, 16]
    assert measures.loc["launches"].tolist() == [4, 2, 2]
    assert measures.loc["graph_launches"].tolist() == [0, 1, -1]


def test_vllms_graph_mode_is_seen_to_change_compute_copies_and_attention() -> None:
    found = compare.compare(*(_read(recorded("vllm", 8, graphs)) for graphs in ("off", "on")))
    assert [text for text in found.warnings if text.startswith("the traces differ")] == []
    kernel = found.kernels.set_index("off_name")
    copies = kernel.loc["copy DtoD"]
    assert copies["off_per_iteration"] - copies["on_per_iteration"] == 63
    variant = found.kernels[found.kernels["change"] == "variant"]
    assert variant["group"].tolist() == ["attention"]
    only_on = found.kernels[found.kernels["change"] == "only_on"]
    assert only_on.iloc[0]["group"] == "attention"
    assert only_on["on_name"].str.startswith("triton_").sum() == 7
    assert found.separation["idle"] > 0.99 * found.separation["iteration"]


def test_graphs_of_vllm_on_one_gpu_save_idle_time_and_torch_compile_3_percent_of_the_work() -> None:
    found = compare.compare(*(_read(recorded("vllm", 1, graphs)) for graphs in ("off", "on")))
    assert found.separation["idle"] == pytest.approx(7538, rel=0.02)
    assert found.separation["work"] == pytest.approx(137, rel=0.05)
    assert found.work["all"]["saved_us"] == pytest.approx(found.separation["work"], rel=0.02)
    assert 0.01 < found.work["all"]["saved_us"] / found.work["all"]["off_us"] < 0.03


def test_sglangs_pair_differs_in_no_matrix_product_norm_or_collective() -> None:
    found = compare.compare(*(_read(recorded("sglang", 2, graphs)) for graphs in ("off", "on")))
    same = found.kernels[found.kernels["group"].isin(["GEMM", "norm", "collective", "activation", "rope/cache"])]
    assert set(same["change"]) <= {"same", "time"}
    assert abs(found.separation["work"]) < 0.01 * found.work["all"]["off_us"]
