"""What a trace foretells: by hand-made iterations under a model of round numbers, and by recorded traces."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from analysis import predict, replay
from analysis.calibrations import ENGINE, TORCH, Calibration
from analysis.estimates import Estimate, within
from analysis.predict import Model
from analysis.replay import Graph
from analysis.typical import Typical
from tests import traces
from tests.analysis.typicals import strand, typical

MODEL = Model(
    rate=0.9, pairs=10, gap_us=0.5, host_ratio=0.5, launch_us={"vllm TP1": 30.0, "any": 20.0},
    over_torch={}, on_error=math.log(1.1), off_error=math.log(1.2), launch_error=math.log(2), torch_error=math.log(1.5),
    shortest_on_ms=0.0,
)  # fmt: skip
ENGINES = Calibration(of=ENGINE, launch_us=Estimate(value=40, low=35, high=45))
TORCHES = Calibration(of=TORCH, launch_us=Estimate(value=10, low=9, high=11))


def test_graphs_on_is_what_the_gpus_take_and_a_gap_a_node() -> None:
    found = predict.graphs_on_ms(typical(strand([10.0] * 100, 50)), MODEL)
    assert found.value == pytest.approx(1.05)
    assert (found.low, found.high) == (pytest.approx(1.05 / 1.1), pytest.approx(1.05 * 1.1))


def test_no_host_is_taken_to_keep_up_with_shorter_iterations_than_recorded_ones() -> None:
    found = predict.graphs_on_ms(typical(strand([10.0] * 100, 50)), replace(MODEL, shortest_on_ms=2.0))
    assert (found.low, found.high) == (pytest.approx(1.05 / 1.1), 2.0)


def test_a_host_that_takes_longer_outside_the_graph_than_the_gpus_bounds_graphs_too() -> None:
    # 20 launches outside the graph at 50, half of it untraced; half a launch before the graph, and its 80 nodes.
    one = typical(strand([1.0] * 100, 50, body=range(80)))
    assert predict.graphs_on_ms(one, MODEL).value == pytest.approx((20 * 25 + 12.5 + 80 * 0.2) / 1e3)


@pytest.mark.parametrize(
    ("engine", "calibration", "launch"),
    [
        ("vllm", None, within(30, MODEL.launch_error)),
        ("sglang", None, within(20, MODEL.launch_error)),
        ("vllm", ENGINES, ENGINES.launch_us),
        ("vllm", TORCHES, within(30, MODEL.launch_error)),
        ("vllm", replace(TORCHES, launch_us=Estimate(value=50, low=40, high=70)), Estimate(value=50, low=40, high=70)),
    ],
    ids=["the engine's", "any engine's", "calibrated", "torch as the least", "torch above it"],
)
def test_a_trace_with_graphs_takes_launches_from_elsewhere(
    engine: str, calibration: Calibration | None, launch: Estimate
) -> None:
    one = typical(strand([1.0] * 100, 0), graphs=True, engine=engine)
    assert predict.host_ms(one, MODEL, calibration) == launch.scaled(0.1)


def test_recordings_with_both_tell_the_engine_from_torch_alone() -> None:
    model = replace(MODEL, over_torch={"vllm TP1": 2.0})
    one = typical(strand([1.0] * 100, 0), graphs=True, engine="vllm")
    found = predict.host_ms(one, model, TORCHES)
    assert (found.value, found.low, found.high) == (
        pytest.approx(2.0),
        pytest.approx(9 * 2 / 1.5 / 10),
        pytest.approx(11 * 2 * 1.5 / 10),
    )


def test_a_trace_without_graphs_tells_its_host_less_what_tracing_costs() -> None:
    one = typical(strand([1.0] * 100, 40), engine="vllm")
    assert predict.host_ms(one, MODEL) == within(2.0, MODEL.off_error)
    assert predict.host_ms(one, MODEL, ENGINES).value == pytest.approx(4.0)


def test_graphs_off_is_the_longer_side() -> None:
    one = typical(strand([10.0] * 100, 0, gap=1.0), graphs=True)
    host = Estimate(value=2.0, low=0.9, high=3.0)
    found = predict.graphs_off_ms(one, host, MODEL)
    assert (found.value, found.low, found.high) == (2.0, pytest.approx(1.1 / 1.1), 3.0)
    assert predict.graphs_off_ms(one, host.scaled(0.01), MODEL).value == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("low", "high", "said"), [(1.1, 2, "launch"), (0.9, 1.1, "undecided"), (0.5, 0.9, "gpu"), (1.0, 2, "undecided")]
)
def test_which_side_is_longer_is_undecided_where_the_interval_holds_one(low: float, high: float, said: str) -> None:
    assert predict.bound(Estimate(value=(low + high) / 2, low=low, high=high)) == said


@pytest.mark.parametrize(("engine", "ranks", "key"), [("vllm", 1, "vllm TP1"), ("sglang", 2, "sglang TP>1")])
def test_hosts_of_one_rank_and_of_several_are_told_apart(engine: str, ranks: int, key: str) -> None:
    assert predict.kind(typical(*[strand([1.0])] * ranks, engine=engine)) == key


def test_one_ranks_row_says_the_opposite_of_what_bounds_the_iteration() -> None:
    """vLLM TP4: a GPU that spins in collectives looks busy all the time; the iteration waits for launches."""
    trace = traces.found(traces.recorded("vllm", 4, "off"))
    steady = trace.operations[trace.operations["iteration"] >= 0]
    length_ns = (trace.iterations["end_ns"] - trace.iterations["start_ns"]).groupby(trace.iterations["rank"]).sum()
    busy_ratio = (steady["end_ns"] - steady["start_ns"]).groupby(steady["rank"]).sum() / length_ns
    assert busy_ratio.max() > 0.9
    assert busy_ratio.min() < 0.2
    found = predict.predict(trace, "tp4")
    assert found["bound"] == "launch"
    assert found["ratio"]["low"] > 3


@pytest.mark.parametrize("memory", [0.05, 0.2, 1, 5])
@pytest.mark.parametrize("host", [0.02, 0.2, 1, 3])
@pytest.mark.parametrize(("engine", "tp"), [("vllm", 1), ("sglang", 8)])
def test_r_says_of_any_host_and_memory_what_playing_both_halves_says(
    engine: str, tp: int, host: float, memory: float
) -> None:
    one = replay.with_host(replay.with_memory(_recorded(engine, tp), memory), host)
    off, on = replay.iteration_us(one), replay.iteration_us(one, graph=Graph(gap_us=predict.recorded().gap_us))
    r = one.host_us / one.gpu_us
    if off / on > 1.4:
        assert r > 1
    if r < 0.9:
        assert off / on < 1.3
    if r > 1.3:
        assert off / on > 1.1


@cache
def _recorded(engine: str, tp: int) -> Typical:
    return predict.facts(traces.found(traces.recorded(engine, tp, "off")))


def test_a_prediction_keeps_what_was_traced_apart(tmp_path: Path) -> None:
    found = predict.predict(traces.found(traces.recorded("sglang", 1, "on")), "tp1")
    assert found["mark"] == "PREDICTED"
    assert set(found["graphs_off_ms"]) == set(found["ratio"]) == {"value", "low", "high"}
    assert "graphs_on_ms" not in found
    assert found["traced"]["iter_ms"] == pytest.approx(4.97, abs=0.1)
    assert found["host_known_by"] == "recorded launches of sglang TP1"


def test_a_trace_of_no_known_engine_says_so() -> None:
    assert predict.known_by(typical(strand([1.0]), graphs=True), MODEL, None) == "recorded launches of other engines"


def test_the_model_on_file_is_whole() -> None:
    model = predict.recorded()
    assert model.pairs >= 12
    assert {"vllm TP1", "vllm TP>1", "sglang TP1", "sglang TP>1", "any"} == set(model.launch_us)
