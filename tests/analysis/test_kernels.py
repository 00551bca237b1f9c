"""What a rank's time goes to: each instant belongs to one operation, and the parts are the useful time.

Every step is 100 ns, the steps 5, 6 and 7 of 9 are the steady ones. Both ranks multiply for 20; rank 1 starts 30 late:

    rank 0  nvjet 0-20   all_reduce 20-60   rms_norm 62-70   sample 70-80
    rank 1  nvjet 30-50  all_reduce 50-60   rms_norm 62-70   sample 70-80
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from analysis import collectives, extract, iterations, kernels
from analysis.iterations import Trace
from tests import traces
from tests.traces import Sqlite, recorded

Part = tuple[str, int, int]
ALL_REDUCE = "void vllm::cross_device_reduce_1stage<__nv_bfloat16, (int)2>(vllm::RankData *, int)"
AFTER: list[Part] = [("rms_norm", 62, 70), ("sample", 70, 80)]
EARLY: list[Part] = [("nvjet", 0, 20), (ALL_REDUCE, 20, 60), *AFTER]
LATE: list[Part] = [("nvjet", 30, 50), (ALL_REDUCE, 50, 60), *AFTER]
STEPS = 9


def _trace(folder: Path, *ranks: Sequence[Part], beside: Sequence[Sequence[Part]] = ()) -> Trace:
    """Steps of these parts per rank; the n-th of `beside` runs on another stream of rank n in every step."""
    trace = Sqlite()
    for rank, parts in enumerate(ranks):
        trace.gpu(rank, uuid=f"uuid-{rank}")
        for stream, mine in ((3, parts), (9, beside[rank] if rank < len(beside) else ())):
            for begin in range(1000, 1000 + 100 * STEPS, 100):
                for name, start, end in mine:
                    where = {"pid": 101 + rank, "device": rank, "stream": stream}
                    trace.launch(name, at=begin + start - 9, start=begin + start, end=begin + end, **where)
    return iterations.find(extract.read(trace.write(folder / "trace.sqlite")))


def _ns(trace: Trace) -> dict[str, float]:
    """The useful time of each name in an iteration, in ns."""
    found = kernels.table(trace)
    return {name: round(1e3 * us, 3) for name, us in zip(found["name"], found["us_per_iteration"], strict=True)}


@pytest.mark.parametrize(
    ("starts", "ends", "streams", "waits", "own"),
    [
        pytest.param([0, 10], [10, 15], [1, 1], [0, 0], [10, 5], id="one after the other"),
        pytest.param([0, 8], [10, 15], [1, 1], [0, 0], [10, 5], id="a dependent launch begins early and waits"),
        pytest.param([0, 2], [10, 8], [1, 1], [0, 0], [10, 0], id="hidden under a longer one"),
        pytest.param([0, 4], [10, 14], [1, 2], [0, 0], [10, 4], id="two streams at once"),
        pytest.param([0], [40], [1], [30], [10], id="a collective that spun"),
        pytest.param([0, 5], [40, 15], [1, 2], [30, 0], [10, 10], id="a copy beside the spinning"),
        pytest.param([0, 5], [40, 45], [1, 1], [30, 0], [10, 5], id="what spins behind a spinning collective"),
        pytest.param([-20, -5], [-8, 0], [1, 1], [0, 0], [12, 5], id="times before zero"),
        pytest.param([], [], [], [], [], id="nothing"),
    ],
)
def test_an_instant_belongs_to_one_operation(
    starts: list[int], ends: list[int], streams: list[int], waits: list[int], own: list[int]
) -> None:
    arrays = (np.array(values, np.int64) for values in (starts, ends, streams, waits))
    assert kernels.useful_ns(*arrays).tolist() == own


def test_a_collective_counts_with_its_own_time_and_not_with_the_spinning(tmp_path: Path) -> None:
    assert _ns(_trace(tmp_path, EARLY, LATE)) == {"nvjet": 20, ALL_REDUCE: 10, "sample": 10, "rms_norm": 8}


def test_a_collective_that_ends_on_either_side_of_the_anchor_counts_with_its_own_time(tmp_path: Path) -> None:
    parts = [("nvjet", 0, 40), ("rms_norm", 42, 70), ("sample", 70, 80)]
    trace = _trace(tmp_path, parts, parts, beside=[[(ALL_REDUCE, 41, 79)], [(ALL_REDUCE, 65, 85)]])
    # It takes 20: rank 0 spins up to 59, beside the norm, whose time that is.
    found = _ns(trace)
    assert (found["nvjet"], found["rms_norm"]) == (40, 28)
    # From 70 up to 79 on rank 0 and up to 85 on rank 1, where one began before the steady iterations, at 65.
    assert found[ALL_REDUCE] == pytest.approx((3 * 9 + 15 + 15 + 20) / 6, abs=1e-3)


def test_the_table_counts_names_in_their_groups_with_their_shapes(tmp_path: Path) -> None:
    trace = traces.Sqlite()
    for begin in range(1000, 2000, 100):
        trace.graph([("nvjet", begin, begin + 20)], at=begin - 9)
        trace.launch("nvjet", at=begin + 10, start=begin + 20, end=begin + 30, grid=7)
        trace.copy(begin + 40, begin + 44, at=begin + 30)
        trace.launch("rms_norm", at=begin + 35, start=begin + 44, end=begin + 50)
        trace.launch("_gumbel_sample_kernel", at=begin + 40, start=begin + 50, end=begin + 60)
    found = kernels.table(iterations.find(extract.read(trace.write(tmp_path / "a.sqlite"))))
    columns = ["group", "name", "shapes", "per_iteration", "us_per_iteration", "in_graph_ratio"]
    assert found[columns].to_numpy().tolist() == [
        ["GEMM", "nvjet", 2, 2, 0.03, 0.5],
        ["sampling", "_gumbel_sample_kernel", 1, 1, 0.01, 0],
        ["norm", "rms_norm", 1, 1, 0.006, 0],
        ["copy", "copy DtoH", 1, 1, 0.004, 0],
    ]
    groups = kernels.by_group(found)
    assert groups["group"].tolist() == ["GEMM", "norm", "copy", "sampling"]
    assert groups["share_ratio"].tolist() == pytest.approx([0.6, 0.12, 0.08, 0.2])


def test_the_count_is_that_of_the_median_rank(tmp_path: Path) -> None:
    other = [("fill", 82, 84), ("fill", 84, 86), ("fill", 86, 88)]
    found = kernels.table(_trace(tmp_path, EARLY, LATE, EARLY, beside=[other])).set_index("name")
    assert found.loc[["nvjet", "fill"], "per_iteration"].tolist() == [1, 0]
    assert found.loc["fill", "us_per_iteration"] == pytest.approx(0.002)


def test_time_in_collectives_is_unknown_where_ranks_disagree_on_them(tmp_path: Path) -> None:
    other = [(name.replace("1stage", "2stage"), start, end) for name, start, end in LATE]
    found = kernels.table(_trace(tmp_path, EARLY, other)).set_index("group")
    assert found.loc["collective", "us_per_iteration"].isna().all()
    assert found.loc["GEMM", "us_per_iteration"] == pytest.approx(0.02)
    assert kernels.by_group(found.reset_index())["share_ratio"].isna().all()


def test_a_graph_recorded_whole_is_a_group_of_its_own(tmp_path: Path) -> None:
    trace = traces.Sqlite()
    for begin in range(1000, 2000, 100):
        trace.whole_graph(begin, begin + 50, at=begin - 9)
        trace.launch("sample", at=begin + 40, start=begin + 60, end=begin + 70)
        trace.launch("norm", at=begin + 45, start=begin + 70, end=begin + 80)
    found = kernels.table(iterations.find(extract.read(trace.write(tmp_path / "a.sqlite"))))
    assert found.loc[0, ["group", "kind", "us_per_iteration"]].tolist() == ["whole graph", "graph", 0.05]


@pytest.mark.parametrize(
    ("after", "group"), [("reshape_and_cache_flash_kernel", "rope/cache"), ("nvjet_other", "elementwise")]
)
def test_fused_kernels_without_a_name_rotate_where_they_run_before_the_cache_is_written(
    tmp_path: Path, after: str, group: str
) -> None:
    parts = [("nvjet", 0, 20), ("triton_poi_fused_1", 20, 24), ("triton_poi_fused_2", 24, 28), (after, 28, 30)]
    found = kernels.table(_trace(tmp_path, [*parts, ("triton_poi_fused_3", 30, 32), *AFTER])).set_index("name")
    assert found.loc[["triton_poi_fused_1", "triton_poi_fused_2"], "group"].tolist() == [group, group]
    assert found.loc["triton_poi_fused_3", "group"] == "elementwise"


@pytest.mark.parametrize("graphs", ["off", "on"])
@pytest.mark.parametrize(("engine", "tp"), [("vllm", 1), ("vllm", 8), ("sglang", 2), ("sglang", 8)])
def test_the_time_of_all_kernels_of_a_real_trace_is_its_useful_time_and_little_of_it_is_other(
    engine: str, tp: int, graphs: str
) -> None:
    trace = traces.found(recorded(engine, tp, graphs))
    matched = collectives.match(trace)
    found = kernels.table(trace, matched)
    useful_us = 1e3 * collectives.waits(trace, matched)["useful_ms"].mean()
    assert found["us_per_iteration"].sum() == pytest.approx(useful_us, rel=0.005)
    groups = kernels.by_group(found).set_index("group")
    assert groups.loc["other", "share_ratio"] < 0.01
    layers = 32
    splits = {("off", "vllm"): 1, ("off", "sglang"): 1}.get((graphs, engine), 2)
    assert groups.loc["attention", "per_iteration"] == layers * splits + 1
    assert groups.loc["norm", "per_iteration"] == 2 * layers + 1
    assert groups.loc["activation", "per_iteration"] == layers
    assert groups.loc["sampling", "per_iteration"] == {"vllm": 3, "sglang": 1}[engine]
    assert groups["per_iteration"].get("collective", 0) == (2 * layers + 2 if tp > 1 else 0)
    assert groups.loc["GEMM", "per_iteration"] == 193
