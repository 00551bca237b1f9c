import pytest

from analysis import api, extract, hosts, iterations
from tests import traces

STEP_NS = 100_000


def steps(*, ahead=0, pid=7, device=0, trace=None):
    """Steps of 100 us, of which the host does, `ahead` ns before the GPU:

    [0, 2)    launches gemm, run in [12, 40)
    [5, 8)    records an event
    [10, 12)  launches norm, run in [40, 50), which ends an iteration: 12 to 112 on the host
    [20, 60)  waits
    [70, 74)  launches sample, run in [80, 90)
    """
    trace = trace or traces.Sqlite()
    for step in range(24):
        gpu, at = step * STEP_NS, step * STEP_NS - ahead
        where = {"pid": pid, "device": device}
        trace.launch("gemm", at=at, took=2_000, start=gpu + 12_000, end=gpu + 40_000, **where)
        trace.call("cudaEventRecord_v3020", at + 5_000, at + 8_000, pid=pid)
        trace.launch("norm", at=at + 10_000, took=2_000, start=gpu + 40_000, end=gpu + 50_000, **where)
        trace.call("cudaStreamSynchronize_v3020", at + 20_000, at + 60_000, pid=pid)
        trace.launch("sample", at=at + 70_000, took=4_000, start=gpu + 80_000, end=gpu + 90_000, **where)
    return trace


def found(trace, tmp_path):
    return iterations.find(extract.read(trace.write(tmp_path / "trace.sqlite")))


def measured(trace, tmp_path):
    """What is measured in a steady iteration, which is the same in all of them."""
    rows = hosts.measure(found(trace, tmp_path))
    assert len(rows.drop(columns=["rank", "iteration"]).drop_duplicates()) == 1
    return rows.iloc[0].to_dict()


def test_the_time_of_the_host_is_accounted_for(tmp_path):
    row = measured(steps(), tmp_path)
    assert row["launches"] == 3
    assert (row["launch_call_us"], row["other_call_us"], row["wait_us"]) == (8, 3, 40)
    assert (row["framework_us"], row["asking_us"]) == (100 - 8 - 3 - 40, 0)
    assert row["largest_interval_us"] == 26
    assert row["host_ms"] == pytest.approx((100 - 40 - 26) / 1e3)
    assert row["t_launch_us"] == 60 / 3


def test_the_lead_is_from_return_of_the_call_to_start(tmp_path):
    row = measured(steps(ahead=5_000), tmp_path)
    assert (row["lead_us"], row["graph_lead_us"] == row["graph_lead_us"]) == (15, False)


def test_what_has_not_started_as_a_launch_begins_is_queued(tmp_path):
    row = measured(steps(), tmp_path)
    assert (row["queue_median_launches"], row["queue_max_launches"]) == (0, 1)


def test_what_starts_as_the_next_launch_begins_is_queued_no_more(tmp_path):
    trace = steps()
    for row in trace.tables[traces.KERNEL]:
        if row["demangledName"] == trace.text("gemm"):
            row["start"] -= 2_000
    assert measured(trace, tmp_path)["queue_max_launches"] == 0


def test_a_graph_of_which_the_first_node_has_started_is_queued_no_more(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        at = step * STEP_NS
        trace.graph([("gemm", at + 12_000, at + 40_000), ("norm", at + 40_000, at + 50_000)], at=at)
        trace.launch("sample", at=at + 20_000, start=at + 51_000, end=at + 60_000)
    assert measured(trace, tmp_path)["queue_max_launches"] == 0


def test_the_host_may_be_iterations_ahead(tmp_path):
    row = measured(steps(ahead=2 * STEP_NS), tmp_path)
    assert (row["queue_median_launches"], row["queue_max_launches"]) == (6, 7)
    assert (row["launches"], row["wait_us"], row["framework_us"]) == (3, 40, 49)


def test_a_call_inside_another_is_not_counted_twice(tmp_path):
    trace = steps()
    for step in range(24):
        trace.call("cuMemcpyAsync", step * STEP_NS + 500, step * STEP_NS + 1_500)
    assert measured(trace, tmp_path)["launch_call_us"] == 8


def test_calls_that_only_ask_are_other_calls_and_told_apart(tmp_path):
    trace = steps()
    for step in range(24):
        trace.call("cudaStreamIsCapturing_v10000", step * STEP_NS + 3_000, step * STEP_NS + 4_500)
        trace.call("cuKernelGetName", step * STEP_NS + 64_000, step * STEP_NS + 65_000)
    row = measured(trace, tmp_path)
    assert (row["other_call_us"], row["asking_us"], row["framework_us"]) == (3 + 2.5, 2.5, 49 - 2.5)
    assert (row["launches"], row["launch_call_us"], row["wait_us"]) == (3, 8, 40)
    assert row["largest_interval_us"] == 26


def test_a_call_that_only_asks_within_another_is_not_counted_twice(tmp_path):
    trace = steps()
    for step in range(24):
        trace.call("cuKernelGetAttribute", step * STEP_NS + 5_500, step * STEP_NS + 6_000)
        trace.call("cuKernelGetAttribute", step * STEP_NS + 71_000, step * STEP_NS + 73_000)
    row = measured(trace, tmp_path)
    assert (row["launch_call_us"], row["other_call_us"], row["asking_us"], row["framework_us"]) == (8, 3, 0, 49)


def test_a_call_within_one_that_only_asks_is_not_counted_twice_either(tmp_path):
    trace = steps()
    for step in range(24):
        trace.call("cudaGetFuncBySymbol_v11000", step * STEP_NS + 3_000, step * STEP_NS + 4_500)
        trace.call("cuModuleGetLoadingMode", step * STEP_NS + 3_500, step * STEP_NS + 4_000)
    row = measured(trace, tmp_path)
    assert (row["other_call_us"], row["asking_us"], row["framework_us"]) == (3 + 1.5, 1.5, 49 - 1.5)


def test_what_is_asked_after_the_anchors_call_is_of_the_next_iteration(tmp_path):
    trace = steps()
    trace.call("cuKernelGetName", 12 * STEP_NS + 9_000, 12 * STEP_NS + 9_500)
    trace.call("cuKernelGetName", 12 * STEP_NS + 13_000, 12 * STEP_NS + 15_000)
    rows = hosts.measure(found(trace, tmp_path)).set_index("iteration")
    assert rows.loc[[11, 12, 13, 14], "asking_us"].tolist() == [0, 0.5, 2, 0]
    assert rows.loc[[11, 12, 13, 14], "other_call_us"].tolist() == [3, 3.5, 5, 3]


def test_of_a_recording_that_does_not_say_how_long_was_asked_nothing_is_said_of_it():
    rows = hosts.measure(iterations.find(extract.read(traces.older("sglang", 1, "on"))))
    assert rows["asking_us"].isna().all()
    assert rows["other_call_us"].notna().all()


@pytest.mark.parametrize(("graphs", "least_us", "most_us"), [("off", 69, 200), ("on", 6, 10)])
def test_calls_that_only_ask_take_as_little_as_the_document_says(root, graphs, least_us, most_us):
    asked_us = []
    for engine, tp in (("vllm", 1), ("vllm", 4), ("vllm", 8), ("sglang", 1), ("sglang", 2), ("sglang", 8)):
        trace = iterations.find(extract.read(traces.recorded(engine, tp, graphs)))
        left_out = trace.activity.left_out
        all_ns = left_out.loc[left_out["name"].isin(api.QUERIES), "time_ns"].sum()
        # Nearly all that was left out lies before some call, and prefill asks as well.
        assert trace.activity.calls["asking_ns"].sum() == pytest.approx(all_ns, rel=0.01)
        rows = hosts.measure(trace)
        assert 1e3 * rows["asking_us"].sum() < all_ns
        asked_us.append(rows["asking_us"].median())
    assert (round(min(asked_us)), round(max(asked_us))) == (least_us, most_us)
    said = " ".join((root / "analysis" / "README.md").read_text(encoding="utf-8").split())
    assert f"{least_us} to {most_us} us of an iteration" in said or f"{least_us} to {most_us} us with graphs" in said


def test_threads_that_launch_less_are_left_aside(tmp_path):
    trace = steps()
    for step in range(24):
        at = step * STEP_NS
        trace.call("cudaEventQuery_v3020", at + 1_000, at + 90_000, thread=2)
        trace.call("cuKernelGetName", at + 90_000, at + 90_500, thread=2)
        correlation = trace.call("cudaMemcpyAsync_v3020", at + 91_000, at + 92_000, thread=2)
        trace.kernel("side", at + 93_000, at + 94_000, correlation=correlation, stream=9)
    row = measured(trace, tmp_path)
    assert (row["launches"], row["other_call_us"], row["framework_us"]) == (3, 3, 49)


def test_the_thread_that_launches_most_need_not_be_the_first_of_its_process(tmp_path):
    trace = steps()
    for step in range(24):
        correlation = trace.call("cudaMemcpyAsync_v3020", step * STEP_NS + 91_000, step * STEP_NS + 92_000, thread=0)
        trace.kernel("side", step * STEP_NS + 93_000, step * STEP_NS + 94_000, correlation=correlation, stream=9)
    row = measured(trace, tmp_path)
    assert (row["launches"], row["framework_us"]) == (3, 49)


def test_a_copy_that_is_not_asynchronous_is_waiting_and_a_launch(tmp_path):
    trace = steps()
    for step in range(24):
        at = step * STEP_NS
        correlation = trace.call("cudaMemcpy_v3020", at + 62_000, at + 68_000)
        trace.kernel("copied", at + 62_500, at + 63_000, correlation=correlation)
    row = measured(trace, tmp_path)
    assert (row["launches"], row["launch_call_us"], row["wait_us"]) == (4, 8, 46)
    assert row["largest_interval_us"] == 26


def test_each_rank_has_its_own_host(tmp_path):
    trace = steps(pid=101, device=0)
    trace = found(steps(pid=102, device=1, ahead=2 * STEP_NS, trace=trace), tmp_path)
    rows = hosts.measure(trace).groupby("rank")[["launches", "framework_us", "queue_max_launches"]].median()
    assert rows.to_numpy().tolist() == [[3, 49, 1], [3, 49, 7]]


def test_a_process_of_several_ranks_has_no_host_of_one(tmp_path):
    trace = steps(pid=101, device=0)
    trace = found(steps(pid=101, device=1, trace=trace), tmp_path)
    rows = hosts.measure(trace)
    assert len(rows) == len(trace.iterations)
    assert rows[["launches", "host_ms", "t_launch_us"]].isna().all(axis=None)
    assert hosts.sites(trace).empty


def test_a_graph_is_one_launch_and_has_no_lead(tmp_path):
    trace = traces.decode(graphs=True, steps=24)
    row = measured(trace, tmp_path)
    assert row["launches"] == 1
    assert row["launch_call_us"] == 0.002
    assert row["lead_us"] != row["lead_us"]


def test_the_lead_of_a_graph_is_from_begin_of_its_call_to_its_first_node(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        at = step * STEP_NS
        nodes = [("gemm", at + 12_000, at + 40_000), ("norm", at + 40_000, at + 50_000)]
        trace.graph(nodes, at=at, took=20_000)
        trace.launch("sample", at=at + 25_000, took=2_000, start=at + 51_000, end=at + 60_000)
    row = measured(trace, tmp_path)
    assert (row["graph_lead_us"], row["lead_us"]) == (12, 51 - 27)


def test_of_several_graphs_in_an_iteration_the_lead_is_the_median_of_their_first_nodes(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        for number, lead in enumerate((3_000, 9_000, 5_000)):
            at = step * STEP_NS + 20_000 * number
            trace.graph([(f"k{number}", at + lead, at + 11_000), ("norm", at + 12_000, at + 13_000)], at=at)
    row = measured(trace, tmp_path)
    assert (row["graph_lead_us"], row["lead_us"] != row["lead_us"]) == (5, True)


def test_a_graph_is_named_by_its_last_node_before_and_its_first_after(tmp_path):
    trace = hosts.sites(found(traces.decode(graphs=True, steps=24), tmp_path))
    assert trace[["before", "after", "per_iteration"]].to_numpy().tolist() == [["sample", "gemm", 1]]


def test_an_interval_between_launches_is_a_site_of_what_lies_around_it(tmp_path):
    sites = hosts.sites(found(steps(), tmp_path)).set_index(["before", "after"])
    assert sites["interval_us"].to_dict() == {("sample", "gemm"): 26, ("norm", "sample"): 18, ("gemm", "norm"): 8}
    assert (sites["per_iteration"] == 1).all()
    assert sites["total_ms"].tolist() == pytest.approx([0.026, 0.018, 0.008])
    assert sites["typical_ratio"].tolist() == pytest.approx([26 / 18, 1, 8 / 18])


def test_a_site_has_its_usual_interval_and_all_of_its_time(tmp_path):
    trace = steps()
    gemms = [row for row in trace.tables[traces.RUNTIME] if row["start"] == 12 * STEP_NS]
    gemms[0]["start"] -= 9_000
    sites = hosts.sites(found(trace, tmp_path)).set_index(["before", "after"])
    assert sites.loc[("sample", "gemm"), "interval_us"] == 26
    assert sites.loc[("sample", "gemm"), "total_ms"] == pytest.approx(0.026 - 0.009 / 18)


def test_only_sites_far_above_the_typical_interval_are_slow(tmp_path):
    trace = traces.Sqlite()
    for step in range(24):
        at = step * 280_000
        for number, begin in enumerate((0, 20, 40, 140, 160, 250)):
            name = ("reduce", "norm")[number % 2] if 0 < number < 5 else f"kernel {number}"
            start = at + begin * 1_000
            trace.launch(name, at=start, took=2_000, start=start + 4_000, end=start + 9_000)
    slow = hosts.slow_sites(found(trace, tmp_path))
    assert slow[["before", "after", "per_iteration", "interval_us"]].to_numpy().tolist() == [
        ["reduce", "norm", 1, 98],
        ["reduce", "kernel 5", 1, 88],
    ]


def test_of_the_iterations_beside_an_anchor_without_a_call_nothing_is_said(tmp_path):
    trace = steps()
    norms = [row for row in trace.tables[traces.KERNEL] if row["demangledName"] == trace.text("norm")]
    norms[12]["correlationId"] += 5_000
    rows = hosts.measure(found(trace, tmp_path))
    assert rows.loc[rows["host_ms"].isna(), "iteration"].tolist() == [12, 13]
    assert rows["framework_us"].dropna().unique().tolist() == [49]
    assert rows["lead_us"].notna().all()


def test_an_iteration_of_the_host_ends_as_the_anchors_call_returns(tmp_path):
    trace = steps()
    norms = [row for row in trace.tables[traces.RUNTIME] if row["start"] % STEP_NS == 10_000]
    norms[12]["end"] += 3_000
    rows = hosts.measure(found(trace, tmp_path)).set_index("iteration")
    assert rows.loc[[11, 12, 13], "launch_call_us"].tolist() == [8, 11, 8]
    assert rows.loc[[11, 12, 13], "framework_us"].tolist() == [49, 49, 46]


def test_sglang_without_graphs_is_slow_after_each_all_reduce():
    slow = hosts.slow_sites(iterations.find(extract.read(traces.recorded("sglang", 2, "off"))))
    first = slow.iloc[0]
    assert "all_reduce_kernel" in first["before"]
    assert "FusedAddRMSNormKernel" in first["after"]
    assert first["per_iteration"] == pytest.approx(64, abs=0.5)
    assert first["interval_us"] == pytest.approx(97, abs=3)
    assert first["total_ms"] == pytest.approx(64 * 0.097, rel=0.05)


@pytest.mark.parametrize(
    ("engine", "tp", "t_launch_us", "call_us"),
    [("vllm", 1, 28.6, 5.5), ("vllm", 8, 31, 6), ("sglang", 1, 31, 5.3), ("sglang", 2, 54, 6.3)],
)
def test_recorded_hosts_take_the_known_time_to_launch(engine, tp, t_launch_us, call_us):
    trace = iterations.find(extract.read(traces.recorded(engine, tp, "off")))
    rows = hosts.measure(trace)
    assert rows["t_launch_us"].median() == pytest.approx(t_launch_us, rel=0.02)
    assert (rows["launch_call_us"] / rows["launches"]).median() == pytest.approx(call_us, rel=0.05)
    parts_us = rows[["launch_call_us", "other_call_us", "wait_us", "framework_us"]].sum(axis=1)
    length_us = (trace.iterations["end_ns"] - trace.iterations["start_ns"]) / 1e3
    assert parts_us.median() == pytest.approx(length_us.median(), rel=0.01)
    assert (rows["framework_us"] > 0).all()
