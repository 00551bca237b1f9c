"""Engine environments as commands, which nsys is found, and the real nsys where it runs without a GPU."""

import contextlib
import sqlite3
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from analysis import extract
from analysis.errors import TraceError
from launch import install, packages
from study.errors import StudyError

PYPROJECT = """
[project.optional-dependencies]
vllm = ["vllm==1.2.3", "nvtx"]
"""
# The newest nvtx mutes its ranges under the oldest nsys supported here; the domain's own event comes from all of them.
NAMED = "import nvtx; nvtx.get_domain('steps of a study')"


@pytest.mark.parametrize("engine", install.ENGINES)
def test_every_engine_has_an_extra_with_its_versions(engine: str) -> None:
    wanted = install.requirements(engine)
    assert wanted
    assert not any("cuda-graph-study" in requirement for requirement in wanted)


def test_an_engines_environment_holds_the_extra_and_not_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    wanted = install.requirements("vllm", tmp_path / "pyproject.toml")
    venv, pip, engine = install.engine_commands("vllm", tmp_path / "env", wanted)
    assert venv == [sys.executable, "-m", "venv", str(tmp_path / "env")]
    assert pip[-2:] == ["--upgrade", "pip"]
    assert engine == [f"{tmp_path}/env/bin/python", "-m", "pip", "install", "--no-user", "vllm==1.2.3", "nvtx"]


def test_a_pyproject_without_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    with pytest.raises(StudyError, match="no extra 'sglang'"):
        install.requirements("sglang", tmp_path / "pyproject.toml")
    with pytest.raises(StudyError, match="run from a checkout"):
        install.requirements("vllm", tmp_path / "absent.toml")


def test_a_dry_run_prints_the_commands_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert install.main(["sglang", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines] == [["-m", "venv"], ["-m", "pip"], ["-m", "pip"]]
    assert lines[0].endswith(".venv-sglang")
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: usage(100e9, 76e9, 24e9))
    assert install.main(["vllm", "--dir", str(tmp_path / "a" / "env")]) == 1
    said = capsys.readouterr().err
    assert said == f"error: {tmp_path} has 24.0 GB free, 25 GB are needed: free some, or give --dir\n"
    assert list(tmp_path.iterdir()) == []


def test_a_python_that_cannot_make_environments_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda _: None)
    assert install.main(["hf", "--dir", str(tmp_path / "env")]) == 1
    assert "python3-venv" in capsys.readouterr().err


def test_a_failing_step_ends_the_installation_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    never = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]
    monkeypatch.setattr(install, "engine_commands", lambda *_: (failing, never))
    monkeypatch.setattr(install, "check_space", lambda *_: None)
    assert install.main(["vllm", "--dir", str(tmp_path / "env")]) == 1
    assert "failed with exit code 3" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_a_finished_environment_is_named_as_the_sweep_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "engine_commands", lambda *_: ())
    monkeypatch.setattr(install, "check_space", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    assert install.main(["vllm"]) == 0
    assert capsys.readouterr().out.endswith(f"--vllm-python {tmp_path}/.venv-vllm/bin/python\n")


def test_an_unknown_target_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        install.main(["triton"])
    assert "unknown value 'triton'; expected one of nsys, vllm, sglang, hf" in capsys.readouterr().err


def test_an_interrupted_installation_ends_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, dry_run: bool) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "_install_nsys", interrupted)
    assert install.main(["nsys"]) == 130
    assert capsys.readouterr().err == "interrupted: the same command begins again\n"


def test_nsys_is_looked_for_in_a_fixed_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, on_path = _executable(tmp_path / "named" / "nsys"), _executable(tmp_path / "path" / "nsys")
    installed = _executable(tmp_path / "env" / "nsys" / "bin" / "nsys")
    monkeypatch.setattr(install.sys, "prefix", str(tmp_path / "env"))
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setenv("NSYS", str(named))
    assert install.nsys_path() == named
    monkeypatch.delenv("NSYS")
    assert install.nsys_path() == on_path
    monkeypatch.setenv("PATH", "")
    assert install.nsys_path() == installed


def test_an_nsys_variable_that_leads_nowhere_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSYS", str(tmp_path / "nsys"))
    with pytest.raises(StudyError, match="is no executable"):
        install.nsys_path()


def test_the_newest_version_by_number_is_taken_from_nvidias_folders(tmp_path: Path) -> None:
    assert install.find_nsight(tmp_path) is None
    _executable(tmp_path / "nsight-compute" / "2025.9.1" / "host" / "target-linux-x64" / "nsys")
    newest = _executable(tmp_path / "nsight-compute" / "2025.10.0" / "host" / "target-linux-x64" / "nsys")
    assert install.find_nsight(tmp_path) == newest
    own = _executable(tmp_path / "nsight-systems" / "2024.1.1" / "bin" / "nsys")
    assert install.find_nsight(tmp_path) == own


def test_an_nsys_that_is_there_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = _executable(tmp_path / "nsys" / "bin" / "nsys", "echo NVIDIA Nsight Systems version 2024.5.1.113-0")
    monkeypatch.setattr(packages, "fetch", lambda *_: pytest.fail("fetched"))
    assert install.main(["nsys", "--dir", str(there.parents[1])]) == 0
    assert capsys.readouterr().out == f"nsys 2024.5.1: {there}\n"


def test_a_folder_with_other_things_in_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(packages, "this_source", lambda: None)
    assert install.main(["nsys", "--dir", str(tmp_path)]) == 1
    assert "something other than an nsys" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.fixture(scope="module")
def nvtx_only(real_nsys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the real nsys in which a program without a GPU named its NVTX domain."""
    folder = tmp_path_factory.mktemp("nvtx")
    report, sqlite = folder / "named.nsys-rep", folder / "named.sqlite"
    profile = [real_nsys, "profile", "-t", "nvtx", "--sample=none", "--cpuctxsw=none", f"--output={report}"]
    subprocess.run([*profile, sys.executable, "-c", NAMED], check=True, capture_output=True, timeout=120)
    export = [real_nsys, "export", "--type=sqlite", f"--output={sqlite}", report]
    subprocess.run(export, check=True, capture_output=True, timeout=120)
    return sqlite


def test_the_real_nsys_records_nvtx_without_a_gpu(nvtx_only: Path) -> None:
    with contextlib.closing(sqlite3.connect(nvtx_only)) as connection:
        rows = connection.execute("SELECT text FROM NVTX_EVENTS WHERE text IS NOT NULL").fetchall()
    assert ("steps of a study",) in rows


def test_a_real_trace_without_a_gpu_is_refused_for_its_missing_kernels(nvtx_only: Path) -> None:
    with pytest.raises(TraceError, match="no CUDA activity"):
        extract.read(nvtx_only)


def _executable(path: Path, line: str = "true") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path
