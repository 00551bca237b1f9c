"""The export writes one file, says what it holds and what it left out, and refuses what cannot be written."""

import gzip
import json
import os
from pathlib import Path

import pytest

import analysis
from analysis import export
from analysis.export import main
from tests import traces


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traces.decode(steps=12).write(tmp_path_factory.mktemp("trace") / "made.sqlite")


def _case(folder: Path, trace: Path, *batches: int) -> Path:
    folder.mkdir()
    listed = [{"file": f"trace_b{batch}.sqlite", "batch": batch} for batch in batches]
    for entry in listed:
        (folder / str(entry["file"])).write_bytes(trace.read_bytes())
    record = {"name": "mine", "asked": {"graphs": "off", "tp": 1}, "files": {"traces": listed}}
    (folder / "case.json").write_text(json.dumps(record))
    return folder


def test_a_trace_becomes_one_file(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(trace), "--perfetto", str(tmp_path / "a.pftrace"), "--iterations", "2"]) == 0
    first, *left_out = capsys.readouterr().out.splitlines()
    assert first == (
        f"{tmp_path / 'a.pftrace'}: iterations 5 to 6 of made, 25 slices, 8 arrows, 0.0 MB; open it in ui.perfetto.dev"
    )
    assert left_out[0] == "left out: 5 of 7 steady iterations; --iterations 7 shows all"
    assert [file.name for file in tmp_path.iterdir()] == ["a.pftrace"]


def test_a_case_is_known_by_its_name(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = _case(tmp_path / "case", trace, 8)
    assert main([str(case), "--perfetto", str(tmp_path / "a.pftrace")]) == 0
    assert "iterations 5 to 11 of mine b8" in capsys.readouterr().out


def test_a_file_that_ends_in_gz_is_packed(trace: Path, tmp_path: Path) -> None:
    frames = analysis.read(trace)
    for name in ("a.pftrace", "a.pftrace.gz"):
        export.perfetto(frames, tmp_path / name)
    assert gzip.decompress((tmp_path / "a.pftrace.gz").read_bytes()) == (tmp_path / "a.pftrace").read_bytes()


def test_a_file_from_before_is_replaced(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    timeline = export.perfetto(analysis.read(trace), str(tmp_path / "a"), 1)
    assert b"before" not in (tmp_path / "a").read_bytes()
    assert timeline.iterations == (5,)


@pytest.mark.parametrize(
    ("target", "why"),
    [(".", "it is a folder"), ("absent/a", "there is no such folder"), ("made.sqlite", "it is the trace itself")],
)
def test_a_target_that_cannot_be_written_is_refused_before_anything_is_read(
    trace: Path, target: str, why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.frames.read", lambda *_: pytest.fail("read"))
    before = trace.read_bytes()
    assert main([str(trace), "--perfetto", str(trace.parent / target)]) == 1
    assert capsys.readouterr().err.endswith(f": cannot be written ({why}); name another file with --perfetto\n")
    assert trace.read_bytes() == before


def test_a_disk_that_takes_no_more_leaves_nothing_behind(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main([str(trace), "--perfetto", str(tmp_path / "a")]) == 1
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to_is_told(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A place where root may not write either.
    assert main([str(trace), "--perfetto", "/proc/a"]) == 1
    assert "/proc/a" in capsys.readouterr().err.partition(";")[0]


def test_what_is_no_ordinary_file_is_not_written_over(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main([str(trace), "--perfetto", str(tmp_path / "pipe")]) == 1
    assert "cannot be written (it is no ordinary file)" in capsys.readouterr().err
    assert (tmp_path / "pipe").is_fifo()


def test_what_is_no_trace_is_told(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several, none = _case(tmp_path / "several", trace, 1, 8), _case(tmp_path / "none", trace)
    (tmp_path / "text").write_text("no trace")
    for given, told in (
        (tmp_path / "absent", "no such file"),
        (tmp_path, "a folder of 2 cases (none, several); expected a trace or the folder of a case"),
        (tmp_path / "text", "not an SQLite file"),
        (none, "the case has no trace"),
        (several, f"a case with 2 traces; give one of them: {several}/trace_b1.sqlite, {several}/trace_b8.sqlite"),
    ):
        assert main([str(given), "--perfetto", str(tmp_path / "a")]) == 1
        assert told in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_no_iterations_are_refused_before_anything_is_read(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.frames.read", lambda *_: pytest.fail("read"))
    with pytest.raises(SystemExit, match="1"):
        main([str(trace), "--perfetto", str(tmp_path / "a"), "--iterations", "0"])
    assert "--iterations: found '0', expected a whole number, at least 1" in capsys.readouterr().err
