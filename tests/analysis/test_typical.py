"""The typical iteration of hand-made traces, and of the recorded ones beside what other modules find."""

from pathlib import Path

import numpy as np
import pytest

from analysis import causes, collectives, critical_path, extract, hosts, iterations, typical
from analysis.errors import TraceError
from analysis.iterations import Trace
from analysis.typical import Typical
from tests import traces
from tests.analysis.test_hosts import steps

ALL_REDUCE = "ncclDevKernel_AllReduce_Sum_bf16"


def found(trace: traces.Sqlite, folder: Path) -> Trace:
    return iterations.find(extract.read(trace.write(folder / "trace.sqlite")))


def of(trace: Trace) -> Typical:
    return typical.find(trace, collectives.match(trace), causes.law(trace))


def test_the_host_is_there_without_waiting_and_without_its_longest_stretch(tmp_path: Path) -> None:
    [strand] = of(found(steps(), tmp_path)).strands
    # The sampler 58 after the anchor, 40 of which waited; the product after the longest stretch; the norm 8 after it.
    assert strand.think_us.tolist() == [18, 0, 8]
    assert strand.call_us.tolist() == [4, 2, 2]
    assert strand.own_us.tolist() == [10, 28, 10]
    assert strand.host_us == 34


def test_an_iteration_is_cut_where_its_anchor_ends(tmp_path: Path) -> None:
    # The anchor is the norm: its iteration holds the sampler of the step before, then the product.
    trace = found(steps(), tmp_path)
    assert trace.anchor.startswith("norm")
    assert of(trace).gpu_us == pytest.approx(48)


def layered(
    *, ranks: int = 1, late_ns: int = 0, graphs: bool = False, staged: bool = False, beside: bool = False
) -> traces.Sqlite:
    """24 steps of 10 layers: norm 5 us, product 20 us, all-reduce 4 us once all are there; then the sampler, 10 us.

    Launched every 30 us by the last rank, `late_ns` earlier by the others, which spin. With `staged` a copy of 1 us
    comes before each all-reduce; with `beside` another stream copies during the product.
    """
    trace, us = traces.Sqlite(), 1_000
    for rank in range(ranks):
        where = {"pid": 101 + rank, "device": rank}
        early = late_ns if rank < ranks - 1 else 0
        trace.gpu(rank, uuid=f"uuid-{rank}")
        for step in range(24):
            at = 2_000 * us * (step + 1)
            nodes = []
            for _ in range(10):
                nodes += [("norm", at + 3 * us - early, at + 8 * us - early)]
                nodes += [("gemm", at + 33 * us - early, at + 53 * us - early)]
                if beside:
                    trace.copy(at + 40 * us - early, at + 45 * us - early, at=at + 20 * us - early, stream=9, **where)
                if staged:
                    trace.copy(at + 55 * us - early, at + 56 * us - early, at=at + 50 * us - early, kind=8, **where)
                if ranks > 1:
                    nodes += [(ALL_REDUCE, at + 63 * us - early, at + 67 * us)]
                at += 90 * us
            if graphs:
                trace.graph(nodes, at=2_000 * us * (step + 1) - 10 * us, **where)
            else:
                for name, start, end in nodes:
                    trace.launch(name, at=start - 3 * us, took=1 * us, start=start, end=end, **where)
            trace.launch("sample", at=at, took=1 * us, start=at + 3 * us, end=at + 13 * us, **where)
    return trace


def test_spinning_is_nobodys_time(tmp_path: Path) -> None:
    one = of(found(layered(ranks=2, late_ns=50_000), tmp_path))
    assert [strand.own_us[strand.meets].tolist() for strand in one.strands] == [[4.0] * 10] * 2
    assert one.gpu_us == pytest.approx(10 * (5 + 20 + 4) + 10)


def test_what_runs_beside_counts_once(tmp_path: Path) -> None:
    alone, beside = (of(found(layered(beside=both), _folder(tmp_path, both))) for both in (False, True))
    assert alone.gpu_us == beside.gpu_us == pytest.approx(10 * 25 + 10)


def test_a_copy_right_before_a_collective_is_staged(tmp_path: Path) -> None:
    one = of(found(layered(ranks=2, staged=True), tmp_path))
    assert [int(strand.staged.sum()) for strand in one.strands] == [10, 10]
    assert (one.operations, one.launches) == (31, 41)
    assert one.gpu_us == pytest.approx(10 * 29 + 10)


def test_a_graph_would_hold_the_layers_and_a_copy_alone_is_none(tmp_path: Path) -> None:
    [strand] = of(found(layered(beside=True), tmp_path)).strands
    outside = np.flatnonzero(~strand.body)
    assert len(strand.body) == 31
    # Only the sampler; the copies lie among the layers.
    assert len(outside) == 1
    assert strand.own_us[outside].tolist() == [10]


def test_of_a_graph_its_nodes_are_the_body(tmp_path: Path) -> None:
    one = of(found(layered(ranks=2, graphs=True), tmp_path))
    assert one.graphs
    assert [int(strand.body.sum()) for strand in one.strands] == [30, 30]
    assert one.launches == 31


def test_products_are_those_of_matrices(tmp_path: Path) -> None:
    [strand] = of(found(layered(), tmp_path)).strands
    assert strand.own_us[strand.product].tolist() == [20.0] * 10


def test_a_full_queue_is_no_work_of_the_host(tmp_path: Path) -> None:
    trace, us = traces.Sqlite(), 1_000
    # 30 steps of 100 kernels of 30 us, launched in 2 us each while there is room, which there is for 1,024.
    start, host, begins = 100 * us, 0, []
    for _ in range(30):
        for kernel in range(100):
            due = begins[-1024] if len(begins) >= 1024 else 0
            took = max(2 * us, due - host)
            name = "sample" if kernel == 99 else "gemm" if kernel % 2 else "norm"
            begins.append(max(start, host + took))
            trace.launch(name, at=host, took=took, start=begins[-1], end=begins[-1] + 30 * us)
            start, host = begins[-1] + 30 * us, host + took + 1 * us
    one = of(found(trace, tmp_path))
    assert one.host_us == pytest.approx(100 * 3, rel=0.02)
    assert one.gpu_us == pytest.approx(100 * 30)


def test_graphs_recorded_whole_are_refused(tmp_path: Path) -> None:
    trace = traces.found(traces.steady("vllm_whole-graphs_tp1"))
    with pytest.raises(TraceError, match=r"graphs were recorded whole.*--cuda-graph-trace=node"):
        of(trace)


def test_graphs_whose_calls_alone_were_recorded_are_refused_as_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"^graphs were launched, but nothing that they ran was recorded; "):
        of(found(traces.unseen(), tmp_path))


def test_collectives_that_do_not_match_are_refused(tmp_path: Path) -> None:
    trace = layered(ranks=2)
    extra = 2_000_000 * 12 + 1_500_000
    trace.launch(ALL_REDUCE, at=extra, start=extra + 3_000, end=extra + 4_000, pid=101, device=0)
    with pytest.raises(TraceError, match="collectives do not match over ranks"):
        of(found(trace, tmp_path))


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_recorded_iteration_agrees_with_path_and_host(engine: str) -> None:
    trace = traces.found(traces.recorded(engine, 8, "off"))
    one = of(trace)
    _, gaps = causes.find(trace)
    path = critical_path.typical(critical_path.find(trace, gaps, collectives.match(trace)))
    assert one.engine == engine
    assert len(one.strands) == 8
    assert one.gpu_us == pytest.approx(path["compute_us"] + path["collective_us"], rel=0.03)
    slowest_ms = hosts.measure(trace).groupby("rank")["host_ms"].median().max()
    assert one.host_us == pytest.approx(1e3 * slowest_ms, rel=0.01)


@pytest.mark.parametrize(
    ("kernel", "experts"),
    [
        ("fused_moe_kernel", True),
        ("void vllm::moe::topkGating<(int)8>(float *)", True),
        ("void tensorrt_llm::kernels::MoeFCGemm<(int)1>(float *)", True),
        ("void count_and_sort_expert_tokens_kernel<int>(const T1 *)", True),
        ("nvjet_sm90_tst_64x8_64x16_2x1_v_bz_splitK_TNT", False),
    ],
)
def test_a_mixture_of_experts_is_told_by_its_kernels(tmp_path: Path, kernel: str, experts: bool) -> None:
    trace = layered()
    trace.launch(kernel, at=1_000, start=2_000, end=3_000, pid=101, device=0)
    assert of(found(trace, tmp_path)).experts == experts


def _folder(folder: Path, name: object) -> Path:
    (folder / str(name)).mkdir()
    return folder / str(name)
