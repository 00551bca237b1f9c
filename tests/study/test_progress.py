"""What whoever waits gets to read: lines in a file, a live line on a terminal, and an estimate that adds up."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from study import progress
from study.judge import Verdict
from study.progress import Progress, iteration_times
from tests.cases import CASE

OK = Verdict(outcome="ok")
ERASED = "\x1b[2K"
OTHER = replace(CASE, graphs="off")
WINDOWS = [{"batch": batch, "tpot_ms": time_ms} for batch, time_ms in [(8, 9.0), (1, 5.0), (1, 4.0), (1, 90.0)]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that have passed, as its only element."""
    now_s = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s[0])
    return now_s


def plain() -> Console:
    return Console(file=io.StringIO(), width=40)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_without_a_terminal_every_phase_is_one_plain_line(clock: list[float]) -> None:
    console = plain()
    with Progress(console, total=2) as shown:
        shown.phase(CASE, "starting")
        clock[0] += 65
        shown.phase(CASE, "measuring", batch=8)
    assert lines(console) == [f"[0/2] 0:00 | {CASE.name}: starting", f"[0/2] 1:05 | {CASE.name}: measuring batch 8"]


def test_the_rest_is_estimated_from_what_the_finished_cases_took(clock: list[float]) -> None:
    console = plain()
    with Progress(console, total=4) as shown:
        clock[0] += 30
        shown.finished(CASE, OK, WINDOWS)
        shown.phase(OTHER, "starting")
        clock[0] += 10
        shown.finished(OTHER, OK, [])
        shown.phase(CASE, "starting")
    assert lines(console)[1::2] == [
        f"[1/4] 0:30, about 1:30 to go | {OTHER.name}: starting",
        f"[2/4] 0:40, about 0:40 to go | {CASE.name}: starting",
    ]


def test_a_finished_case_shows_its_times_or_why_there_are_none() -> None:
    console = plain()
    with Progress(console, total=3) as shown:
        shown.finished(CASE, OK, WINDOWS)
        shown.finished(OTHER, Verdict(outcome="failed", reason="crash: [/red] with brackets [1]"), [])
        shown.finished(replace(CASE, tracing="node"), Verdict(outcome="ok", traced_ms={1: 4.5}), [])
    assert lines(console) == [
        f"[1/3] {CASE.name}: ok, batch 1: 5.00 ms, batch 8: 9.00 ms",
        f"[2/3] {OTHER.name}: failed, crash: [/red] with brackets [1]",
        f"[3/3] {replace(CASE, tracing='node').name}: ok, label proven, traced batch 1: 4.50 ms",
    ]


def test_on_a_terminal_phases_change_one_live_line_that_is_taken_away(clock: list[float]) -> None:
    file = io.StringIO()
    with Progress(Console(file=file, force_terminal=True, width=200), total=1) as shown:
        shown.phase(CASE, "starting")
        shown.phase(CASE, "measuring", batch=1)
    assert "measuring batch 1" in file.getvalue() and f"{CASE.name}: starting\n" not in file.getvalue()
    assert ERASED in file.getvalue().rpartition("measuring")[2]


def test_the_time_of_a_batch_is_the_median_of_its_windows() -> None:
    assert iteration_times(WINDOWS) == "batch 1: 5.00 ms, batch 8: 9.00 ms"
    assert iteration_times([]) == ""
