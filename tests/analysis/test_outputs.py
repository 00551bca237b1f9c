"""What cannot be written is told before anything is read, and asking leaves nothing behind."""

import shutil
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from analysis import elsewhere, outputs, pairs, report
from analysis.errors import TraceError
from tests.analysis import studies


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a folder, a file, and a link to nothing."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("older")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    return tmp_path


def _contents(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in [folder, *folder.rglob("*")])


@pytest.mark.parametrize("path", ["folder", "folder/absent", "absent/below/it", "folder/../absent", "."])
def test_a_folder_that_is_there_or_can_be_made_is_taken_and_nothing_is_left(folder: Path, path: str) -> None:
    before = _contents(folder)
    outputs.expect_folder(folder / path, "take another", ("inner", "other"))
    assert _contents(folder) == before


@pytest.mark.parametrize(
    ("path", "inner", "said"),
    [
        ("{folder}/file", "", "{folder}/file: cannot be written (it is no folder); take another"),
        (
            "{folder}/file/below",
            "",
            "{folder}/file/below: cannot be written ({folder}/file is no folder); take another",
        ),
        ("{folder}/link", "", "{folder}/link: cannot be written (it is no folder); take another"),
        ("{folder}", "file", "{folder}/file: cannot be written (it is no folder); take another"),
        ("{folder}/" + "x" * 300, "", "cannot be written (File name too long); take another"),
        # A place where root may not write either.
        ("/proc/absent", "", "/proc/absent: cannot be written (No such file or directory); take another"),
    ],
)
def test_a_folder_that_cannot_be_is_told_with_the_reason(folder: Path, path: str, inner: str, said: str) -> None:
    with pytest.raises(TraceError) as told:
        outputs.expect_folder(Path(path.format(folder=folder)), "take another", [inner] if inner else [])
    assert str(told.value).endswith(said.format(folder=folder))


@pytest.mark.parametrize("replaced", [True, False])
@pytest.mark.parametrize("path", ["file", "absent", "folder/absent"])
def test_a_file_that_can_be_written_is_taken_and_stays_as_it_is(folder: Path, path: str, replaced: bool) -> None:
    before = _contents(folder)
    outputs.expect_file(folder / path, "take another", replaced=replaced)
    assert _contents(folder) == before


def test_what_is_no_ordinary_file_is_taken_as_it_is() -> None:
    outputs.expect_file(Path("/dev/null"), "take another")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("{folder}/folder", "it is a folder"),
        ("{folder}/absent/file", "there is no such folder"),
        ("{folder}/file/below", "Not a directory"),
        ("/proc/absent", "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_is_told_with_the_reason(folder: Path, path: str, why: str) -> None:
    named = path.format(folder=folder)
    with pytest.raises(TraceError) as told:
        outputs.expect_file(Path(named), "take another")
    assert str(told.value) == f"{named}: cannot be written ({why}); take another"


def test_a_file_that_may_not_be_changed_is_refused_but_where_another_takes_its_place(folder: Path) -> None:
    # Of a program that runs, root may not change a byte either.
    program = Path(shutil.copy(Path(str(shutil.which("sleep"))), folder / "sleep"))
    with subprocess.Popen([program, "60"]) as running:
        with pytest.raises(TraceError, match=r"cannot be written .*; take another"):
            outputs.expect_file(program, "take another")
        outputs.expect_file(program, "take another", replaced=True)
        running.kill()


WORK: dict[str, tuple[list[str], object, str]] = {
    "analysis.report": (["{study}", "--out", "{file}/out"], report, "gather"),
    "analysis.compact": (["pack", "{study}/trace", "{folder}/absent/out"], "analysis.compact", "pack"),
    "analysis.export": (["{study}/trace", "--perfetto", "{folder}/absent/out"], "analysis.frames", "read"),
    "analysis.__main__ fit": (["fit", "{study}", "--write", "{folder}/absent/out"], pairs, "recorded"),
    "analysis.__main__ breakeven": (["breakeven", "{study}", "--figure", "{folder}/absent/a.png"], elsewhere, "_pairs"),
    "study.calibrate": (["--out", "{folder}/absent/out"], "study.calibrate", "_measured"),
    "study.sweep": (["--replay", "--out", "{file}/out"], "study.replay", "write_report"),
}


@pytest.mark.parametrize("command", WORK)
def test_a_command_that_works_long_tells_first_what_it_could_not_write(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, module, work = WORK[command]
    module = import_module(module) if isinstance(module, str) else module
    done: Callable[..., None] = lambda *_: pytest.fail("worked")  # noqa: E731
    monkeypatch.setattr(module, work, done)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the sweep's would stay after it
    study = studies.write_study(folder / "study")
    (study / "trace").touch()
    before = _contents(folder)
    given = [text.format(study=study, file=folder / "file", folder=folder) for text in arguments]
    assert import_module(command.partition(" ")[0]).main(given) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and ": cannot be written (" in error and "; " in error
    assert error.count("\n") == 1
    assert _contents(folder) == before
