from dataclasses import replace

import numpy as np
import pytest

from analysis import causes, extract, iterations
from analysis.intervals import covered_ns
from tests import traces

STEP_NS = 120_000


def steps(*, lag=2_000, delta=1_000, took=5_000, graphed=False, number=24):
    """Steps of 120 us on an idle GPU. In the first of them, with a lag of 2 us and a delta of 1 us:

        call [0, 5)     gemm    [7, 10)    launched onto an idle GPU
        call [20, 25)   attend  [27, 60)   idle again: launched 16 us too late, and 1 us it would have waited anyway
        call [30, 35)   norm    [61, 70)   queued behind attend
        call [36, 41)   act     [69.9, 75) queued, and starts before norm has ended
        call [42, 47)   sample  [76, 80)   queued behind act

    With `graphed`, gemm and attend are launched once, as [7, 10) and [10.4, 60).
    """
    trace = traces.Sqlite()
    for step in range(number):
        at = step * STEP_NS
        if graphed:
            nodes = [("gemm", at + took + lag, at + 10_000), ("attend", at + 10_400, at + 60_000)]
            trace.graph(nodes, at=at, took=took)
        else:
            trace.launch("gemm", at=at, took=took, start=at + took + lag, end=at + 10_000)
            trace.launch("attend", at=at + 20_000, took=took, start=at + 20_000 + took + lag, end=at + 60_000)
        trace.launch("norm", at=at + 30_000, took=5_000, start=at + 60_000 + delta, end=at + 70_000)
        trace.launch("act", at=at + 36_000, took=5_000, start=at + 69_900, end=at + 75_000)
        trace.launch("sample", at=at + 42_000, took=5_000, start=at + 75_000 + delta, end=at + 80_000)
    return trace


def found(trace, tmp_path):
    return iterations.find(extract.read(trace.write(tmp_path / "trace.sqlite")))


def labelled(trace, tmp_path):
    """The law and the labels of one steady iteration, in order of start."""
    trace = found(trace, tmp_path)
    fitted = causes.law(trace)
    rows = causes.label(trace, fitted)
    return fitted, rows[rows["iteration"] == 8]


def test_the_constants_are_those_of_calls_on_an_idle_gpu_and_of_queued_operations(tmp_path):
    fitted, _ = labelled(steps(), tmp_path)
    assert (fitted.lambda_ns, fitted.lag_ns) == ({"kernel": 7_000}, {"kernel": 2_000})
    assert fitted.delta_ns == {"pdl": -100, "other": 1_000}
    assert (fitted.fit_ratio, fitted.begin_fit_ratio) == (1, 1)
    assert len(fitted.pdl_pairs) == 1


def test_a_dependent_launch_is_known_by_what_it_follows(tmp_path):
    trace = found(steps(), tmp_path)
    names = trace.activity.signatures["name"]
    assert [(names[before], names[after]) for before, after in causes.law(trace).pdl_pairs] == [("norm", "act")]


@pytest.mark.parametrize(("lag", "delta"), [(2_500, 1_500), (500, 800), (-300, 2_000)])
def test_another_host_has_other_constants(tmp_path, lag, delta):
    fitted, _ = labelled(steps(lag=lag, delta=delta), tmp_path)
    assert fitted.lag_ns["kernel"] == lag
    assert fitted.delta_ns == {"pdl": -100, "other": delta}
    assert fitted.fit_ratio == 1


def test_each_gap_has_the_cause_that_the_picture_shows(tmp_path):
    _, rows = labelled(steps(), tmp_path)
    assert rows["cause"].tolist() == ["launch", "launch", "dependency", "overlap", "dependency"]
    assert rows["gap_ns"].tolist() == [47_000, 17_000, 1_000, 0, 1_000]
    assert rows["overlap_ns"].tolist() == [0, 0, 0, 100, 0]
    assert rows["launch_exposed_ns"].tolist() == [46_000, 16_000, 0, 0, 0]


def test_work_that_would_have_been_queued_but_for_the_lag_of_its_launch_waited_for_that(tmp_path):
    trace = steps()
    for step in range(24):
        at = step * STEP_NS
        # Its call returns at 80.5 us, before it could follow sample at 81 us; with the lag it is due at 82.5 us.
        trace.launch("late", at=at + 75_500, took=5_000, start=at + 82_500, end=at + 84_000)
    _, rows = labelled(trace, tmp_path)
    last = rows[rows["gap_ns"] == 2_500]
    assert last[["cause", "launch_exposed_ns"]].to_numpy().tolist() == [["launch", 1_500]]


def test_a_long_call_launches_as_it_returns(tmp_path):
    trace = steps(took=3_000)
    for step in range(24):
        at = step * STEP_NS + 90_000
        trace.launch("slow", at=at, took=14_000, start=at + 16_000, end=at + 17_000)
    fitted, rows = labelled(trace, tmp_path)
    assert fitted.lag_ns == {"kernel": 2_000}
    assert fitted.fit_ratio == 1
    assert fitted.begin_fit_ratio == pytest.approx(5 / 6)
    assert (rows["cause"] == "launch").sum() == 3


def test_a_gap_between_nodes_of_a_graph_is_the_graphs_and_before_the_first_the_launchs(tmp_path):
    fitted, rows = labelled(steps(graphed=True), tmp_path)
    assert fitted.lag_ns == {"graph": 2_000}
    assert fitted.delta_ns["graph"] == 400
    assert rows["cause"].tolist() == ["launch", "graph", "dependency", "overlap", "dependency"]
    assert rows["launch_exposed_ns"].tolist()[:2] == [46_000, 0]
    assert fitted.operations == 3 * 18


def test_a_gap_inside_a_graph_is_the_graphs_though_its_call_returned_late(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        at = step * 100_000
        nodes = [("gemm", at + 10_000, at + 20_000), ("attend", at + 24_000, at + 40_000)]
        # One call returns after both nodes have begun, which by the law they could not.
        trace.graph(nodes, at=at, took=50_000 if step == 12 else 5_000)
        trace.launch("sample", at=at + 51_000, took=2_000, start=at + 61_000, end=at + 70_000)
    trace = found(trace, tmp_path)
    rows = causes.label(trace, causes.law(trace))
    inside = rows[rows["gap_ns"] == 4_000]
    assert len(inside) == rows["iteration"].nunique()
    assert set(inside["cause"]) == {"graph"}


def test_a_node_of_a_graph_whose_call_is_not_known_has_no_known_cause(tmp_path):
    trace = steps(graphed=True)
    node = [row for row in trace.tables[traces.KERNEL] if row["graphNodeId"] is not None][21]
    node["correlationId"] = 10**6
    trace = found(trace, tmp_path)
    rows = causes.label(trace, causes.law(trace))
    assert rows.loc[rows["start_ns"] == node["start"], "cause"].tolist() == ["unknown"]
    assert (rows["cause"] == "unknown").sum() == 1


def test_a_gpu_that_falls_idle_during_a_call_was_not_idle_as_it_began(tmp_path):
    trace = steps()
    for step in range(24):
        at = step * STEP_NS
        # sample ends at 80 us; called before, returned after: 4 us later than the law says of an idle GPU.
        trace.launch("within", at=at + 78_000, took=5_000, start=at + 89_000, end=at + 90_000)
    fitted, _ = labelled(trace, tmp_path)
    assert fitted.idle == {"kernel": 2 * 18}
    assert fitted.lag_ns == {"kernel": 2_000}


def test_deltas_that_spread_about_one_value_are_one_mode_though_some_begin_early(tmp_path):
    trace = traces.Sqlite()
    deltas = (-100, 100, 200, 200, 300, 300, 300, 400, 400, 500, 700)
    for step in range(24):
        at = end = step * 200_000
        trace.launch("begin", at=at - 20_000, start=at, end=at + 50_000)
        end = at + 50_000
        for number, delta in enumerate(deltas):
            start, end = end + delta, end + delta + 5_000
            trace.launch(f"part {number}", at=at - 17_000 + 300 * number, took=200, start=start, end=end)
    fitted, _ = labelled(trace, tmp_path)
    assert (fitted.delta_ns, fitted.pdl_pairs) == ({"other": 300}, frozenset())


def test_a_graph_launched_in_time_waits_for_what_ran_before(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        at = step * 100_000
        trace.launch("sample", at=at - 60_000, start=at, end=at + 20_000)
        trace.graph([("gemm", at + 24_000, at + 60_000), ("norm", at + 60_000, at + 99_000)], at=at - 50_000)
    fitted, rows = labelled(trace, tmp_path)
    assert fitted.delta_ns["graph_launch"] == 4_000
    assert rows["cause"].tolist() == ["dependency", "none", "dependency"]
    assert rows["launch_exposed_ns"].sum() == 0


def test_a_graph_launched_late_would_have_waited_longer_than_a_kernel(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        at = step * 100_000
        late = 10_000 if step == 12 else 0
        trace.launch("sample", at=at - 60_000, start=at, end=at + 20_000)
        trace.graph([("gemm", at + 24_000 + late, at + 60_000)], at=at - 50_000 + 8 * late)
        trace.launch("norm", at=at - 40_000, start=at + 61_000, end=at + 99_000)
    trace = found(trace, tmp_path)
    rows = causes.label(trace, causes.law(trace))
    late = rows[rows["cause"] == "launch"]
    assert late[["gap_ns", "launch_exposed_ns"]].to_numpy().tolist() == [[14_000, 10_000]]


def test_a_graph_recorded_as_one_operation_has_the_cause_of_its_launch(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        at = step * 100_000
        trace.whole_graph(at + 12_000, at + 60_000, at=at)
        trace.launch("sample", at=at + 20_000, start=at + 61_000, end=at + 70_000)
    fitted, rows = labelled(trace, tmp_path)
    assert fitted.lambda_ns == {"graph": 12_000}
    assert rows["cause"].tolist() == ["launch", "dependency"]


def test_idleness_ends_the_latest_end_of_all_streams(tmp_path):
    trace = steps()
    for step in range(24):
        at = step * STEP_NS
        trace.launch("side", at=at + 9_000, took=1_000, start=at + 12_000, end=at + 15_000, stream=9)
        trace.launch("beside", at=at + 48_000, took=1_000, start=at + 51_000, end=at + 55_000, stream=9)
    fitted, rows = labelled(trace, tmp_path)
    assert rows["gap_ns"].tolist()[:5] == [47_000, 2_000, 12_000, 0, 1_000]
    assert rows["overlap_ns"].tolist()[:5] == [0, 0, 0, 9_000, 0]
    assert fitted.beside == fitted.operations / 7
    assert fitted.fit_ratio == pytest.approx(6 / 7)


def test_an_operation_without_a_recorded_call_is_not_blamed_on_anything(tmp_path):
    trace = steps()
    for step in range(24):
        at = step * STEP_NS
        trace.kernel("orphan", at + 90_000, at + 91_000, correlation=9_000 + step)
    _, rows = labelled(trace, tmp_path)
    assert rows["cause"].tolist()[-1] == "unknown"
    assert rows["gap_ns"].tolist()[-1] == 10_000


def test_without_dependent_launches_there_is_one_delta(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        at = step * 100_000
        trace.launch("gemm", at=at, start=at + 4_000, end=at + 40_000)
        trace.launch("norm", at=at + 5_000, start=at + 40_900, end=at + 50_000)
        trace.launch("attend", at=at + 10_000, start=at + 51_000, end=at + 60_000)
        trace.launch("sample", at=at + 15_000, start=at + 63_000, end=at + 70_000)
    fitted, _ = labelled(trace, tmp_path)
    assert (fitted.delta_ns, fitted.pdl_pairs) == ({"other": 1_000}, frozenset())


def test_too_few_calls_on_an_idle_gpu_are_no_constant(tmp_path):
    trace = found(steps(number=11), tmp_path)
    few = replace(
        trace, operations=trace.operations.assign(iteration=np.where(trace.operations["iteration"] < 8, -1, 8))
    )
    assert causes.law(trace).idle == {"kernel": 10}
    assert causes.law(few).lambda_ns == {}
    assert causes.label(few, causes.law(few))["cause"].tolist()[:2] == ["launch", "launch"]


def test_the_trace_is_left_as_it_was(tmp_path):
    trace = found(steps(), tmp_path)
    before = trace.operations.copy(deep=True), trace.activity.calls.copy(deep=True)
    causes.label(trace, causes.law(trace))
    assert trace.operations.equals(before[0])
    assert trace.activity.calls.equals(before[1])


@pytest.fixture(
    scope="module", params=[("vllm", 1), ("vllm", 4), ("vllm", 8), ("sglang", 1), ("sglang", 2), ("sglang", 8)]
)
def eager(request):
    return traces.found(traces.recorded(*request.param, "off"))


def test_the_law_holds_on_every_recorded_trace_without_graphs(eager):
    fitted = causes.law(eager)
    assert fitted.fit_ratio > 0.995
    assert 0.94 < fitted.begin_fit_ratio < fitted.fit_ratio
    assert 7_000 < fitted.lambda_ns["kernel"] < 9_000
    assert 2_000 < fitted.lag_ns["kernel"] < 2_400
    assert -200 < fitted.delta_ns["pdl"] < 300
    assert 1_000 < fitted.delta_ns["other"] < 1_500


def test_the_gaps_of_a_recorded_trace_are_its_idle_time(eager):
    rows = causes.label(eager, causes.law(eager))
    windows = eager.iterations
    idle_ns = (windows["end_ns"] - windows["start_ns"]).sum() - covered_ns(eager.busy, windows).sum()
    assert rows["gap_ns"].sum() == pytest.approx(idle_ns, rel=1e-3)
    assert (rows["launch_exposed_ns"] <= rows["gap_ns"]).all()
    assert rows.index.isin(eager.operations.index).all()


def test_what_is_said_to_wait_for_its_launch_came_late_and_what_is_said_to_depend_had_been_queued(eager):
    rows = causes.label(eager, causes.law(eager))
    operations = eager.operations.loc[rows.index]
    returned_ns = eager.activity.calls["end_ns"].to_numpy()[operations["call"]]
    queued = operations["latest_end_ns"] >= returned_ns
    late, depends = rows["cause"] == "launch", rows["cause"] == "dependency"
    # Of the time, since the law lets a call that returns just before the GPU is free be late by its lag.
    assert rows.loc[late & ~queued, "gap_ns"].sum() > 0.995 * rows.loc[late, "gap_ns"].sum()
    assert depends.any()
    assert queued[depends].all()


@pytest.mark.parametrize(
    ("engine", "graphs", "idle_us", "graph_us"),
    [("vllm", "off", 7790, 0), ("sglang", "off", 9126, 0), ("vllm", "on", 37, 215), ("sglang", "on", 17, 171)],
)
def test_an_iteration_of_one_gpu_is_idle_as_long_as_an_independent_analysis_finds(engine, graphs, idle_us, graph_us):
    trace = traces.found(traces.recorded(engine, 1, graphs))
    rows = causes.label(trace, causes.law(trace))
    gaps_ns = rows.pivot_table(index="iteration", columns="cause", values="gap_ns", aggfunc="sum", observed=False)
    found_us = gaps_ns.median() / 1e3
    assert found_us["launch"] + found_us["dependency"] == pytest.approx(idle_us, rel=0.02, abs=2)
    assert found_us["graph"] == pytest.approx(graph_us, rel=0.02)
