"""Collectives matched over ranks, on traces of two ranks that can be checked by eye, and on recorded ones.

Every step is 100 ns. Both ranks multiply for 20; rank 1 starts 30 late. The all-reduce takes 10 once both are there:

    rank 0  gemm 0-20   all_reduce 20-60   norm 62-70   sample 70-80
    rank 1  gemm 30-50  all_reduce 50-60   norm 62-70   sample 70-80
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import collectives, extract, iterations
from analysis.collectives import Matched
from analysis.iterations import Trace
from tests import traces
from tests.traces import Sqlite, recorded

Part = tuple[str, int, int]
ALL_REDUCE = "void vllm::cross_device_reduce_1stage<__nv_bfloat16, (int)2>(vllm::RankData *, int)"
GATHER = "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<(unsigned long)4096>)"
AFTER: list[Part] = [("norm", 62, 70), ("sample", 70, 80)]
EARLY: list[Part] = [("gemm", 0, 20), (ALL_REDUCE, 20, 60), *AFTER]
LATE: list[Part] = [("gemm", 30, 50), (ALL_REDUCE, 50, 60), *AFTER]
# Steps 5, 6 and 7 are the steady ones.
STEPS = 9


def _steps(trace: Sqlite, rank: int, steps: Sequence[Sequence[Part]], stream: int = 3) -> None:
    for number, parts in enumerate(steps):
        for name, start, end in parts:
            at = 1000 + 100 * number
            where = {"pid": 101 + rank, "device": rank, "stream": stream}
            trace.launch(name, at=at + start - 9, start=at + start, end=at + end, **where)


def _trace(folder: Path, *ranks: Sequence[Sequence[Part]], beside: Sequence[Sequence[Part]] = ()) -> Trace:
    """A trace of these steps per rank; the n-th of `beside` runs on another stream of rank n in every step."""
    trace = Sqlite()
    for rank, steps in enumerate(ranks):
        trace.gpu(rank, uuid=f"uuid-{rank}")
        _steps(trace, rank, steps)
    for rank, parts in enumerate(beside):
        _steps(trace, rank, [parts] * STEPS, stream=9)
    return iterations.find(extract.read(trace.write(folder / "trace.sqlite")))


def _pair(folder: Path, first: Sequence[Part] = EARLY, second: Sequence[Part] = LATE) -> Trace:
    return _trace(folder, [first] * STEPS, [second] * STEPS)


def _waits(trace: Trace) -> pd.DataFrame:
    return collectives.waits(trace, collectives.match(trace)).groupby("rank").first()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (ALL_REDUCE, "all-reduce"),
        ("void <unnamed>::all_reduce_kernel<<unnamed>::AllReducePushImpl<__nv_bfloat16>>(T1)", "all-reduce"),
        ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<(unsigned long)4096>)", "all-reduce"),
        ("ncclKernel_AllReduce_RING_LL_Sum_half(ncclWorkElem)", "all-reduce"),
        ("void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<(int)2>(P)", "all-reduce"),
        ("void tensorrt_llm::kernels::twoShotAllReduceKernel<half, (int)8>(AllReduceParams)", "all-reduce"),
        (GATHER, "all-gather"),
        ("ncclDevKernel_ReduceScatter_Sum_f32_RING_LL(A)", "reduce-scatter"),
        ("ncclDevKernel_Reduce_Sum_f32_RING_LL(A)", "reduce"),
        ("ncclDevKernel_Broadcast_RING_LL(A)", "broadcast"),
        ("ncclDevKernel_SendRecv(A)", "send-receive"),
        ("ncclDevKernel_Generic_1(A)", "collective"),
        ("void deep_ep::internode_ll::combine<(bool)1>(void *)", "all-to-all"),
        ("void tensorrt_llm::kernels::moe_a2a::moeA2ADispatchKernel<(int)8>(Parameters)", "all-to-all"),
        ("void engine::all2all_kernel<float>(float *)", "all-to-all"),
        ("ncclDevKernel_AllToAll_RING_LL(A)", "all-to-all"),
        ("void flashinfer::trtllm_allreduce_fusion::lamport_initialize_kernel<half>(half *)", ""),
        ("void cublasLt::splitKreduce_kernel<(int)32, (int)16, int, float>(T1)", ""),
        ("void at::native::reduce_kernel<(int)512, at::native::ReduceOp<float>>(T3)", ""),
        ("void at::native::vectorized_gather_kernel<(int)16, long>(char *)", ""),
        ("void fused_kernel<AllReduceLike>(all_gather::Params)", ""),
        ("_gather_block_tables_kernel", ""),
        ("triton_poi_fused_all_reduce_0", ""),
        ("triton_poi_fused_all_to_all_single_clone_permute_view_0", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_collective_is_known_by_its_own_name_and_not_by_what_the_name_mentions(name: str, kind: str) -> None:
    assert collectives.kind(name) == kind


def test_the_shortest_duration_over_ranks_is_the_collective_and_the_rest_is_waiting(tmp_path: Path) -> None:
    instances = collectives.match(_pair(tmp_path)).instances
    columns = ["instance", "rank", "iteration", "start_ns", "duration_ns", "intrinsic_ns", "wait_ns", "last"]
    assert instances[columns].to_numpy().tolist()[:4] == [
        [0, 0, 5, 1520, 40, 10, 30, False],
        [0, 1, 5, 1550, 10, 10, 0, True],
        [1, 0, 6, 1620, 40, 10, 30, False],
        [1, 1, 6, 1650, 10, 10, 0, True],
    ]


def test_idle_and_waiting_together_are_the_same_on_the_rank_that_waits_and_on_the_one_waited_for(
    tmp_path: Path,
) -> None:
    found = _waits(_pair(tmp_path))
    assert found["wait_ms"].tolist() == [30e-6, 0]
    assert found["useful_ms"].tolist() == pytest.approx([48e-6, 48e-6])
    assert found["idle_plus_wait_ratio"].tolist() == pytest.approx([0.52, 0.52])


def test_clocks_of_ranks_that_differ_change_no_waiting(tmp_path: Path) -> None:
    shifted = [(name, start + 4, end + 4) for name, start, end in LATE]
    assert _waits(_pair(tmp_path, EARLY, shifted))["wait_ms"].tolist() == [30e-6, 0]


def test_a_straggler_may_swap_and_is_counted_for_each_rank(tmp_path: Path) -> None:
    first = [LATE if number == 6 else EARLY for number in range(STEPS)]
    second = [EARLY if number == 6 else LATE for number in range(STEPS)]
    matched = collectives.match(_trace(tmp_path, first, second))
    found = collectives.stragglers(matched)
    assert found["instances"].tolist() == [3, 3]
    assert found["straggler_ratio"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert matched.instances["wait_ns"].tolist() == [30, 0, 0, 30, 30, 0]


BESIDE: list[Part] = [("gemm", 0, 60), ("norm", 62, 70), ("sample", 70, 80)]


@pytest.mark.parametrize("later", [0, 1], ids=["ends later on rank 0", "ends later on rank 1"])
def test_a_collective_that_ends_before_the_anchor_on_one_rank_and_after_it_on_another_is_one(
    tmp_path: Path, later: int
) -> None:
    beside: list[list[Part]] = [[(GATHER, 50, 79)], [(GATHER, 60, 82)]]
    trace = _trace(tmp_path, [BESIDE] * STEPS, [BESIDE] * STEPS, beside=beside if later else beside[::-1])
    matched = collectives.match(trace)
    assert matched.disagreement is None
    starts = [[1550, 1560], [1650, 1660], [1750, 1760]] if later else [[1460, 1450], [1560, 1550], [1660, 1650]]
    found = matched.instances
    assert found["start_ns"].to_numpy().reshape(-1, 2).tolist() == starts
    # It is of the iteration in which it ends on the first rank.
    assert found["iteration"].tolist() == [5, 5, 6, 6, 7, 7]
    assert found["wait_ns"].tolist() == ([7, 0] if later else [0, 7]) * 3
    assert trace.operations["start_ns"].iloc[matched.rows].tolist() == found["start_ns"].tolist()


def test_one_that_ends_after_the_anchor_on_a_rank_that_was_recorded_from_a_step_earlier_is_the_same(
    tmp_path: Path,
) -> None:
    trace = Sqlite()
    for rank, (start, end) in enumerate([(50, 79), (60, 82)]):
        trace.gpu(rank, uuid=f"uuid-{rank}")
        _steps(trace, rank, [BESIDE] * STEPS)
        _steps(trace, rank, [[(GATHER, start, end)]] * STEPS, stream=9)
    for name, begin, end in (*BESIDE, (GATHER, 60, 82)):
        stream = 9 if name == GATHER else 3
        trace.launch(name, at=890 + begin, start=900 + begin, end=900 + end, pid=102, device=1, stream=stream)
    matched = collectives.match(iterations.find(extract.read(trace.write(tmp_path / "trace.sqlite"))))
    assert matched.disagreement is None
    assert matched.instances["start_ns"].tolist() == [1550, 1560, 1650, 1660, 1750, 1760]


def test_one_that_ends_on_either_side_of_the_anchor_now_and_then_is_still_the_same(tmp_path: Path) -> None:
    trace = Sqlite()
    for rank in range(2):
        trace.gpu(rank, uuid=f"uuid-{rank}")
        _steps(trace, rank, [BESIDE] * STEPS)
        # In step 4, the last before the steady ones, it ends after the anchor on rank 1 alone.
        for number in range(STEPS):
            end = 82 if rank == 1 and number == 4 else 79
            at = 1000 + 100 * number
            where = {"pid": 101 + rank, "device": rank, "stream": 9}
            trace.launch(GATHER, at=at + 40, start=at + 60, end=at + end, **where)
    matched = collectives.match(iterations.find(extract.read(trace.write(tmp_path / "trace.sqlite"))))
    assert matched.disagreement is None
    assert matched.instances["start_ns"].tolist() == [1560, 1560, 1660, 1660, 1760, 1760]


def test_a_collective_that_begins_before_the_last_kernel_ended_counts_from_its_begin(tmp_path: Path) -> None:
    early = [("gemm", 30, 50), (ALL_REDUCE, 46, 60), *AFTER]
    found = collectives.match(_pair(tmp_path, EARLY, early)).instances
    assert found["intrinsic_ns"].tolist()[:2] == [14, 14]
    assert found["wait_ns"].tolist()[:2] == [26, 0]


def test_what_an_early_all_reduce_takes_is_what_it_takes_without_graphs_if_counted_from_its_begin() -> None:
    def took_ns(graphs: str) -> tuple[float, float]:
        trace = traces.found(recorded("sglang", 2, graphs))
        matched = collectives.match(trace)
        rows = matched.instances.assign(before_ns=trace.operations["latest_end_ns"].to_numpy()[matched.rows])
        arrived = rows[rows["last"] & (rows["signature"] == rows["signature"].mode()[0])]
        begun = arrived[arrived["before_ns"] > arrived["start_ns"]] if graphs == "on" else arrived
        begins = begun[["start_ns", "before_ns"]].max(axis=1)
        return begun["intrinsic_ns"].median(), (begun["end_ns"] - begins).median()

    (early_ns, rest_ns), (alone_ns, _) = took_ns("on"), took_ns("off")
    assert early_ns == pytest.approx(alone_ns, rel=0.05)
    assert rest_ns < 0.8 * alone_ns


def test_the_skew_of_ends_is_that_of_the_same_collective(tmp_path: Path) -> None:
    late = [("gemm", 30, 50), (ALL_REDUCE, 50, 61), *AFTER]
    assert collectives.end_skew(collectives.match(_pair(tmp_path, EARLY, late))) == collectives.EndSkew(
        median_us=0.001, p99_us=0.001
    )


def test_the_skew_is_the_median_of_all_collectives(tmp_path: Path) -> None:
    later = {5: 60, 6: 62, 7: 64}
    second = [[("gemm", 30, 50), (ALL_REDUCE, 50, later.get(step, 60)), *AFTER] for step in range(STEPS)]
    after = [[*step[:2], ("norm", 64, 70), ("sample", 70, 80)] for step in second]
    skew = collectives.end_skew(collectives.match(_trace(tmp_path, [EARLY] * STEPS, after)))
    assert (skew.median_us, skew.p99_us) == (0.002, pytest.approx(0.00396))


def test_idle_and_wait_is_compared_over_the_time_and_not_over_the_iterations() -> None:
    # Rank 0 loses 0.5 ms of 1 and 1.5 of 3, rank 1 all of 1 and 1 of 3: half of 4 ms either.
    waited = pd.DataFrame({"rank": [0, 0, 1, 1], "idle_plus_wait_ratio": [0.5, 0.5, 1.0, 1 / 3]})
    assert collectives.spread_points(waited, pd.Series([1.0, 3.0, 1.0, 3.0])) == pytest.approx(0)
    less = waited.assign(idle_plus_wait_ratio=[0.5, 0.5, 0.5, 0.4])
    assert collectives.spread_points(less, pd.Series([1.0, 3.0, 1.0, 3.0])) == pytest.approx(100 * 0.3 / 4)


def test_waiting_beside_a_kernel_of_another_stream_loses_only_what_is_left(tmp_path: Path) -> None:
    trace = _trace(tmp_path, [EARLY] * STEPS, [LATE] * STEPS, beside=[[("side", 25, 45)]])
    found = _waits(trace)
    assert found["wait_ms"].tolist() == [10e-6, 0]
    assert found["useful_ms"].tolist() == pytest.approx([68e-6, 48e-6])


def test_collectives_that_wait_side_by_side_lose_the_time_once(tmp_path: Path) -> None:
    beside = [[(GATHER, 25, 60)], [(GATHER, 51, 60)]]
    found = _waits(_trace(tmp_path, [EARLY] * STEPS, [LATE] * STEPS, beside=beside))
    assert found["wait_ms"].tolist() == [31e-6, 0]


def test_a_kernel_of_the_same_stream_that_starts_early_waits_too(tmp_path: Path) -> None:
    early = [("gemm", 0, 20), (ALL_REDUCE, 20, 60), ("norm", 22, 70), ("sample", 70, 80)]
    found = _waits(_pair(tmp_path, early))
    assert found["wait_ms"].tolist() == [30e-6, 0]
    assert found["useful_ms"].tolist() == pytest.approx([50e-6, 48e-6])


def test_one_rank_has_no_collectives_and_waits_for_nobody(tmp_path: Path) -> None:
    trace = iterations.find(extract.read(traces.decode(steps=8).write(tmp_path / "trace.sqlite")))
    matched = collectives.match(trace)
    assert (len(matched.instances), matched.disagreement) == (0, None)
    assert collectives.waits(trace, matched)[["wait_ms", "useful_ms"]].to_numpy().tolist() == [[0, 80e-6]] * 3
    assert len(collectives.stragglers(matched)) == 0
    assert np.isnan(collectives.end_skew(matched).median_us)


def _without_one(steps: int, which: int, parts: Sequence[Part]) -> list[Sequence[Part]]:
    return [[part for part in parts if number != which or part[0] != ALL_REDUCE] for number in range(steps)]


def test_ranks_with_different_counts_are_reported_and_not_matched(tmp_path: Path) -> None:
    trace = _trace(tmp_path, [EARLY] * STEPS, _without_one(STEPS, 6, LATE))
    _refused(trace, "different numbers of collectives: rank 1 2, rank 0 3; of void vllm::cross_device_reduce_1stage<")
    _refused(trace, "... 2 and 3")


def test_ranks_with_different_names_are_reported_and_not_matched(tmp_path: Path) -> None:
    both = [("gemm", 0, 20), (ALL_REDUCE, 20, 40), (GATHER, 40, 60), *AFTER]
    turned = [("gemm", 0, 20), (GATHER, 20, 40), (ALL_REDUCE, 40, 60), *AFTER]
    trace = _pair(tmp_path, both, turned)
    _refused(trace, "number 0 is void vllm::cross_device_reduce_1stage<__nv_bfloat16, (int... on rank 0 and nccl")


def test_ranks_that_never_meet_are_reported_and_not_matched(tmp_path: Path) -> None:
    alone = [("gemm", 0, 5), (ALL_REDUCE, 5, 15), *AFTER]
    _refused(_pair(tmp_path, alone, LATE), "3 of 3 collectives ended on one rank before they began on another")


def test_collectives_inside_graphs_recorded_whole_are_unseen_and_said_to_be(tmp_path: Path) -> None:
    trace = _pair(tmp_path)
    whole = replace(trace, activity=replace(trace.activity, graph_tracing="graph"))
    _refused(whole, "record with --cuda-graph-trace=node")


def _refused(trace: Trace, why: str) -> None:
    matched = collectives.match(trace)
    assert why in str(matched.disagreement)
    assert len(matched.instances) == 0
    waited = collectives.waits(trace, matched)
    assert len(waited) == len(trace.iterations)
    assert waited[["wait_ms", "useful_ms", "idle_plus_wait_ratio"]].isna().all(axis=None)


def test_the_input_stays_as_it_was(tmp_path: Path) -> None:
    trace = _pair(tmp_path)
    before = trace.operations.copy(), trace.iterations.copy()
    matched = collectives.match(trace)
    instances = matched.instances.copy()
    collectives.waits(trace, matched)
    pd.testing.assert_frame_equal(trace.operations, before[0])
    pd.testing.assert_frame_equal(trace.iterations, before[1])
    pd.testing.assert_frame_equal(matched.instances, instances)


@pytest.mark.parametrize(
    ("engine", "tp", "graphs", "instances", "lost_percent"),
    [
        # Instances per rank in 18 iterations: 65 all-reduces and one all-gather; idle + wait in percent of the time.
        ("vllm", 4, "off", 1188, 87.2),
        ("vllm", 4, "on", 1188, 13.0),
        ("vllm", 8, "off", 1188, 88.6),
        ("vllm", 8, "on", 1188, 23.7),
        ("sglang", 2, "off", 1188, 88.8),
        ("sglang", 2, "on", 1188, 5.4),
        ("sglang", 8, "off", 1188, 93.8),
        ("sglang", 8, "on", 1188, 32.8),
    ],
)
def test_idle_and_waiting_agree_over_all_ranks_of_recorded_traces(
    engine: str, tp: int, graphs: str, instances: int, lost_percent: float
) -> None:
    trace = traces.found(recorded(engine, tp, graphs))
    matched = collectives.match(trace)
    waited = collectives.waits(trace, matched)
    iter_ms = (trace.iterations["end_ns"] - trace.iterations["start_ns"]) / 1e6
    assert len(matched.instances) == instances * tp
    assert collectives.spread_points(waited, iter_ms) < 1.5
    lost_ms = waited["idle_plus_wait_ratio"] * iter_ms
    assert 100 * lost_ms.sum() / iter_ms.sum() == pytest.approx(lost_percent, abs=0.8)
    useful_ms = waited.groupby("rank")["useful_ms"].median()
    assert useful_ms.max() / useful_ms.min() < 1.03
    assert collectives.end_skew(matched).median_us < 0.6


def test_in_vllm_without_graphs_one_rank_is_always_last_and_in_sglang_it_rotates() -> None:
    fixed, rotating = (_stragglers(engine)["straggler_ratio"] for engine in ("vllm", "sglang"))
    assert fixed.idxmax() == 4
    assert fixed.max() > 0.99
    assert rotating.max() < 0.3


def _stragglers(engine: str) -> pd.DataFrame:
    matched: Matched = collectives.match(traces.found(recorded(engine, 8, "off")))
    return collectives.stragglers(matched)
