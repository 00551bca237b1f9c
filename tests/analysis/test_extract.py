"""From files to tables: joins, versions of the schema, and what is refused."""

import hashlib
import lzma
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from analysis import extract
from analysis.errors import TraceError
from analysis.extract import Activity
from tests import traces
from tests.traces import Sqlite


def _read(trace: Sqlite, folder: Path, **how: tuple[str, ...]) -> Activity:
    return extract.read(trace.write(folder / "trace.sqlite", **how))


def _launched_by(activity: Activity) -> list[tuple[int, int, int]]:
    """Rank, start of the operation, start of its call."""
    calls = activity.calls["start_ns"]
    operations = activity.operations
    return [(row.rank, row.start_ns, calls[row.call] if row.call >= 0 else -1) for row in operations.itertuples()]


def test_equal_correlation_ids_of_two_processes_are_not_mixed_up(tmp_path: Path) -> None:
    trace = Sqlite()
    for pid, device in ((7, 0), (8, 1)):
        trace.launch("gemm", pid=pid, device=device, at=pid, start=pid + 10, end=pid + 20)
    assert _launched_by(_read(trace, tmp_path)) == [(0, 17, 7), (1, 18, 8)]


def test_all_nodes_of_a_graph_join_its_one_launch(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.graph([("gemm", 10, 20), ("norm", 20, 25)], at=1)
    activity = _read(trace, tmp_path)
    assert _launched_by(activity) == [(0, 10, 1), (0, 20, 1)]
    assert activity.graph_tracing == "node"
    assert (activity.operations["graph_node"] >= 0).all()


def test_of_nested_calls_with_one_id_the_outermost_is_the_launch(tmp_path: Path) -> None:
    trace = Sqlite()
    inner = trace.call("cuLaunchKernel", 12, 14)
    trace.call("cudaLaunchKernel_v7000", 10, 20, correlation=inner)
    trace.kernel("gemm", 30, 40, correlation=inner)
    activity = _read(trace, tmp_path)
    assert _launched_by(activity) == [(0, 30, 10)]
    assert activity.calls["outermost"].tolist() == [True, False]


def test_copies_and_memsets_are_operations(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)
    trace.copy(16, 17, at=1)
    trace.set(18, 19, at=2)
    activity = _read(trace, tmp_path)
    kinds = activity.signatures["kind"].iloc[activity.operations["signature"]].tolist()
    assert kinds == ["kernel", "copy", "set"]
    assert activity.calls["kind"].tolist() == ["launch", "copy", "set"]


@pytest.mark.parametrize(
    ("second", "same"),
    [
        pytest.param({"name": "gemm", "grid": 4, "block": 32}, True, id="equal"),
        pytest.param({"name": "gemm", "grid": 5, "block": 32}, False, id="another grid"),
        pytest.param({"name": "gemm", "grid": 4, "block": 64}, False, id="another block"),
        pytest.param({"name": "norm", "grid": 4, "block": 32}, False, id="another name"),
    ],
)
def test_a_signature_is_name_grid_and_block(tmp_path: Path, second: dict, same: bool) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15, grid=4)
    trace.launch(at=1, start=20, end=30, **second)
    first, other = _read(trace, tmp_path).operations["signature"]
    assert (first == other) is same


def test_an_operation_without_a_recorded_call_is_kept_and_unjoined(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)
    trace.kernel("gemm", 20, 30, correlation=99)
    assert _launched_by(_read(trace, tmp_path)) == [(0, 5, 0), (0, 20, -1)]


def test_times_before_zero_are_times(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=-100, start=-90, end=-50)
    assert _read(trace, tmp_path).operations[["start_ns", "end_ns"]].to_numpy().tolist() == [[-90, -50]]


def test_calls_that_only_ask_are_no_rows(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)
    trace.call("cudaStreamIsCapturing_v10000", 20, 21)
    assert _read(trace, tmp_path).calls["name"].tolist() == ["cudaLaunchKernel"]


@pytest.mark.parametrize("inline", [True, False], ids=["text inline", "text by id"])
def test_nvtx_text_is_found_in_both_schemas(tmp_path: Path, inline: bool) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)
    trace.nvtx("step 1", 0, 20, inline=inline)
    trace.nvtx("never closed", 30, None, inline=inline)
    ranges = _read(trace, tmp_path, without=(f"{traces.NVTX}.{'textId' if inline else 'text'}",)).ranges
    assert ranges[["start_ns", "end_ns", "closed", "text"]].to_numpy().tolist() == [
        [0, 20, True, "step 1"],
        [30, 30, False, "never closed"],
    ]


def test_columns_that_older_versions_lack_are_done_without(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)
    trace.copy(16, 17, at=1)
    older = (f"{traces.KERNEL}.graphNodeId", f"{traces.COPY}.graphNodeId", f"{traces.RUNTIME}.eventClass")
    activity = _read(trace, tmp_path, without=(*older, "META_DATA_EXPORT"))
    assert activity.operations["graph_node"].tolist() == [-1, -1]
    assert (activity.graph_tracing, activity.nsys_version) == ("none", "unknown")


def test_a_graph_level_trace_has_one_operation_per_launch(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("sample", at=0, start=5, end=15)
    trace.whole_graph(20, 90, at=16, exec_id=40)
    trace.whole_graph(0, 0, at=91, exec_id=40)  # CUPTI's way to say that it could not time a graph
    activity = _read(trace, tmp_path)
    assert activity.operations[["start_ns", "end_ns"]].to_numpy().tolist() == [[5, 15], [20, 90]]
    assert activity.signatures["name"].tolist() == ["sample", "graph 0"]
    assert activity.graph_tracing == "graph"


def test_the_same_graph_has_one_signature_on_all_ranks(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.whole_graph(0, 9, at=-2, exec_id=40, pid=7)
    trace.whole_graph(0, 9, at=-2, exec_id=77, pid=8, device=1)
    assert _read(trace, tmp_path).operations["signature"].nunique() == 1


def _two_workers_that_each_see_one_gpu() -> Sqlite:
    trace = Sqlite()
    for pid in (7, 8):
        trace.launch("gemm", pid=pid, device=0, at=0, start=5, end=15)
    return trace


@pytest.mark.parametrize("by", ["uuid", "number"])
def test_a_gpu_that_every_worker_calls_0_is_found(tmp_path: Path, by: str) -> None:
    trace = _two_workers_that_each_see_one_gpu()
    for gpu in (2, 3):
        trace.gpu(gpu, uuid=f"uuid-{gpu}", name=f"GPU {gpu}")
    for pid, gpu in ((7, 3), (8, 2)):
        if by == "uuid":
            trace.row(traces.DEVICE, gpuId=0, cudaId=0, pid=pid, uuid=f"uuid-{gpu}")
        else:
            trace.sees(pid, cuda=0, gpu=gpu)
    ranks = _read(trace, tmp_path).ranks
    assert ranks[["rank", "device", "gpu_name", "process_device"]].to_numpy().tolist() == [
        [0, 2, "GPU 2", 0],
        [1, 3, "GPU 3", 0],
    ]


def test_a_gpu_that_every_worker_calls_0_is_unknown_where_the_trace_does_not_say(tmp_path: Path) -> None:
    ranks = _read(_two_workers_that_each_see_one_gpu(), tmp_path).ranks
    assert ranks[["rank", "device", "operations"]].to_numpy().tolist() == [[0, -1, 1], [1, -1, 1]]


def test_a_process_that_runs_next_to_nothing_is_no_rank(tmp_path: Path) -> None:
    trace = Sqlite()
    for number in range(11):
        trace.launch("gemm", at=number, start=20 + number, end=21 + number)
    trace.launch("helper", pid=9, device=0, at=0, start=5, end=15)
    activity = _read(trace, tmp_path)
    assert (len(activity.ranks), len(activity.operations), activity.stray_operations) == (1, 11, 1)


def test_a_process_that_runs_half_as_much_as_another_is_a_rank(tmp_path: Path) -> None:
    trace = Sqlite()
    for number in range(20):
        for pid in (7, 8) if number % 2 else (7,):
            trace.launch("gemm", at=number, start=20 + number, end=21 + number, pid=pid, device=pid - 7)
    assert _read(trace, tmp_path).ranks["operations"].tolist() == [20, 10]


def test_reading_leaves_no_trace_beside_the_file_or_among_temporary_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, temporary = tmp_path / "user", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    plain = traces.decode().write(folder / "a.sqlite")
    with closing(sqlite3.connect(plain)) as database:
        database.execute("PRAGMA journal_mode = WAL")  # a reader of such a file may leave two others beside it
    packed = folder / "a.sqlite.xz"
    packed.write_bytes(lzma.compress(plain.read_bytes()))
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert len(extract.read(plain).operations) == len(extract.read(packed).operations)
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == before
    assert list(temporary.iterdir()) == []


def _no_cuda() -> Sqlite:
    trace = Sqlite()
    trace.nvtx("step", 0, 10)
    return trace


def _calls_only() -> Sqlite:
    trace = Sqlite()
    trace.call("cudaLaunchKernel_v7000", 0, 2)
    return trace


def _kernels_only() -> Sqlite:
    trace = Sqlite()
    trace.kernel("gemm", 0, 9, correlation=1)
    return trace


@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        pytest.param(_no_cuda(), "no CUDA activity.*nsys profile --trace=cuda,nvtx", id="nothing of CUDA"),
        pytest.param(_calls_only(), "no GPU operation.*--cuda-graph-trace=node", id="calls without kernels"),
        pytest.param(_kernels_only(), "no CUDA calls.*--trace=cuda", id="kernels without calls"),
    ],
)
def test_what_is_needed_and_absent_is_an_error_that_says_how_to_record_it(
    tmp_path: Path, trace: Sqlite, reason: str
) -> None:
    with pytest.raises(TraceError, match=reason):
        _read(trace, tmp_path)


def _truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("absent.sqlite", None, "no such file"),
        ("empty.sqlite", lambda _: b"", "the file is empty.*nsys export"),
        ("text.sqlite", lambda _: b"not a database at all", "not an SQLite file.*nsys export"),
        ("report.nsys-rep", lambda _: b"\x00\x01 binary", "an nsys report.*nsys export --type sqlite"),
        ("cut.sqlite", _truncated, "damaged or cut short"),
        ("cut.sqlite.xz", lambda whole: _truncated(lzma.compress(whole)), "xz data is damaged or cut short"),
        ("bad.sqlite.xz", lambda whole: lzma.compress(whole)[:-40] + b"x" * 40, "xz data is damaged"),
        ("text.sqlite.xz", lambda _: lzma.compress(b"not a database"), "not an SQLite file"),
        ("empty.sqlite.xz", lambda _: lzma.compress(b""), "the file is empty"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_the_reason(tmp_path: Path, name: str, make, reason: str) -> None:
    if make is not None:
        whole = traces.decode(ranks=4, steps=40).write(tmp_path / "whole").read_bytes()
        (tmp_path / name).write_bytes(make(whole))
    with pytest.raises(TraceError, match=reason) as caught:
        extract.read(tmp_path / name)
    assert name in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="a folder; expected a file"):
        extract.read(tmp_path)


def test_an_export_that_is_still_being_written_is_refused(tmp_path: Path) -> None:
    path = traces.decode().write(tmp_path / "a.sqlite")
    (tmp_path / "a.sqlite-journal").write_bytes(b"x")
    with pytest.raises(TraceError, match="still being written"):
        extract.read(path)


def test_a_path_with_signs_that_mean_something_in_addresses_is_read(tmp_path: Path) -> None:
    assert len(extract.read(traces.decode().write(tmp_path / "a?mode=rw#100%.sqlite")).ranks) == 1


def test_text_where_a_number_belongs_is_refused(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)
    trace.tables[traces.KERNEL][0]["start"] = "soon"
    with pytest.raises(TraceError, match="not an integer"):
        _read(trace, tmp_path)


def test_a_kernel_table_of_another_program_is_refused(tmp_path: Path) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)
    with pytest.raises(TraceError, match="lacks globalPid"):
        _read(trace, tmp_path, without=(f"{traces.KERNEL}.globalPid",))


@pytest.mark.parametrize("table", [traces.KERNEL, traces.RUNTIME])
@pytest.mark.parametrize(
    ("side", "value", "reason"),
    [
        pytest.param("end", 1_000, r"1 of .* end before they begin.*begins at \d+ ns", id="ends before it begins"),
        pytest.param("end", None, "1 of .* end before they begin, or one of the two is absent", id="no end"),
        pytest.param("start", None, "1 of .* end before they begin, or one of the two is absent", id="no begin"),
        pytest.param("end", 2**63 - 1, "more than a week lies between", id="ends in 292 years"),
        pytest.param("start", -(2**62), "more than a week lies between", id="began 146 years ago"),
    ],
)
def test_a_time_that_cannot_be_is_refused(
    tmp_path: Path, table: str, side: str, value: int | None, reason: str
) -> None:
    trace = traces.decode(steps=20)
    trace.tables[table][50][side] = value
    with pytest.raises(TraceError, match=f"{reason}.*expected the times of one capture.*export the report again"):
        _read(trace, tmp_path)


@pytest.mark.parametrize("by", [0, -10_000_000_000, 1_763_000_000_123_456_789], ids=["now", "before", "since 1970"])
def test_times_of_any_clock_are_read_and_an_operation_may_take_no_time(tmp_path: Path, by: int) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=by, start=by + 5, end=by + 5)
    assert _read(trace, tmp_path).operations[["start_ns", "end_ns"]].to_numpy().tolist() == [[by + 5, by + 5]]


@pytest.mark.parametrize("column", ["nameId", "correlationId", "globalTid"])
def test_calls_that_could_not_be_told_apart_or_joined_are_refused(tmp_path: Path, column: str) -> None:
    with pytest.raises(TraceError, match=f"{traces.RUNTIME} lacks {column}.*export the report again"):
        _read(traces.decode(graphs=True), tmp_path, without=(f"{traces.RUNTIME}.{column}",))


def test_calls_without_their_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="1 of 1 CUDA functions have no name in table StringIds"):
        _read(traces.decode(), tmp_path, without=("StringIds",))


def test_nodes_of_graphs_that_no_graph_launch_started_are_refused(tmp_path: Path) -> None:
    trace = traces.decode(graphs=True, steps=10, prefill=False)
    for row in trace.tables[traces.RUNTIME][3:5]:
        row["nameId"] = trace.text("cudaDeviceSynchronize_v3020")
    with pytest.raises(TraceError, match=r"8 nodes of graphs were started by other calls.*\(cudaDeviceSynchronize\)"):
        _read(trace, tmp_path)


def test_graphs_of_which_no_kernel_was_recorded_are_unseen(tmp_path: Path) -> None:
    assert _read(traces.unseen(), tmp_path).graph_tracing == "unseen"
    trace = traces.unseen()
    launch = next(row for row in trace.tables[traces.RUNTIME] if row["nameId"] == trace.text("cudaGraphLaunch_v10000"))
    trace.set(1000, 1010, at=990, pid=101)
    trace.tables[traces.SET][0] |= {"correlationId": launch["correlationId"], "graphNodeId": 5}
    (tmp_path / "b").mkdir()
    assert _read(trace, tmp_path / "b").graph_tracing == "unseen"


def test_copies_without_any_kernel_are_refused_and_not_analysed_as_idle_time(tmp_path: Path) -> None:
    trace = traces.decode()
    trace.copy(5000, 5010, at=4990, pid=101)
    with pytest.raises(TraceError, match=r"copies on GPUs but no kernel.*--cuda-graph-trace=node"):
        _read(trace, tmp_path, without=(traces.KERNEL,))


@pytest.mark.parametrize(
    ("engine", "tp", "launches", "nodes", "call_ms"),
    [("vllm", 1, 23, 10_327, 11.81), ("sglang", 8, 192, 93_312, 88.04)],
)
def test_graph_launches_of_real_traces_are_counted_once(
    engine: str, tp: int, launches: int, nodes: int, call_ms: float
) -> None:
    activity = extract.read(traces.recorded(engine, tp, "on"))
    graphs = activity.calls[activity.calls["kind"] == "graph"]
    kernels = activity.signatures["kind"].iloc[activity.operations["signature"]].to_numpy() == "kernel"
    in_graphs = activity.operations[kernels & (activity.operations["graph_node"] >= 0)]
    assert len(graphs) == launches
    assert len(in_graphs) == nodes
    assert in_graphs["call"].nunique() == launches
    assert (graphs["end_ns"] - graphs["start_ns"]).sum() / 1e6 == pytest.approx(call_ms, abs=0.005)


def test_every_kernel_of_eight_ranks_is_joined_to_a_call_of_its_own() -> None:
    activity = extract.read(traces.recorded("vllm", 8, "off"))
    kernels = activity.operations[
        activity.signatures["kind"].iloc[activity.operations["signature"]].to_numpy() == "kernel"
    ]
    assert len(kernels) == kernels["call"].nunique() == 96_752
    assert (kernels["rank"].to_numpy() == activity.calls["rank"].iloc[kernels["call"]].to_numpy()).all()
