"""Whether a capture can carry a verdict. Every fault is planted in a capture that is fit without it.

A step of 100 us on two ranks: `nvjet` 20-60, all-reduce 65-70, `rms_norm` 75-80, `sample` 85-95.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import account, extract, fitness, iterations
from analysis.checks import Check, Fitness
from analysis.words import counted
from tests import traces
from tests.traces import Sqlite, recorded

ALL_REDUCE = "void vllm::cross_device_reduce_1stage<__nv_bfloat16, (int)2>(vllm::RankData *, int)"
PARTS = (("nvjet", 20, 60), (ALL_REDUCE, 65, 70), ("rms_norm", 75, 80), ("sample", 85, 95))
CHECKS = ["ranks", "strays", "steady steps", "launches joined", "graph nodes", "launch law", "ranks work together",
          "collectives", "clocks", "useful time", "idle and wait", "stationary"]  # fmt: skip
US = 1_000


def _capture(
    *, ranks: int = 2, steps: int = 22, graphs: bool = False, parts: tuple = PARTS, late_us: int = 0
) -> Sqlite:
    """Such steps on so many ranks; all but the first rank are `late_us` late, as by another clock."""
    trace = Sqlite()
    for rank in range(ranks):
        trace.gpu(rank, uuid=f"uuid-{rank}")
        for number in range(steps):
            _step(trace, rank, 1_000 + 100 * number + (late_us if rank else 0), graphs, parts)
    return trace


def _step(trace: Sqlite, rank: int, begin_us: int, graphs: bool, parts: tuple) -> None:
    where = {"pid": 101 + rank, "device": rank}
    at = [(name, US * (begin_us + start), US * (begin_us + end)) for name, start, end in parts]
    if graphs:
        correlation = trace.call("cudaGraphLaunch_v10000", US * begin_us, US * (begin_us + 5), pid=where["pid"])
        for node, (name, start, end) in enumerate(at[:-1]):
            trace.kernel(name, start, end, correlation=correlation, node=rank * 100 + node, **where)
        at = at[-1:]
    for name, start, end in at:
        trace.launch(name, at=start - 5 * US, took=3 * US, start=start, end=end, **where)


def _check(trace: Sqlite, folder: Path) -> Fitness:
    return fitness.check(iterations.find(extract.read(trace.write(folder / "a.sqlite"))))


def _unfit(trace: Sqlite, folder: Path) -> Check:
    """The one check that makes the trace unfit."""
    found = _check(trace, folder)
    assert not found.fit
    (check,) = found.unfit
    assert check.remedy
    return check


def test_a_good_capture_is_fit_and_every_check_says_what_it_found(tmp_path: Path) -> None:
    found = _check(_capture(), tmp_path)
    assert [check.name for check in found.checks] == CHECKS
    assert (found.fit, found.unfit, found.notes) == (True, (), ())
    assert all(check.found and check.expected and not check.remedy for check in found.checks)


def test_a_good_capture_with_graphs_is_fit_and_counts_each_launch_once(tmp_path: Path) -> None:
    found = {check.name: check for check in _check(_capture(graphs=True), tmp_path).checks}
    assert list(found) == [*CHECKS[:5], "graph launches", *CHECKS[5:]]
    assert found["graph launches"].found == "32 launches of 2 graphs, 3 to 3 nodes each"
    assert all(check.passed for check in found.values())


def test_the_json_names_every_check(tmp_path: Path) -> None:
    found = _check(_capture(), tmp_path).to_json()
    json.dumps(found)
    assert found["fit"] is True
    assert list(found["checks"][0]) == ["name", "passed", "gates", "found", "expected", "remedy"]


def test_accounts_that_are_there_need_not_be_drawn_up_again(tmp_path: Path) -> None:
    trace = iterations.find(extract.read(_capture().write(tmp_path / "a.sqlite")))
    assert fitness.check(trace, account.find(trace)) == fitness.check(trace)


def test_too_few_steady_steps_are_unfit_and_16_are_enough(tmp_path: Path) -> None:
    assert _unfit(_capture(steps=21), tmp_path).found == "15 steady decode iterations"
    (tmp_path / "b").mkdir()
    assert _check(_capture(steps=22), tmp_path / "b").fit


def _one_rank_of_two(_: Sqlite) -> Sqlite:
    return _capture(ranks=1)


def _rank_without_operations(trace: Sqlite) -> Sqlite:
    for number in range(80):
        trace.call("cudaLaunchKernel_v7000", US * (1000 + 20 * number), US * (1003 + 20 * number), pid=999)
    return trace


def _two_ranks_on_a_gpu(trace: Sqlite) -> Sqlite:
    for row in trace.tables[traces.KERNEL]:
        row["deviceId"] = 0
    for pid in (101, 102):
        trace.sees(pid, cuda=0, gpu=0)
    return trace


def _other_number_of_ranks(_: Sqlite) -> Sqlite:
    eight = tuple((name.replace("(int)2", "(int)8"), start, end) for name, start, end in PARTS)
    return _capture(parts=eight)


def _collectives_alone(_: Sqlite) -> Sqlite:
    return _capture(ranks=1, parts=(PARTS[0], ("ncclDevKernel_AllReduce_Sum_bf16(x)", 65, 70), *PARTS[2:]))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (_one_rank_of_two, "all-reduce kernels of 2 ranks, 1 of them in the trace"),
        (_other_number_of_ranks, "all-reduce kernels of 8 ranks, 2 of them in the trace"),
        (_collectives_alone, "collectives, but a single rank to run them"),
        (_rank_without_operations, "1 process launched work of which no GPU operation was recorded"),
        (_two_ranks_on_a_gpu, "GPU 0 is used by several ranks"),
    ],
)
def test_ranks_that_are_missing_or_share_a_gpu_are_unfit(
    tmp_path: Path, fault: Callable[[Sqlite], Sqlite], found: str
) -> None:
    check = _unfit(fault(_capture()), tmp_path)
    assert (check.name, check.found) == ("ranks", found)
    assert "--trace-fork-before-exec=true" in check.remedy


def test_a_helper_that_launches_a_little_is_no_missing_rank(tmp_path: Path) -> None:
    trace = _capture()
    trace.call("cudaLaunchKernel_v7000", 1_000_000, 1_003_000, pid=999)
    assert _check(trace, tmp_path).fit


def test_operations_without_their_call_are_unfit(tmp_path: Path) -> None:
    trace = _capture()
    for row in trace.tables[traces.KERNEL][40:43]:
        row["correlationId"] = 10**6
    check = _unfit(trace, tmp_path)
    assert (check.name, check.found) == ("launches joined", "3 of 128 operations without the call that launched them")


def test_graphs_recorded_whole_are_unfit_and_the_option_that_records_nodes_is_named(tmp_path: Path) -> None:
    trace = Sqlite()
    for number in range(22):
        begin = 1_000_000 + 100_000 * number
        trace.whole_graph(begin, begin + 60_000, at=begin - 9_000)
        for name, at in (("rms_norm", begin + 70_000), ("sample", begin + 80_000)):
            trace.launch(name, at=at - 5_000, took=3_000, start=at, end=at + 5_000)
    check = _unfit(trace, tmp_path)
    assert check.name == "graph nodes"
    assert "--cuda-graph-trace=node" in check.remedy


def test_a_graph_that_ran_fewer_nodes_once_is_unfit(tmp_path: Path) -> None:
    trace = _capture(graphs=True)
    kernels = trace.tables[traces.KERNEL]
    del kernels[next(at for at, row in enumerate(kernels) if row["graphNodeId"] == 2 and row["start"] > 2_000_000)]
    check = _unfit(trace, tmp_path)
    assert check.name == "graph launches"
    assert check.found.endswith("; 1 graph ran 2 nodes once and 3 another time")


def test_a_graph_launch_of_which_nothing_was_recorded_is_unfit(tmp_path: Path) -> None:
    trace = _capture(graphs=True)
    trace.call("cudaGraphLaunch_v10000", 2_050_000, 2_055_000, pid=101)
    assert _unfit(trace, tmp_path).found.endswith("; 1 launch ran no node that was recorded")


def test_ranks_whose_collectives_differ_are_unfit(tmp_path: Path) -> None:
    trace = _capture()
    other = trace.text(ALL_REDUCE.replace("1stage", "2stage"))
    for row in trace.tables[traces.KERNEL]:
        if row["deviceId"] == 1 and row["demangledName"] == trace.text(ALL_REDUCE):
            row["demangledName"] = other
    check = _unfit(trace, tmp_path)
    assert check.name == "collectives"
    assert "ranks ran different collectives" in check.found


UNNAMED = "void engine::between_gpus<(int)2>(float *)"


def _unknown_collective() -> Sqlite:
    """The all-reduce has a name that says nothing; rank 1 multiplies 2 us longer, and rank 0 waits for it there."""
    trace = _capture(parts=(PARTS[0], (UNNAMED, 60, 70), *PARTS[2:]))
    for row in trace.tables[traces.KERNEL]:
        if row["deviceId"] == 1:
            row["end"] = int(row["end"]) + (2 * US if row["demangledName"] == trace.text("nvjet") else 0)
            row["start"] = int(row["start"]) + (2 * US if row["demangledName"] == trace.text(UNNAMED) else 0)
    return trace


def _two_engines() -> Sqlite:
    """Each rank runs for itself, and rank 1 takes a tenth longer for a step."""
    trace = Sqlite()
    for rank in range(2):
        trace.gpu(rank, uuid=f"uuid-{rank}")
        for number in range(22):
            _step(trace, rank, 1_000 + (100 + 10 * rank) * number, False, (PARTS[0], *PARTS[2:]))
    return trace


@pytest.mark.parametrize(
    ("trace", "found"),
    [
        pytest.param(_two_engines(), "", id="two engines"),
        pytest.param(
            _unknown_collective(), f"; ranks end together, though they begin apart, in {UNNAMED}", id="unnamed"
        ),
    ],
)
def test_ranks_that_meet_in_no_known_collective_are_unfit(tmp_path: Path, trace: Sqlite, found: str) -> None:
    check = _unfit(trace, tmp_path)
    assert check.name == "ranks work together"
    assert check.found == f"no collective of a known name ran in the steady iterations{found}"
    assert check.remedy.startswith("trace one tensor-parallel group alone")


def test_real_collectives_of_unknown_names_are_unfit_and_named(tmp_path: Path) -> None:
    activity = traces.activity(recorded("vllm", 4, "on"))
    rows = activity.signatures
    renamed = (
        rows["name"].str.replace("cross_device_reduce_1stage", "fused_peer").str.replace("ncclDevKernel_", "peer_")
    )
    renamed = renamed.str.replace("AllGather", "Ring")
    trace = iterations.find(replace(activity, signatures=rows.assign(name=renamed)))
    (check,) = fitness.check(trace).unfit
    assert check.name == "ranks work together"
    assert "void vllm::fused_peer<__nv_bfloat16, (int)4>" in check.found


@pytest.mark.parametrize(("engine", "tp", "known"), [("vllm", 4, "cross_device_reduce"), ("sglang", 2, "all_reduce")])
def test_a_real_all_reduce_of_an_unknown_name_beside_a_known_all_gather_is_unfit(
    engine: str, tp: int, known: str
) -> None:
    activity = traces.activity(recorded(engine, tp, "on"))
    rows = activity.signatures
    renamed = rows["name"].str.replace(known, "fused_peer")
    trace = iterations.find(replace(activity, signatures=rows.assign(name=renamed)))
    (check,) = fitness.check(trace).unfit
    assert check.name == "ranks work together"
    assert check.found.startswith("1 collectives of a known name beside 65 norms an iteration")
    # Two ranks of a graph begin almost together, so that ending together says nothing.
    assert ("void vllm::fused_peer" in check.found) is (tp == 4)
    assert "AllGather" not in check.found


@pytest.mark.parametrize(("norms", "fit"), [(4, True), (5, False)])
def test_ranks_that_meet_less_than_once_in_four_norms_are_unfit(tmp_path: Path, norms: int, fit: bool) -> None:
    many = tuple(("rms_norm", 71 + 2 * number, 72 + 2 * number) for number in range(norms))
    trace = _capture(parts=(*PARTS[:2], *many, PARTS[3]))
    assert _check(trace, tmp_path).fit is fit


def test_one_rank_need_not_meet_others(tmp_path: Path) -> None:
    found = _check(_capture(ranks=1, parts=(PARTS[0], *PARTS[2:])), tmp_path)
    assert found.fit
    assert [check.name for check in found.checks] == [*CHECKS[:6], "stationary"]


@pytest.mark.parametrize(("late_us", "fit"), [(4, True), (6, False)])
def test_clocks_of_ranks_that_are_apart_are_unfit(tmp_path: Path, late_us: int, fit: bool) -> None:
    longer = (PARTS[0], (ALL_REDUCE, 61, 71), *PARTS[2:])
    found = _check(_capture(late_us=late_us, parts=longer), tmp_path)
    assert found.fit is fit
    clocks = next(check for check in found.checks if check.name == "clocks")
    assert clocks.found == f"ranks see a collective end {late_us}.0 us apart (median)"


def _slower_rank(us: float) -> Sqlite:
    """Rank 1 multiplies longer, and rank 0 waits for it in the all-reduce."""
    trace = _capture()
    for row in trace.tables[traces.KERNEL]:
        if row["demangledName"] == trace.text("nvjet") and row["deviceId"] == 1:
            row["end"] = int(row["end"]) + int(us * US)
    return trace


def test_a_rank_that_computes_more_than_the_others_is_unfit(tmp_path: Path) -> None:
    check = _unfit(_slower_rank(2.5), tmp_path)
    assert (check.name, check.found) == ("useful time", "ranks differ by 4.1 % in useful time")


def test_a_little_more_is_a_note_beside_a_fit_trace(tmp_path: Path) -> None:
    found = _check(_slower_rank(1.7), tmp_path)
    assert found.fit
    (note,) = found.notes
    assert (note.name, note.found) == ("idle and wait", "ranks differ by 1.7 points in idle and waiting time")
    assert note.reason == f"idle and wait: {note.found}; expected {note.expected}; {note.remedy}"


def test_operations_that_start_for_no_known_cause_are_unfit(tmp_path: Path) -> None:
    trace = _capture()
    norm = trace.text("rms_norm")
    late = [row for row in trace.tables[traces.KERNEL] if row["demangledName"] == norm]
    for number, row in enumerate(late):
        if number % 2:
            row["start"] = int(row["start"]) + 4 * US
    check = _unfit(trace, tmp_path)
    assert check.name == "launch law"
    assert check.found.startswith("12.5 % of all operations start elsewhen")


def test_work_of_others_on_the_gpus_is_a_note(tmp_path: Path) -> None:
    trace = _capture()
    for number in range(3):
        trace.launch("stranger", at=2_000_000 + number, start=2_000_100, end=2_000_200, pid=999, device=0)
    (note,) = _check(trace, tmp_path).notes
    assert note.found == "3 operations of other processes or GPUs beside 176"


def test_a_window_that_is_not_stationary_is_a_note(tmp_path: Path) -> None:
    trace = Sqlite()
    begin = 1_000
    for number in range(60):
        _step(trace, 0, begin, False, (PARTS[0], *PARTS[2:]))
        begin += 100 if number < 30 else 150
    found = _check(trace, tmp_path)
    assert found.fit
    assert [note.name for note in found.notes] == ["stationary"]


@pytest.mark.parametrize("graphs", ["off", "on"])
@pytest.mark.parametrize(("engine", "tp"), [("vllm", 1), ("vllm", 4), ("vllm", 8), ("sglang", 2), ("sglang", 8)])
def test_real_captures_are_fit(engine: str, tp: int, graphs: str) -> None:
    found = fitness.check(traces.found(recorded(engine, tp, graphs)))
    assert [check.reason for check in found.unfit] == []
    replays = [check.found for check in found.checks if check.name == "graph launches"]
    # Where the anchor lies in the graph, the first of the steady iterations begins in the launch before.
    launches = 19 * tp if (engine, tp) == ("sglang", 2) else 18 * tp
    nodes = 450 if (engine, tp) == ("vllm", 1) else 516 if tp == 4 else 486 if engine == "sglang" else 484
    assert replays == (
        [f"{launches} launches of {counted(tp, 'graph')}, {nodes} to {nodes} nodes each"] if graphs == "on" else []
    )


def test_real_captures_of_whole_graphs_are_not() -> None:
    folder = Path(__file__).resolve().parents[2] / "data" / "traces"
    found = fitness.check(iterations.find(extract.read(folder / "steady_vllm_whole-graphs_tp2.sqlite.xz")))
    assert [check.name for check in found.unfit] == ["graph nodes"]
