"""The benchmark measures what it says: a real trace, repeated in time."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import summary
from analysis.extract import KERNEL, RUNTIME
from tests import traces
from tests.bench import __main__ as bench
from tests.bench import repeat
from tests.bench.__main__ import RECORDING, Row, broken

KERNELS, API_ROWS = 102_056, 325_634
GOOD = Row(
    times=50, kernels=1, api_rows=1, file_mb=1, select_s=10, dropped_s=8, analysis_s=5, peak_mb=1500, unchanged=True
)  # fmt: skip


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "x2.sqlite"
    repeat.write(traces.recorded("sglang", 8, "off"), path, 2)
    assert [found.name for found in path.parent.iterdir()] == ["x2.sqlite"]
    return path


def test_the_benchmark_repeats_the_recording_that_ships(root: Path) -> None:
    assert root / RECORDING == traces.recorded("sglang", 8, "off")


def test_a_repeated_trace_has_as_many_rows_as_nsys_wrote_each_time(twice: Path) -> None:
    assert _ask(twice, f"SELECT COUNT(*) FROM {KERNEL}") == [(2 * KERNELS,)]
    assert _ask(twice, f"SELECT COUNT(*) FROM {RUNTIME}") == [(2 * API_ROWS,)]


def test_correlation_ids_are_new_each_time(twice: Path) -> None:
    launched = f"SELECT COUNT(DISTINCT globalPid << 32 | correlationId) FROM {KERNEL}"
    assert _ask(twice, launched) == [(2 * KERNELS,)]


def test_rows_lie_in_order_of_start_as_nsys_writes_them(twice: Path) -> None:
    for table in (KERNEL, RUNTIME):
        before = f'SELECT "start" < LAG("start") OVER (ORDER BY rowid) AS early FROM {table}'
        assert _ask(twice, f"SELECT SUM(early) FROM ({before})") == [(0,)]


def test_twice_the_trace_has_twice_the_iterations_of_the_same_kind(twice: Path) -> None:
    once, both = summary.summarise(traces.recorded("sglang", 8, "off")), summary.summarise(twice)
    # The first and last of the recording, which are dropped of it, are within where it is repeated.
    assert both["iterations"] == pytest.approx(2 * once["iterations"], abs=8)
    assert both["unjoined_operations"] == 2 * once["unjoined_operations"]
    assert both["iter_ms"]["median"] == pytest.approx(once["iter_ms"]["median"], rel=0.02)
    assert both["critical_path_us"]["wall"] == pytest.approx(once["critical_path_us"]["wall"], rel=0.02)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, None),
        ({"analysis_s": 6.1}, "x50: 0.61 times the bare SELECT, 0.6 allowed"),
        ({"peak_mb": 2100}, "x50: 2100 MB, 2000 allowed"),
        ({"unchanged": False}, "x50: the analysis changed the file"),
        ({"times": 1, "analysis_s": 2.1}, "x1: 2.10 s, 2.0 s allowed"),
    ],
)
def test_a_broken_limit_is_told(changed: dict[str, float], problem: str | None) -> None:
    assert broken([replace(GOOD, **changed)]) == ([problem] if problem else [])


@pytest.mark.parametrize(("analysis_s", "status"), [(5.0, 0), (6.1, 1)])
def test_the_command_fails_where_a_limit_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], analysis_s: float, status: int
) -> None:
    monkeypatch.setattr(bench, "_row", lambda times, runs: replace(GOOD, times=times, analysis_s=analysis_s))
    assert bench.main(["--times", "50"]) == status
    assert ("Every limit holds." in capsys.readouterr().out) == (status == 0)


def test_time_that_grows_faster_than_the_trace_is_told() -> None:
    assert broken([replace(GOOD, times=10, analysis_s=0.5), GOOD]) == [
        "x50 takes 10.0 times as long as x10, 6.2 allowed"
    ]


def _ask(path: Path, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()
