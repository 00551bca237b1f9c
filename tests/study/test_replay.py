"""Recorded studies through the analysis of live ones, always marked as recorded."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from analysis import outcome, report
from analysis.errors import TraceError
from study import options, replay, sweep
from study.errors import StudyError
from tests.analysis import studies

RECORDING = {"host": "2x Test GPU", "date": "2026-11-21", "note": "made for a test"}


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recordings that is still empty; reports go beside it."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    monkeypatch.setattr(replay, "RECORDINGS", folder)
    monkeypatch.setattr(replay, "OUT", tmp_path / "out")
    return folder


def study(folder: Path, **content: object) -> None:
    for graphs, tpot_ms in (("on", 5.0), ("off", 8.0)):
        studies.write_case(folder, graphs=graphs, tpot_ms=[tpot_ms] * 3)
    studies.write_study(folder, **content)


def test_without_recordings_there_is_an_error_that_says_where_they_belong(recordings: Path) -> None:
    study(recordings / "live")
    with pytest.raises(StudyError, match=r"no recordings in .*recordings; expected NAME/recording\.json"):
        replay.run(Console(file=io.StringIO()))


def test_a_replay_reports_every_recording_as_recorded_and_nothing_else(recordings: Path) -> None:
    study(recordings / "one", recording=RECORDING)
    study(recordings / "two", recording={**RECORDING, "host": "9x Other GPU"})
    study(recordings / "live")
    console = Console(file=io.StringIO(), width=200)
    assert replay.run(console) == 0
    shown = console.file.getvalue()
    assert "RECORDED 2026-11-21 on 2x Test GPU" in shown and "9x Other GPU" in shown and "MEASURED HERE" not in shown
    page = recordings.parent / "out" / "report.html"
    assert shown.splitlines()[-1] == f"Report: {page}"
    assert "RECORDED" in page.read_text()


def test_a_folder_that_cannot_be_written_is_known_before_anything_is_read(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study(recordings / "one", recording=RECORDING)
    monkeypatch.setattr(replay, "write_report", lambda *_: pytest.fail("read"))
    (recordings.parent / "file").touch()
    with pytest.raises(TraceError, match=r"cannot be written .*; name another folder with --out"):
        replay.run(Console(file=io.StringIO()), recordings.parent / "file" / "out")


def test_an_interrupted_replay_promises_no_finished_cases(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(replay, "run", stopped)
    assert sweep._replay(options.parse(["--replay"]), (), Console(file=io.StringIO())) == 130
    assert capsys.readouterr().err == "interrupted: no report was written; the same command begins again\n"


def test_a_live_study_is_reported_as_measured_here(recordings: Path, tmp_path: Path) -> None:
    study(recordings / "live")
    console = Console(file=io.StringIO(), width=200)
    replay.write_report([recordings / "live"], tmp_path / "report", console)
    assert "MEASURED HERE" in console.file.getvalue() and "RECORDED" not in console.file.getvalue()


def test_where_the_report_lies_is_said_as_it_is_whatever_brackets_it_has(recordings: Path, tmp_path: Path) -> None:
    study(recordings / "live")
    console = Console(file=io.StringIO(), width=40)
    replay.write_report([recordings / "live"], tmp_path / "my [bold] report", console)
    assert console.file.getvalue().splitlines()[-1] == f"Report: {tmp_path / 'my [bold] report' / 'report.html'}"


@pytest.mark.parametrize(("flags", "language"), [(["--language", "zh"], "zh"), ([], None)])
def test_a_replay_is_in_the_language_that_was_asked_for(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], language: str | None
) -> None:
    study(recordings / "one", recording=RECORDING)
    asked: list[object] = []
    monkeypatch.setattr(replay, "write_report", lambda *given: asked.append(given[-1]))
    console = Console(file=io.StringIO(), width=200)
    assert sweep._replay(options.parse(["--replay", *flags]), (), console) == 0
    assert asked == [language] and "without effect" not in console.file.getvalue()


def test_without_a_language_the_report_is_in_that_of_the_locale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: list[object] = []
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    monkeypatch.setattr(report, "gather", lambda _: None)
    monkeypatch.setattr(report, "write", lambda *given: written.append(given[-1]))
    monkeypatch.setattr(outcome, "lines", lambda *_: [])
    for language in (None, "en"):
        replay.write_report([tmp_path], tmp_path, Console(file=io.StringIO()), language)
    assert written == ["zh", "en"]
