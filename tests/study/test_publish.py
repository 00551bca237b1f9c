"""Recordings: everything that a reader needs, nothing that tells whose machine it was."""

import json
import lzma
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from analysis import arrivals, evidence
from analysis.errors import TraceError
from analysis.recordings import open_study
from analysis.summary import summarise
from study import publish
from study.errors import StudyError
from study.record import FORMAT
from tests.analysis import studies

SECRET = "jdoe"
HOME = f"/home/{SECRET}"
PLANTED = {
    "argv": [f"{HOME}/venv/bin/python", f"--output={HOME}/out/trace", "--go", "/go",
             json.dumps({"model": f"{HOME}/weights"}), f"{HOME}/my weights", f"../{SECRET}/data/models/llama3-8b",
             "launch/drivers/decode.py"],
    "resolved": {"graphs": "on", "cache": {"dirs": [f"{HOME}/.cache/x", f"a {HOME}/y: b"]}},
    "reason": None,
    "log_tail": [f'File "{HOME}/site-packages/engine.py", line 3', f"see file://{HOME}/log and ({HOME}/other)",
                 f"in {HOME} or {HOME}/ or ~{SECRET}/x or /Users/{SECRET}: no"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small studies are packed sooner than a second process starts."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.fixture
def live_study(tmp_path: Path) -> Path:
    """A study of one traced and one untraced case, with logs, leftovers and paths wherever paths can be."""
    folder = tmp_path / "live"
    traced = studies.write_case(folder, traced_graphs="on", **PLANTED)
    untraced = studies.write_case(folder, tpot_ms=[5.0, 5.1, 5.2])
    for case in (traced, untraced):
        (case / "engine.log").write_text(f"started by {SECRET}\n")
        (case / "trace.nsys-rep").write_text(SECRET)
    (folder / "cases" / ".half.partial").mkdir()
    (folder / "cases" / ".half.partial" / "case.json").write_text(SECRET)
    studies.write_study(folder)
    study = json.loads((folder / "study.json").read_text())
    study |= {"spec": {"out": f"{HOME}/out", "python": {"vllm": f"{HOME}/v/bin/python"}}, "argv": [f"{HOME}/out"]}
    (folder / "study.json").write_text(json.dumps(study))
    return folder


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def test_no_path_of_the_machine_survives_in_any_file(live_study: Path, tmp_path: Path) -> None:
    publish.publish(live_study, tmp_path / "recording", "")
    files = [path for path in (tmp_path / "recording").rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        assert SECRET.encode() not in (lzma.decompress(content) if path.suffix == ".xz" else content), path.name
    found = [text for path in files if path.suffix == ".json" for text in texts(json.loads(path.read_text()))]
    assert not [text for text in found if text.startswith("/") or "=/" in text]


def test_of_a_path_its_last_name_is_kept_and_so_is_all_that_is_no_path(live_study: Path, tmp_path: Path) -> None:
    publish.publish(live_study, tmp_path / "recording", "")
    (traced,) = [record for record in open_study(tmp_path / "recording").records.values() if record["files"]["traces"]]
    assert traced["argv"] == [
        "python", "--output=trace", "--go", "go", '{"model": "weights"}', "my weights",
        "llama3-8b", "launch/drivers/decode.py",
    ]  # fmt: skip
    assert traced["log_tail"] == ['File "engine.py", line 3', "see file://log and (other)",
                                  "in folder or folder or x or folder: no"]  # fmt: skip
    assert traced["resolved"]["cache"]["dirs"] == ["x", "a y: b"]


@pytest.mark.parametrize(
    "text",
    [
        "launch/drivers/decode.py",
        "--trace=cuda,nvtx",
        "4.2 GB/s and 1/2",
        "NVIDIA H200",
        "c++/x",
        "a / b",
        "580.1",
        "/",
    ],
)
def test_what_is_no_absolute_path_stays_as_it_is(text: str) -> None:
    assert publish.without_paths({"key": [text, 1, None, True]}) == {"key": [text, 1, None, True]}


def test_the_recording_opens_as_the_same_study_and_says_where_it_comes_from(live_study: Path, tmp_path: Path) -> None:
    assert publish.publish(live_study, tmp_path / "recording", "for a test") == 2
    before, after = open_study(live_study), open_study(tmp_path / "recording")
    assert after.recorded == {
        "format": FORMAT, "host": "2x Test GPU", "date": "2026-11-21", "note": "for a test"
    }  # fmt: skip
    assert after.cases.equals(before.cases) and after.windows.equals(before.windows)
    ((old, new),) = zip(before.traces["path"], after.traces["path"], strict=True)
    assert new.name == f"{old.name}.xz" and new.stat().st_size < old.stat().st_size
    assert summarise(new, "trace") == summarise(old, "trace")


def test_logs_reports_and_half_made_cases_stay_behind(live_study: Path, tmp_path: Path) -> None:
    publish.publish(live_study, tmp_path / "recording", "")
    names = {path.name for path in (tmp_path / "recording").rglob("*") if path.is_file()}
    assert names == {"study.json", "recording.json", "case.json", "samples.csv", "trace_b1.sqlite.xz"}
    records = open_study(tmp_path / "recording").records.values()
    assert {record["files"]["log"] for record in records} == {None}


def test_traces_that_are_packed_already_are_copied_byte_for_byte(live_study: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    publish.publish(live_study, first, "")
    publish.publish(first, second, "")
    (packed,), (again,) = first.rglob("*.xz"), second.rglob("*.xz")
    assert again.read_bytes() == packed.read_bytes()
    assert open_study(second).traces["path"].tolist() == [again]


def test_a_recording_grows_by_what_is_published_into_it(live_study: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    publish.publish(live_study, recording, "")
    other = tmp_path / "other"
    studies.write_case(other, graphs="off", tpot_ms=[8.0, 8.1, 8.2], started_utc="2026-11-23T09:00:00Z",
                       host={**studies.HOST, "label": "9x Other GPU"})  # fmt: skip
    publish.publish(studies.write_study(other), recording, "")
    grown = open_study(recording)
    assert len(grown.cases) == 3 and grown.recorded is not None
    assert grown.recorded["host"] == "2x Test GPU, 9x Other GPU"
    assert grown.recorded["date"] == "2026-11-21 to 2026-11-23"


def test_a_folder_without_a_study_or_a_finished_case_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish.main([str(tmp_path / "absent"), str(tmp_path / "recording")]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    studies.write_study(tmp_path / "empty")
    assert publish.main([str(tmp_path / "empty"), str(tmp_path / "recording")]) == 1
    assert "no finished case" in capsys.readouterr().err
    assert not (tmp_path / "recording").exists()


def test_a_damaged_case_is_an_error_that_names_its_file_and_nothing_is_written(
    live_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = next((live_study / "cases").glob("*_trace-node_*"))
    (case / "case.json").write_text("{}")
    assert publish.main([str(live_study), str(tmp_path / "recording")]) == 1
    assert str(case / "case.json") in capsys.readouterr().err
    assert not (tmp_path / "recording").exists()


def test_a_trace_that_is_gone_is_an_error_that_names_it(
    live_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next(live_study.rglob("*.sqlite")).unlink()
    assert publish.main([str(live_study), str(tmp_path / "recording")]) == 1
    assert "trace_b1.sqlite" in capsys.readouterr().err


def test_what_cannot_be_published_whole_leaves_an_older_recording_as_it_was(live_study: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recordings" / "one"
    publish.publish(live_study, recording, "before")
    before = {path: path.read_bytes() for path in recording.rglob("*") if path.is_file()}
    untraced = next((live_study / "cases").glob("*_trace-off_*"))
    (untraced / "samples.csv").write_text("batch,window,tokens,seconds,tpot_ms\n1,0,64,0.1,1.0\n")
    next(live_study.rglob("*.sqlite")).write_text("no trace")
    with pytest.raises(TraceError, match="not an SQLite file"):
        publish.publish(live_study, recording, "after")
    assert {path: path.read_bytes() for path in recording.rglob("*") if path.is_file()} == before
    assert [path.name for path in recording.parent.iterdir()] == ["one"]


def test_a_place_that_cannot_be_written_is_told_before_anything_is_packed(
    live_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish.workers, "in_processes", lambda *_: pytest.fail("worked"))
    (tmp_path / "file").touch()
    assert publish.main([str(live_study), str(tmp_path / "file" / "recording")]) == 1
    said = f"cannot be written ({tmp_path / 'file'} is no folder); name another folder\n"
    assert capsys.readouterr().err == f"error: {tmp_path / 'file' / 'recording'}: {said}"


def test_an_interruption_ends_in_a_line_and_leaves_neither_half_a_recording_nor_a_process(
    live_study: Path, tmp_path: Path, root: Path
) -> None:
    case, folder = next((live_study / "cases").glob("*_trace-node_*")), tmp_path / "recordings"
    record = json.loads((case / "case.json").read_text())
    studies.change_record(case, {"files": {**record["files"], "requests": "requests.jsonl"}})
    os.mkfifo(case / "requests.jsonl")
    command = [sys.executable, "-m", "study.publish", str(live_study), str(folder / "one")]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        # There is somebody to write to once a process reads, which it does for as long as it might be written to.
        writing = _opened(case / "requests.jsonl", until=time.monotonic() + 30)
        os.killpg(running.pid, signal.SIGINT)
        os.close(writing)
        assert (running.communicate(timeout=30)[1], running.returncode) == ("interrupted\n", 130)
    assert list(folder.iterdir()) == []
    assert _ended(running.pid, until=time.monotonic() + 10)


def _ended(group: int, until: float) -> bool:
    """Whether no process of the group is left; the one that looks after resources takes a moment."""
    while left := [one for one in psutil.process_iter(["status"]) if _of(one, group)]:
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return not left


def _of(process: psutil.Process, group: int) -> bool:
    try:
        return process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == group
    except ProcessLookupError:
        return False


def _opened(pipe: Path, until: float) -> int:
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < until, "nobody reads"
            time.sleep(0.02)


def test_the_command_says_what_it_made_in_processes_of_its_own(
    live_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    recording = tmp_path / "recording"
    assert publish.main([str(live_study), str(recording), "--note", "said so", "--note-zh", "说过了"]) == 0
    assert capsys.readouterr().out == f"2 cases recorded in {recording}\n"
    recorded = json.loads((recording / "recording.json").read_text())
    assert (recorded["note"], recorded["note_zh"]) == ("said so", "说过了")


def test_a_live_study_is_not_written_over(live_study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    studies.write_case(other, graphs="on", tpot_ms=[1.0])
    for target in (live_study, studies.write_study(other)):
        before = (target / "study.json").read_bytes()
        with pytest.raises(StudyError, match=f"^{target} is a study of its own; expected a recording to add to"):
            publish.publish(live_study, target, "")
        assert (target / "study.json").read_bytes() == before


def test_requests_are_packed_without_what_a_server_let_out(live_study: Path, tmp_path: Path) -> None:
    (case,) = (path for path in (live_study / "cases").glob("*trace-off*"))
    row = {"load": 0, "request": 0, "chunk_us": [80, 5], "status": "http 500", "error": f"Traceback: {HOME}/engine.py"}
    (case / "requests.jsonl").write_text(json.dumps(row) + "\n")
    record = json.loads((case / "case.json").read_text())
    studies.change_record(case, {"files": {**record["files"], "requests": "requests.jsonl"}})
    for target in (tmp_path / "recording", tmp_path / "again"):
        publish.publish(live_study if target.name == "recording" else tmp_path / "recording", target, "")
        packed = target / "cases" / case.name / "requests.jsonl.xz"
        rows = [json.loads(line) for line in lzma.decompress(packed.read_bytes()).splitlines()]
        assert len(rows) == 2  # the request, and the arrivals of its load point
        assert arrivals.apart(rows) == [{**row, "error": "Traceback: engine.py"}]
        assert json.loads((packed.parent / "case.json").read_text())["files"]["requests"] == "requests.jsonl.xz"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"load": 0, "request": 0, "error": ""}', "a request without 'chunk_us'"),
        ('{"load": 0', "expected one request a"),
    ],
)
def test_requests_that_are_damaged_are_told_of_in_a_line(
    live_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    (case,) = (path for path in (live_study / "cases").glob("*trace-off*"))
    (case / "requests.jsonl").write_text(line)
    record = json.loads((case / "case.json").read_text())
    studies.change_record(case, {"files": {**record["files"], "requests": "requests.jsonl"}})
    assert publish.main([str(live_study), str(tmp_path / "recording")]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {case / 'requests.jsonl'}: ") and said in told and told.count("\n") == 1


def test_packages_that_cases_share_are_kept_once(live_study: Path, tmp_path: Path) -> None:
    cases = sorted((live_study / "cases").glob("llama3-8b_*"))
    for case in cases:
        (case / "packages.json").write_text(json.dumps({"torch": "2.11.0"}))
        record = json.loads((case / "case.json").read_text())
        studies.change_record(case, {"files": {**record["files"], "packages": "packages.json"}})
    assert len(cases) == 2
    for source, target in ((live_study, tmp_path / "recording"), (tmp_path / "recording", tmp_path / "again")):
        publish.publish(source, target, "")
        named = [target / "cases" / case.name / record["files"]["packages"] for case, record in records(target)]
        assert [json.loads(path.read_text()) for path in named] == [{"torch": "2.11.0"}] * 2
        assert [path.name for path in (target / "packages").iterdir()] == [named[0].name]
    # Over a recording of a time when each case had its own.
    (tmp_path / "again" / "cases" / cases[0].name / "packages.json").write_text("{}")
    publish.publish(live_study, tmp_path / "again", "")
    assert not [*(tmp_path / "again").glob("cases/*/packages.json")]


def records(recording: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The cases of a recording with their records."""
    return [(case, json.loads((case / "case.json").read_text())) for case in sorted((recording / "cases").iterdir())]


TRACED = "llama3-8b_vllm_tp1_graphs-on_trace-node_r1"


def listed(recording: Path) -> list[dict[str, Any]]:
    """What the record of the traced case says of its traces."""
    record = json.loads((recording / "cases" / TRACED / "case.json").read_text())
    return list(record["files"]["traces"])


def test_a_trace_that_is_left_out_has_its_account_beside_the_record(live_study: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    assert publish.main([str(live_study), str(recording), "--leave-out", TRACED]) == 0
    assert listed(recording) == [{"batch": 1, "file": None, "account": "trace_b1.json"}]
    [account] = json.loads((recording / "cases" / TRACED / "trace_b1.json").read_text())
    assert account == summarise(live_study / "cases" / TRACED / "trace_b1.sqlite", f"{TRACED} b1")
    assert not list(recording.rglob("*.sqlite*"))
    study = open_study(recording)
    assert study.traces[["case", "left_out"]].to_numpy().tolist() == [[TRACED, True]]
    assert {record["format"] for record in study.records.values()} == {studies.FORMAT, FORMAT}
    assert study.records[TRACED]["outcome"] == "ok"


def test_cases_without_traces_cannot_be_left_out_and_those_with_are_named(
    live_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    untraced = TRACED.replace("node", "off")
    assert publish.main([str(live_study), str(tmp_path / "recording"), "--leave-out", f"{TRACED},x,{untraced}"]) == 1
    assert capsys.readouterr().err == (
        f"error: {live_study} has no traces of x, {untraced} to leave out; it has those of: {TRACED}\n"
    )
    assert not (tmp_path / "recording").exists()


def test_a_recording_is_made_smaller_and_keeps_its_notes_and_its_accounts(live_study: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    publish.publish(live_study, first, "made so", "这样测的")
    publish.publish(first, second, without=[TRACED])
    publish.publish(second, third)
    own = json.loads((second / "recording.json").read_text())
    assert (own["note"], own["note_zh"]) == ("made so", "这样测的")
    accounts = [folder / "cases" / TRACED / "trace_b1.json" for folder in (second, third)]
    assert accounts[0].read_bytes() == accounts[1].read_bytes()
    assert listed(second) == listed(third)
    assert summarise(accounts[1], "x") == summarise(live_study / "cases" / TRACED / "trace_b1.sqlite", "x")


def test_what_a_recording_had_of_a_trace_before_is_replaced(live_study: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    for without, kept in (((), "trace_b1.sqlite.xz"), ((TRACED,), "trace_b1.json"), ((), "trace_b1.sqlite.xz")):
        publish.publish(live_study, recording, without=without)
        assert {path.name for path in recording.rglob("trace*")} == {kept}
        assert open_study(recording).traces["path"].iloc[0].name == kept


def test_a_recording_is_not_published_into_itself(live_study: Path, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    publish.publish(live_study, recording)
    before = {path: path.read_bytes() for path in recording.rglob("*") if path.is_file()}
    with pytest.raises(StudyError, match="is what is to be published; expected another folder"):
        publish.publish(recording, tmp_path / "x" / ".." / "recording", without=[TRACED])
    assert {path: path.read_bytes() for path in recording.rglob("*") if path.is_file()} == before


def test_an_account_tells_no_more_of_the_machine_than_a_packed_trace(live_study: Path, tmp_path: Path) -> None:
    """A kernel that bears a path, an address, and what a trace cannot be read for."""
    case = live_study / "cases" / TRACED
    with sqlite3.connect(case / "trace_b1.sqlite") as db:
        db.execute("UPDATE StringIds SET value = ? WHERE value = 'sampler'", (f"last {HOME}/my/k.cu {SECRET}@h.org",))
    db.close()
    publish.publish(live_study, tmp_path / "recording", without=[TRACED])
    [account] = json.loads((tmp_path / "recording" / "cases" / TRACED / "trace_b1.json").read_text())
    assert account["anchor"].startswith("last k.cu <left out> ")
    (case / "trace_b1.sqlite").write_text("no database")
    publish.publish(live_study, tmp_path / "unread", without=[TRACED])
    [refused] = json.loads((tmp_path / "unread" / "cases" / TRACED / "trace_b1.json").read_text())
    assert refused["refused"].startswith("trace_b1.sqlite: not an SQLite file; ")
    for path in tmp_path.glob("[ru]*/cases/*/*.json"):
        assert SECRET not in path.read_text()
    [one] = [evidence.examine(job) for job in evidence.jobs(open_study(tmp_path / "unread"), "unread")]
    assert (one.proof, one.doubts) == ("refused", (refused["refused"],))
