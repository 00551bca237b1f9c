"""How commands end: with their status, and without a traceback where the user or a reader has had enough."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from analysis import whatif
from analysis.program import COMMANDS

CALL = "from analysis import program\ndef main():\n    {}\nprogram.run(main)"
INTERRUPTING = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)"


@pytest.mark.parametrize(
    ("does", "status", "said"),
    [
        ("return 3", 3, ""),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("raise BrokenPipeError", 1, ""),
        (
            "raise OSError(28, 'No space left on device')",
            1,
            "error: what was found cannot be written (No space left on device): make room, or write it elsewhere\n",
        ),
    ],
)
def test_a_command_ends_with_its_status_and_without_a_traceback(does: str, status: int, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", CALL.format(does)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", said)


def test_a_full_disk_that_shows_only_at_the_end_is_told_too() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", CALL.format("print(1)")]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: what was found cannot be written (No space left on device)")


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    command = [sys.executable, "-c", CALL.format("open('/absent')")]
    assert "FileNotFoundError" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    ("command", "imports"),
    [("analysis", "pandas"), ("analysis.report", "pandas"), ("study.publish", "pandas"), ("study.sweep", "rich")],
)
def test_a_command_interrupted_while_it_is_imported_ends_with_a_line(
    tmp_path: Path, root: Path, command: str, imports: str
) -> None:
    (tmp_path / f"{imports}.py").write_text(INTERRUPTING)
    path = os.pathsep.join([str(tmp_path), str(root)])
    done = subprocess.run(
        [sys.executable, "-m", command, "x"],
        env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("analysis.explain", "analysis.verdict; or python -m analysis explain, if that is meant"),
        ("study.report", "expected one of study.calibrate, study.publish, study.sweep"),
    ],
)
def test_a_module_that_is_no_command_says_so(module: str, said: str, root: Path) -> None:
    done = subprocess.run([sys.executable, "-m", module], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: python -m {module}: no command; expected one of ")
    assert done.stderr.endswith(f"{said}\n")


@pytest.mark.parametrize("module", ["analysis", "analysis.verdict", "study.sweep"])
def test_an_interpreter_without_the_project_is_told_from_it(module: str, root: Path) -> None:
    # -S leaves the installed packages out.
    done = subprocess.run([sys.executable, "-S", "-m", module], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: no pandas, psutil in {sys.executable}; expected what make sweep installs; "
        f"run .venv/bin/python -m {module}\n"
    )


REFUSALS = {
    "analysis.__main__": ["absent.sqlite"],
    "analysis.compact": ["unpack", "absent", "out"],
    "analysis.export": ["absent", "--perfetto", "out"],
    "analysis.report": ["absent"],
    "analysis.verdict": ["absent"],
    "launch.install": ["vllm", "--dir", "env"],
    "study.calibrate": ["--python", "false"],
    "study.publish": ["absent", "out"],
    "study.sweep": ["--tp", "x"],
}


@pytest.mark.parametrize("command", REFUSALS)
def test_every_command_says_in_one_form_what_it_cannot_do(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("launch.install.ENGINE_GB", 1e9)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the sweep's would stay after it
    assert import_module(command).main(REFUSALS[command]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shown.err.startswith("error: ") and not shown.err.startswith("error: error")
    assert list(tmp_path.iterdir()) == []


def test_every_command_of_foretelling_says_so_in_that_form_too(capsys: pytest.CaptureFixture[str]) -> None:
    for command in whatif.COMMANDS:
        assert import_module("analysis.__main__").main([command, "absent"]) == 1
        assert capsys.readouterr().err.startswith("error: absent")


def test_the_form_is_written_in_one_place_and_no_command_is_without_it(root: Path) -> None:
    files = [path for package in ("analysis", "launch", "study") for path in (root / package).glob("*.py")]
    writing = {path.name for path in files if '"error: ' in path.read_text()}
    assert writing == {"program.py"}
    known = {name for names in COMMANDS.values() for name in names if name != "analysis"}
    assert set(REFUSALS) == {*known, "analysis.__main__", "launch.install"}


def test_every_command_is_known(root: Path) -> None:
    found = {path.relative_to(root).with_suffix("") for package in COMMANDS for path in (root / package).glob("*.py")
             if "__name__ == \"__main__\":" in path.read_text()}  # fmt: skip
    names = {".".join(path.parts).removesuffix(".__main__") for path in found}
    assert names == {name for known in COMMANDS.values() for name in known}


def test_a_program_that_imports_the_package_keeps_its_own_way_with_interruptions(tmp_path: Path, root: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("import analysis, study")
    (tmp_path / "mine" / "__main__.py").write_text(
        "import signal\nassert signal.getsignal(signal.SIGINT) == signal.default_int_handler"
    )
    env = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-m", "mine"], env=env, cwd=tmp_path, check=False).returncode == 0
