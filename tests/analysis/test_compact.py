"""Recordings: exact in what they keep, small, and without anything personal."""

import lzma
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from analysis import api, compact, extract
from analysis.allowed import public
from analysis.errors import TraceError
from analysis.extract import Activity
from analysis.summary import summarise
from tests import traces
from tests.traces import Sqlite

TABLES = ("ranks", "signatures", "operations", "calls", "ranges")


def _pack(trace: Sqlite, folder: Path) -> tuple[Path, Path]:
    plain = trace.write(folder / "plain.sqlite")
    packed = folder / "packed.sqlite.xz"
    compact.pack(plain, packed)
    return plain, packed


def _assert_equal(one: Activity, other: Activity) -> None:
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table))
    assert (one.nsys_version, one.graph_tracing) == (other.nsys_version, other.graph_tracing)


def _rows(path: Path, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(statement).fetchall()


def _busy() -> Sqlite:
    """Every table and oddity at once: graphs, copies, negative times, NULLs, open ranges, both NVTX schemas."""
    trace = traces.decode(ranks=2, graphs=True)
    trace.launch("early", pid=101, at=-500, start=-400, end=-300)
    trace.copy(50, 60, at=40, pid=101)
    trace.set(61, 62, at=41, pid=101)
    trace.whole_graph(70, 80, at=45, pid=101)
    trace.nvtx("inline", 0, 10, pid=101)
    trace.nvtx("by id", 2, 8, pid=101, inline=False)
    trace.nvtx("open", 5, None, pid=102)
    trace.sees(101, cuda=0, gpu=1)
    trace.sees(102, cuda=1, gpu=0)
    return trace


def test_a_recording_says_what_the_export_says(tmp_path: Path) -> None:
    plain, packed = _pack(_busy(), tmp_path)
    _assert_equal(extract.read(plain), extract.read(packed))


def test_unpacked_it_says_the_same_in_nsys_own_tables(tmp_path: Path) -> None:
    plain, packed = _pack(_busy(), tmp_path)
    compact.unpack(packed, tmp_path / "again.sqlite")
    _assert_equal(extract.read(plain), extract.read(tmp_path / "again.sqlite"))
    for table in (traces.KERNEL, traces.COPY, traces.SET, traces.GRAPH):
        names = [row[1] for row in _rows(tmp_path / "again.sqlite", f"PRAGMA table_info({table})")]
        statement = f"SELECT {', '.join(names)} FROM {table} ORDER BY globalPid, start"
        assert _rows(tmp_path / "again.sqlite", statement) == _rows(plain, statement)
        assert len(names) >= 8


def test_packing_what_was_unpacked_gives_the_same_recording(tmp_path: Path) -> None:
    _, packed = _pack(_busy(), tmp_path)
    compact.unpack(packed, tmp_path / "again.sqlite")
    compact.pack(tmp_path / "again.sqlite", tmp_path / "twice.sqlite.xz")
    _assert_equal(extract.read(packed), extract.read(tmp_path / "twice.sqlite.xz"))


def test_calls_that_only_ask_are_left_out_and_stated(tmp_path: Path) -> None:
    trace = traces.decode(steps=8)
    trace.call("cudaStreamIsCapturing_v10000", 10, 15, pid=101)
    trace.call("cudaStreamIsCapturing_v10000", 20, 27, pid=101)
    trace.call("cudaEventRecord_v3020", 30, 31, pid=101)
    _, packed = _pack(trace, tmp_path)
    activity = extract.read(packed)
    asking = activity.left_out[activity.left_out["name"] != "*"]
    assert asking.to_numpy().tolist() == [[traces.RUNTIME, "cudaStreamIsCapturing", 2, 12]]
    compact.unpack(packed, tmp_path / "again.sqlite")
    kept = {name for (name,) in _rows(tmp_path / "again.sqlite", "SELECT value FROM StringIds")}
    assert _rows(tmp_path / "again.sqlite", f"SELECT SUM({api.ASKED}) FROM {traces.RUNTIME}") == [(12,)]
    assert "cudaEventRecord_v3020" in kept
    assert "cudaStreamIsCapturing_v10000" not in kept


def test_a_recording_says_how_long_was_asked_before_each_call_and_says_it_again(tmp_path: Path) -> None:
    trace = traces.decode(steps=8)
    trace.call("cudaStreamIsCapturing_v10000", -20, -15, pid=101)
    trace.call("cudaStreamIsCapturing_v10000", 100, 101, pid=101, thread=2)
    trace.call("cudaEventRecord_v3020", 110, 120, pid=101, thread=2)
    trace.call("cudaStreamIsCapturing_v10000", 115, 118, pid=101, thread=2)
    trace.call("cudaStreamIsCapturing_v10000", 130, 137, pid=101, thread=2)
    trace.call("cudaEventRecord_v3020", 140, 141, pid=101, thread=2)
    plain, packed = _pack(trace, tmp_path)
    assert extract.read(plain).calls.query("asking_ns > 0")[["start_ns", "asking_ns"]].to_numpy().tolist() == [
        [100, 5],
        [110, 1],
        [140, 7],
    ]
    _assert_equal(extract.read(plain), extract.read(packed))
    compact.unpack(packed, tmp_path / "again.sqlite")
    compact.pack(tmp_path / "again.sqlite", tmp_path / "twice.sqlite.xz")
    _assert_equal(extract.read(plain), extract.read(tmp_path / "twice.sqlite.xz"))


def test_tables_that_do_not_ship_are_stated_with_their_rows(tmp_path: Path) -> None:
    trace = traces.decode(steps=8)
    trace.row("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", start=5, end=9)
    trace.row("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", start=10, end=12)
    trace.row("PROCESSES", pid=1)
    _, packed = _pack(trace, tmp_path)
    left_out = extract.read(packed).left_out
    assert left_out[["table_name", "rows"]].to_numpy().tolist() == [
        ["CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", 2],
        ["PROCESSES", 1],
    ]
    assert left_out["time_ns"].tolist() == [6, pd.NA]


SECRETS = ("HF_TOKEN", "hf_abcdef", "node17.cluster", "alice", "/scratch/secret-project", "10.1.2.3", "0000:00:0c.0")


def _with_secrets() -> Sqlite:
    trace = _busy()
    environment = f"PATH=/bin\0HF_TOKEN=hf_abcdef\0USER=alice\0HOSTNAME=node17.cluster\0PWD={SECRETS[4]}"
    trace.text(f"harmless{environment}")  # not named by any kept row
    trace.nvtx(f"load{chr(0)}{environment}", 11, 12, pid=101, inline=False)
    trace.nvtx(f"load weights from {SECRETS[4]}/model.safetensors", 13, 14, pid=101)
    trace.nvtx("fetch http://node17.cluster:80/x for alice@node17.cluster", 15, 16, pid=101)
    trace.nvtx("worker of alice on node17.cluster", 0, None, pid=101, kind=39)  # the name of a thread
    trace.launch(f"kernel at {SECRETS[4]}/k.cu", pid=101, at=900, start=901, end=902)
    trace.row(traces.RUNTIME, start=1, end=2, globalTid=1, correlationId=0, nameId=trace.text("cuInit"), callchainId=3)
    trace.row("TARGET_INFO_SYSTEM_ENV", name="Hostname", value="node17.cluster")
    trace.row("PROCESSES", globalPid=1, pid=2, name="alice --token hf_abcdef")
    trace.row("ThreadNames", nameId=trace.text("node17.cluster-main"), globalTid=1)
    trace.row("META_DATA_CAPTURE", name="COMMAND_LINE", value=f"python {SECRETS[4]}/run.py")
    trace.row("META_DATA_EXPORT", name="EXPORT_HOST", value="node17.cluster")
    trace.row("META_DATA_EXPORT", name="EXPORT_PRODUCT_NAME", value=f"nsys {SECRETS[4]}")
    trace.row("META_DATA_EXPORT", name="EXPORT_PARAM_INPUT_PATH_ABS", value=SECRETS[4])
    trace.row("ProcessStreams", globalPid=1, filenameId=trace.text(f"{SECRETS[4]}/stdout"), contentId=2)
    trace.row("ANALYSIS_FILE", filename=f"{SECRETS[4]}/a.qdstrm")
    trace.row("DIAGNOSTIC_EVENT", text=f"Loaded {SECRETS[4]}/lib.so on 10.1.2.3")
    trace.row("TARGET_INFO_SESSION_START_TIME", utcEpochNs=1795219098307509533, utcTime="2026-11-20T23:58:18")
    trace.row("alice_own_table", value="node17.cluster")
    trace.row("TARGET_INFO_GPU", id=5, name="NVIDIA H200", uuid="14c58f18-3598", busLocation="0000:00:0c.0")
    return trace


def test_nothing_personal_is_in_the_bytes_of_a_recording(tmp_path: Path) -> None:
    plain, packed = _pack(_with_secrets(), tmp_path)
    hidden = (*SECRETS, "14c58f18", "23:58:18")
    assert [text for text in hidden if text.encode() not in plain.read_bytes()] == []
    compact.unpack(packed, tmp_path / "again.sqlite")
    for shipped in (lzma.decompress(packed.read_bytes()), (tmp_path / "again.sqlite").read_bytes()):
        found = [text for text in hidden if text.encode() in shipped or text.encode("utf-16-le") in shipped]
        assert found == []
    assert _rows(tmp_path / "again.sqlite", "SELECT * FROM TARGET_INFO_SESSION_START_TIME") == [("2026-11-20",)]


def test_gpus_are_told_apart_without_being_named(tmp_path: Path) -> None:
    trace = Sqlite()
    for pid, gpu in ((7, 3), (8, 2)):
        trace.launch("gemm", pid=pid, device=0, at=0, start=5, end=15)
        trace.gpu(gpu, uuid=f"uuid-{gpu}")
        trace.row(traces.DEVICE, gpuId=0, cudaId=0, pid=pid, uuid=f"uuid-{gpu}")
    plain, packed = _pack(trace, tmp_path)
    assert extract.read(packed).ranks["device"].tolist() == [2, 3]
    _assert_equal(extract.read(plain), extract.read(packed))
    assert b"uuid-" not in lzma.decompress(packed.read_bytes())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("execute_context_0(0)_generation_1(1)", "execute_context_0(0)_generation_1(1)"),
        ("schedule: allocate_slots", "schedule: allocate_slots"),
        ("at::native::[lambda(int) (instance 1)]", "at::native::[lambda(int) (instance 1)]"),
        ("a / b", "a / b"),
        ("load /etc/x now", "load <left out> now"),
        ("lambda at (~/k.cu:12)", "lambda at (<left out>)"),
        ("C:\\Users\\a", "<left out>"),
        ("see https://a.b/c", "see <left out>"),
        ("step\0USER=a", "step"),
    ],
)
def test_paths_and_addresses_in_texts_are_blanked(text: str, shown: str) -> None:
    assert public(text) == shown


def test_a_recording_cannot_be_packed_nor_an_export_unpacked(tmp_path: Path) -> None:
    plain, packed = _pack(traces.decode(), tmp_path)
    with pytest.raises(TraceError, match="already in the form of a recording"):
        compact.pack(packed, tmp_path / "twice.xz")
    with pytest.raises(TraceError, match="not in the form of a recording"):
        compact.unpack(plain, tmp_path / "out.sqlite")
    assert {path.name for path in tmp_path.iterdir()} == {"plain.sqlite", "packed.sqlite.xz"}


@pytest.mark.parametrize(
    ("action", "what", "said"),
    [
        ("unpack", "text", "{path}: not an SQLite file; expected a recording, such as "),
        ("unpack", "compressed text", "{path}: not an SQLite file; expected a recording, such as "),
        ("unpack", "nothing", "{path}: the file is empty; expected a recording, such as "),
        ("unpack", "report", "{path}: this is an nsys report; expected a recording, such as "),
        ("unpack", "database", "{path}: an SQLite file without a trace; expected a recording, such as "),
        ("unpack", "export", "{path}: nsys's own export, not in the form of a recording; expected one; use the export"),
        ("unpack", "folder", "{path}: a folder; expected a file"),
        ("pack", "text", "{path}: not an SQLite file; expected nsys's SQLite export, make one with: nsys export "),
        (
            "pack",
            "report",
            "{path}: this is an nsys report; expected nsys's SQLite export, make one with: nsys export ",
        ),
    ],
)
def test_what_is_found_in_place_of_a_file_is_said_with_what_the_action_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str, what: str, said: str
) -> None:
    path = tmp_path / {"report": "a.nsys-rep"}.get(what, "given")
    contents = {"text": b"text", "compressed text": lzma.compress(b"text"), "nothing": b"", "report": b"NVIDIA"}
    if what == "folder":
        path.mkdir()
    elif what in contents:
        path.write_bytes(contents[what])
    elif what == "export":
        traces.decode().write(path)
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE letters (id)")
    assert compact.main([action, str(path), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said.format(path=path)}") and error.count("\n") == 1
    assert ("nsys export" in error) == (action == "pack")


def test_what_cannot_be_packed_leaves_an_older_recording_alone(tmp_path: Path) -> None:
    broken = traces.decode(ranks=4, steps=40).write(tmp_path / "broken.sqlite")
    broken.write_bytes(broken.read_bytes()[:30_000])
    out = tmp_path / "out.xz"
    out.write_bytes(b"older")
    with pytest.raises(TraceError, match="damaged"):
        compact.pack(broken, out)
    assert out.read_bytes() == b"older"
    assert {path.name for path in tmp_path.iterdir()} == {"broken.sqlite", "out.xz"}


def test_the_command_line_packs_unpacks_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = traces.decode().write(tmp_path / "plain.sqlite")
    packed, again = tmp_path / "a.sqlite.xz", tmp_path / "again.sqlite"
    assert compact.main(["pack", str(plain), str(packed)]) == 0
    assert compact.main(["unpack", str(packed), str(again)]) == 0
    assert summarise(again, "x") == summarise(plain, "x")
    assert compact.main(["pack", str(tmp_path / "absent"), str(tmp_path / "b.xz")]) == 1
    assert compact.main(["pack", str(plain), str(tmp_path / "no" / "folder.xz")]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("absent: no such file")
    assert "cannot be written" in second


@pytest.mark.parametrize("action", ["pack", "unpack"])
def test_a_file_that_is_there_is_written_over_only_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    plain, packed = _pack(traces.decode(), tmp_path)
    older = tmp_path / "older"
    older.write_bytes(b"older")
    command = [action, str(plain if action == "pack" else packed), str(older)]
    assert compact.main(command) == 1
    assert capsys.readouterr().err == f"error: {older}: there already; give another OUT, or --force to write over it\n"
    assert older.read_bytes() == b"older"
    assert compact.main([*command[:2], str(tmp_path), "--force"]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}: no ordinary file; give another OUT\n"
    assert compact.main([*command, "--force"]) == 0
    assert summarise(older, "x") == summarise(plain, "x")


def test_a_real_recording_survives_the_way_back_and_forth(tmp_path: Path) -> None:
    recording = traces.recorded("vllm", 1, "on")
    compact.unpack(recording, tmp_path / "plain.sqlite")
    compact.pack(tmp_path / "plain.sqlite", tmp_path / "again.sqlite.xz")
    first = extract.read(recording)
    _assert_equal(first, extract.read(tmp_path / "plain.sqlite"))
    _assert_equal(first, extract.read(tmp_path / "again.sqlite.xz"))
    size = (tmp_path / "plain.sqlite").stat().st_size
    assert (tmp_path / "again.sqlite.xz").stat().st_size < size / 20
