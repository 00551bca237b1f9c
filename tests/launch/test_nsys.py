"""The command lines of nsys: word for word, and accepted by a real nsys."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from launch import nsys
from launch.process import run_to_end
from study import commands, judge
from study.commands import Tools
from tests.cases import CASE

WORK = [sys.executable, "-S", "-c", "pass"]


def test_a_profile_command_says_everything_that_versions_default_differently() -> None:
    assert nsys.profile(["python", "-m", "x"], nsys="bin/nsys", output=Path("a/trace"), tracing="node", windows=1) == [
        "bin/nsys", "profile",
        "--trace=cuda,nvtx", "--cuda-graph-trace=node", "--sample=none", "--cpuctxsw=none",
        "--trace-fork-before-exec=true", "--capture-range=cudaProfilerApi", "--capture-range-end=stop",
        "--kill=none", "--wait=all", "--force-overwrite=true", "--output=a/trace",
        "python", "-m", "x",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("windows", "end", "files"),
    [
        pytest.param(1, "stop", ["trace.nsys-rep"], id="one window: one report"),
        pytest.param(3, "repeat:3", ["trace.1.nsys-rep", "trace.2.nsys-rep", "trace.3.nsys-rep"], id="a report each"),
    ],
)
def test_each_capture_window_makes_one_report(windows: int, end: str, files: list[str]) -> None:
    argv = nsys.profile(["x"], nsys="nsys", output=Path("a/trace"), tracing="graph", windows=windows)
    assert "--cuda-graph-trace=graph" in argv and f"--capture-range-end={end}" in argv
    assert nsys.reports(Path("a/trace"), windows) == tuple(Path("a") / name for name in files)


def test_an_export_command_names_the_report_last() -> None:
    argv = nsys.export(Path("a/trace.nsys-rep"), Path("a/trace_b1.sqlite"), nsys="bin/nsys")
    wanted = "bin/nsys export --type=sqlite --force-overwrite=true --output=a/trace_b1.sqlite a/trace.nsys-rep"
    assert argv == wanted.split()


def test_a_version_is_found_in_what_nsys_says_and_none_where_it_does_not_run(root: Path, tmp_path: Path) -> None:
    assert nsys.version(str(root / "tests" / "standin" / "nsys")) == "2000.1.1"
    assert nsys.version(str(tmp_path / "absent")) is None
    assert nsys.version("true") is None


@pytest.mark.parametrize("batches", [(1,), (1, 8)])
@pytest.mark.parametrize("tracing", ["graph", "node"])
def test_a_real_nsys_takes_our_flags_and_a_run_without_capture_has_its_reason(
    tmp_path: Path, real_nsys: Path, tracing: str, batches: tuple[int, ...]
) -> None:
    case = replace(CASE, tracing=tracing, batches=batches)
    log = tmp_path / "engine.log"
    argv = nsys.profile(WORK, nsys=str(real_nsys), output=tmp_path / "trace", tracing=tracing, windows=len(batches))
    assert run_to_end(argv, log=log, timeout_s=60) == 0, log.read_text()
    assert "unrecognised" not in log.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["engine.log"]
    first = nsys.reports(tmp_path / "trace", len(batches))[0].name
    tools = Tools(pythons={}, nsys=str(real_nsys), timeout_s=60)
    assert judge.export(case, tools=tools, folder=tmp_path) == (
        [],
        f"nsys wrote no {first}: no capture window was opened, or nsys was stopped before it",
    )


def test_a_real_nsys_refuses_a_flag_that_it_does_not_know(tmp_path: Path, real_nsys: Path) -> None:
    argv = nsys.profile(WORK, nsys=str(real_nsys), output=tmp_path / "trace", tracing="node", windows=1)
    log = tmp_path / "log"
    assert run_to_end([*argv[:2], "--no-such-flag=1", *argv[2:]], log=log, timeout_s=60) != 0
    assert "unrecognised option" in log.read_text()


def test_the_exit_code_of_the_application_comes_through_a_real_nsys(tmp_path: Path, real_nsys: Path) -> None:
    fails = [sys.executable, "-S", "-c", "raise SystemExit(5)"]
    argv = nsys.profile(fails, nsys=str(real_nsys), output=tmp_path / "trace", tracing="node", windows=1)
    assert run_to_end(argv, log=tmp_path / "log", timeout_s=60) == 5


def test_a_real_report_is_exported_by_our_command_to_where_the_record_looks(tmp_path: Path, real_nsys: Path) -> None:
    case = replace(CASE, tracing="node", batches=(4,))
    tools = Tools(pythons={}, nsys=str(real_nsys), timeout_s=60)
    anything = ["--trace=none", "--sample=none", "--cpuctxsw=none", f"--output={tmp_path / 'trace'}"]
    subprocess.run([real_nsys, "profile", *anything, *WORK], check=True, capture_output=True, timeout=60)
    assert judge.export(case, tools=tools, folder=tmp_path) == ([{"batch": 4, "file": "trace_b4.sqlite"}], None)
    ((_, sqlite, _),) = commands.exports(case, tools=tools, folder=tmp_path)
    with closing(sqlite3.connect(sqlite)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert {"StringIds", "META_DATA_EXPORT"} <= tables
