"""What other programs, or counting by hand, found in the recorded traces, against what this analysis finds there.

The 12 traces of h200x8-2026-11-20 hold one prefill and 23 or 24 decode steps each. The parts of the critical path
of the same traces are in test_critical_path.py, what waits and what idles over ranks in test_collectives.py.
"""

import csv
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import causes, collectives, compact, critical_path, extract, iterations
from analysis.extract import Activity
from analysis.intervals import union
from analysis.iterations import Trace
from tests import traces
from tests.traces import recorded

# NVIDIA's own rule gpu_gaps (nsys 2023.4.4, gap=0 rows=-1), summed per GPU, in ns: over the whole capture, prefill
# included. Where the profiler was busy counts as busy for it, but none of that lies within these captures.
GPU_GAPS_NS = {
    ("vllm", 1, "off"): (192_153_404,),
    ("vllm", 1, "on"): (20_466_615,),
    ("vllm", 4, "off"): (38_601_853, 64_850_839, 390_477_245, 17_437_637),
    ("vllm", 4, "on"): (13_183_013, 28_616_062, 13_977_995, 10_305_142),
    ("vllm", 8, "off"): (
        *(41_569_360, 19_202_192, 110_664_002, 18_987_534),
        *(412_705_575, 18_286_790, 19_219_618, 17_538_276),
    ),
    ("vllm", 8, "on"): (
        *(31_887_871, 14_075_239, 22_534_116, 9_380_533),
        *(9_863_308, 9_643_995, 9_471_572, 9_856_268),
    ),
    ("sglang", 1, "off"): (233_365_504,),
    ("sglang", 1, "on"): (18_848_375,),
    ("sglang", 2, "off"): (515_536_209, 335_377_645),
    ("sglang", 2, "on"): (13_474_065, 30_346_608),
    ("sglang", 8, "off"): (
        *(120_891_183, 201_496_889, 181_193_075, 226_301_378),
        *(49_030_275, 191_746_779, 174_872_560, 177_837_480),
    ),
    ("sglang", 8, "on"): (
        *(11_657_257, 9_159_150, 11_879_153, 10_729_979),
        *(16_468_254, 10_020_466, 55_282_185, 13_004_644),
    ),
}
# One row of the API table per graph launch, and the sum of their durations; kernels and nodes by COUNT in SQL.
GRAPH_LAUNCHES = {("vllm", 1): (23, 10_327, 11.81), ("sglang", 8): (192, 93_312, 88.04)}
# Start to start of the sampler, of which the 23 steps after prefill have one each; median of rank 0.
PERIOD_MS = {
    ("vllm", 1, "off"): 12.817,
    ("vllm", 1, "on"): 4.969,
    ("vllm", 8, "off"): 18.120,
    ("vllm", 8, "on"): 2.499,
}
OWN = "h200x4-2026-11-21"
# Idle and waiting over ranks differ by 2.3 points where one matrix product takes 6 % longer on one of the two GPUs.
SPREAD_POINTS = {"sglang_tp2_graphs-on": 2.5}


@pytest.mark.parametrize(("engine", "tp", "graphs"), GPU_GAPS_NS)
def test_idle_over_the_whole_capture_is_what_nvidias_own_rule_finds(engine: str, tp: int, graphs: str) -> None:
    assert _idle_ns(_activity(engine, tp, graphs)) == GPU_GAPS_NS[engine, tp, graphs]


def test_nvidias_own_rule_finds_it_now(real_nsys: Path, tmp_path: Path) -> None:
    root = real_nsys.resolve().parents[1]
    rule = next(root.glob("target-linux-*/rules/gpu_gaps.py"), None)
    if rule is None:
        pytest.skip("this nsys has no rule gpu_gaps")
    plain = tmp_path / "trace.sqlite"
    compact.unpack(recorded("vllm", 1, "off"), plain)
    env = {**os.environ, "PYTHONPATH": str(rule.parents[1] / "python" / "lib"), "PYTHONWARNINGS": "default"}
    command = [sys.executable, str(rule), str(plain), "gap=0", "rows=-1"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert sum(int(row["Duration:dur_ns"]) for row in rows) == GPU_GAPS_NS["vllm", 1, "off"][0]


@pytest.mark.parametrize(("engine", "tp", "graphs"), GPU_GAPS_NS)
def test_every_operation_is_joined_to_a_call_of_its_own_process(engine: str, tp: int, graphs: str) -> None:
    activity = _activity(engine, tp, graphs)
    operations = activity.operations
    assert (operations["call"] >= 0).all()
    assert (operations["rank"].to_numpy() == activity.calls["rank"].iloc[operations["call"]].to_numpy()).all()
    alone = operations[operations["graph_node"] < 0]
    assert alone["call"].is_unique
    launched = activity.calls["kind"].iloc[operations.loc[operations["graph_node"] >= 0, "call"]]
    assert set(launched) <= {"graph"}


def test_kernels_are_joined_once_though_correlation_ids_are_equal_in_several_processes() -> None:
    activity = _activity("vllm", 8, "off")
    kernels = activity.operations[_is_kernel(activity)]
    assert len(kernels) == kernels["call"].nunique() == 96_752


@pytest.mark.parametrize(("engine", "tp"), GRAPH_LAUNCHES)
def test_graph_launches_are_counted_once(engine: str, tp: int) -> None:
    activity = _activity(engine, tp, "on")
    launches, nodes, call_ms = GRAPH_LAUNCHES[engine, tp]
    graphs = activity.calls[activity.calls["kind"] == "graph"]
    in_graphs = activity.operations[_is_kernel(activity) & (activity.operations["graph_node"] >= 0).to_numpy()]
    assert (len(graphs), len(in_graphs), in_graphs["call"].nunique()) == (launches, nodes, launches)
    assert (graphs["end_ns"] - graphs["start_ns"]).sum() / 1e6 == pytest.approx(call_ms, abs=0.005)


@pytest.mark.parametrize(("engine", "tp", "graphs"), PERIOD_MS)
def test_iterations_last_as_long_as_the_sampler_takes_to_return(engine: str, tp: int, graphs: str) -> None:
    activity = _activity(engine, tp, graphs)
    sampler = activity.signatures.loc[activity.signatures["name"] == "_gumbel_sample_kernel", "signature"]
    of_rank = activity.operations["rank"] == 0
    starts = activity.operations.loc[of_rank & activity.operations["signature"].isin(sampler), "start_ns"]
    assert len(starts) == 24
    expected_ms = PERIOD_MS[engine, tp, graphs]
    assert np.median(np.diff(np.sort(starts))) / 1e6 == pytest.approx(expected_ms, abs=0.0006)
    # The iterations are those steps without the first four and the last, and end elsewhere in a step.
    found = _trace(engine, tp, graphs).iterations
    mine = found[found["rank"] == 0]
    ends = np.append(mine["start_ns"].iloc[0], mine["end_ns"])
    first = np.searchsorted(np.sort(starts), ends[0])
    periods_ns = np.diff(np.sort(starts)[first : first + len(ends)])
    assert len(periods_ns) == len(mine)
    assert np.diff(ends).mean() == pytest.approx(periods_ns.mean(), rel=0.005)


def _own(root: Path) -> list[Path]:
    return sorted((root / "data" / "recordings" / OWN / "cases").glob("*/trace*.sqlite.xz"))


def test_the_projects_own_recordings_hold_both_engines_at_every_tp_with_and_without_graphs(root: Path) -> None:
    names = {path.parent.name.removeprefix("llama3-8b_") for path in _own(root)}
    expected = (
        f"{engine}_tp{tp}_graphs-{graphs}_trace-node_r1"
        for engine in ("vllm", "sglang")
        for tp in (1, 2, 4)
        for graphs in ("on", "off")
    )
    assert names == set(expected)


@pytest.mark.parametrize(
    "case", [f"{e}_tp{tp}_graphs-{g}" for e in ("vllm", "sglang") for tp in (1, 2, 4) for g in ("off", "on")]
)
def test_in_the_projects_own_recordings_the_parts_add_up_and_ranks_do_the_same_work(root: Path, case: str) -> None:
    path = root / "data" / "recordings" / OWN / "cases" / f"llama3-8b_{case}_trace-node_r1" / "trace_b1.sqlite.xz"
    trace = iterations.find(extract.read(path))
    assert (trace.operations["call"] >= 0).all()
    matched = collectives.match(trace)
    assert matched.disagreement is None
    parts = critical_path.find(trace, causes.label(trace, causes.law(trace)), matched)
    assert len(parts) >= 64
    assert (parts["residual_us"].abs() / parts["wall_us"]).max() < 0.01
    waited = collectives.waits(trace, matched)
    useful_ms = waited.groupby("rank")["useful_ms"].median()
    assert useful_ms.max() / useful_ms.min() < 1.03
    iter_ms = (trace.iterations["end_ns"] - trace.iterations["start_ns"]) / 1e6
    assert collectives.spread_points(waited, iter_ms) < SPREAD_POINTS.get(case, 1.5)


@cache
def _activity(engine: str, tp: int, graphs: str) -> Activity:
    return traces.activity(recorded(engine, tp, graphs))


@cache
def _trace(engine: str, tp: int, graphs: str) -> Trace:
    return iterations.find(_activity(engine, tp, graphs))


def _is_kernel(activity: Activity) -> "np.ndarray":
    return (activity.signatures["kind"].iloc[activity.operations["signature"]] == "kernel").to_numpy()


def _idle_ns(activity: Activity) -> tuple[int, ...]:
    """Of each rank, from its first operation to the end of its last: what the union of all does not cover."""
    return tuple(_uncovered_ns(mine) for _, mine in activity.operations.groupby("rank"))


def _uncovered_ns(operations: pd.DataFrame) -> int:
    merged = union(operations["start_ns"].to_numpy(), operations["end_ns"].to_numpy())
    return int(merged.ends_ns[-1] - merged.starts_ns[0] - (merged.ends_ns - merged.starts_ns).sum())
