"""The same trace in the layouts of three versions of nsys, as the export tools of those versions create them.

What the layouts are and how they were taken is in tests/fixtures/README.md. Traces that nsys 2025.3 recorded itself
are in test_oracles.py.
"""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from analysis import compact, extract
from analysis.errors import TraceError
from analysis.extract import Activity
from analysis.summary import summarise
from tests import layouts, traces
from tests.traces import Sqlite

VERSIONS = layouts.versions()
OLD = ("2022.4.2", "2023.4.4")
STAMPED = {"2022.4.2": "2022.4.2.1", "2023.4.4": "2023.4.4.54", "2025.3.1": "2025.3.2.0"}
RECORDED = ["forward", "forward", "forward", "never closed", "request", "step 1", "step 2", "step 3"]


def _read(trace: Sqlite, version: str, folder: Path) -> Activity:
    return extract.read(layouts.write(trace, version, folder / "trace.sqlite"))


def test_three_versions_are_stored() -> None:
    assert tuple(STAMPED) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_says_which_it_is(tmp_path: Path, version: str) -> None:
    assert _read(traces.decode(), version, tmp_path).nsys_version == STAMPED[version]


@pytest.mark.parametrize("graphs", [False, True], ids=["graphs off", "graphs on"])
@pytest.mark.parametrize("lazy", [True, False], ids=["lazy", "all tables"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_analysis_is_the_same_in_every_layout(tmp_path: Path, version: str, lazy: bool, graphs: bool) -> None:
    trace = traces.decode(ranks=2, steps=12, graphs=graphs)
    for step in range(12):
        trace.copy(1091 + 100 * step, 1093 + 100 * step, at=1085 + 100 * step, pid=101)
        trace.set(1094 + 100 * step, 1095 + 100 * step, at=1086 + 100 * step, pid=102, device=1)
    here = summarise(trace.write(tmp_path / "own.sqlite"), "trace")
    there = summarise(layouts.write(trace, version, tmp_path / "version.sqlite", lazy=lazy), "trace")
    assert there.pop("nsys_version") == STAMPED[version]
    assert here.pop("nsys_version") == STAMPED["2025.3.1"]
    assert there == here


@pytest.mark.parametrize("version", OLD)
def test_ranges_that_old_versions_recorded_are_read(tmp_path: Path, version: str) -> None:
    ranges = _read(traces.decode(), version, tmp_path).ranges
    assert sorted(ranges["text"]) == RECORDED
    length_us = ((ranges["end_ns"] - ranges["start_ns"]) / 1e3).groupby(ranges["text"]).median()
    # Each step slept for 1 ms; the range that was never closed lasts as long as the recording.
    assert length_us[["forward", "step 1", "step 2", "step 3"]].between(1000, 2000).all()
    assert length_us["request"] < 100
    assert length_us["never closed"] > 100_000
    assert ranges["closed"].all()
    assert ranges["thread"].nunique() == 1


@pytest.mark.parametrize("version", OLD)
def test_an_export_of_nvtx_alone_is_refused_for_its_missing_kernels(tmp_path: Path, version: str) -> None:
    whole = layouts.create(version, tmp_path / "whole.sqlite")
    lazy = layouts.write(Sqlite(), version, tmp_path / "lazy.sqlite")
    with pytest.raises(TraceError, match=r"no CUDA activity.*nsys profile --trace=cuda,nvtx"):
        extract.read(lazy)
    with pytest.raises(TraceError, match="no GPU operation"):
        extract.read(whole)


@pytest.mark.parametrize("version", OLD)
def test_graphs_recorded_whole_are_unseen_in_versions_without_a_table_for_them(tmp_path: Path, version: str) -> None:
    trace = traces.decode()
    trace.whole_graph(5000, 5060, at=4990, pid=101)
    activity = _read(trace, version, tmp_path)
    assert activity.graph_tracing == "unseen"
    assert (activity.calls["kind"] == "graph").sum() == 1


@pytest.mark.parametrize("version", OLD)
def test_a_trace_of_graphs_that_such_a_version_recorded_is_on_by_their_calls_and_unfit(
    tmp_path: Path, version: str
) -> None:
    summary = summarise(layouts.write(traces.unseen(), version, tmp_path / "trace.sqlite"))
    assert (summary["graphs"], summary["ranks"][0]["graph_launches_range"]) == ("on", [1, 1])
    assert (summary["ranks"][0]["idle_ms"], summary["fitness"]["fit"]) == (None, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_tables_and_columns_that_a_later_version_may_add_are_passed_over(tmp_path: Path, version: str) -> None:
    path = layouts.write(traces.decode(), version, tmp_path / "trace.sqlite")
    before = summarise(path)
    with closing(sqlite3.connect(path)) as database:
        for table in (traces.KERNEL, traces.RUNTIME, "StringIds"):
            database.execute(f'ALTER TABLE "{table}" ADD COLUMN later TEXT DEFAULT "soon"')
        database.execute("CREATE TABLE CUPTI_ACTIVITY_KIND_LATER (start INTEGER, end INTEGER)")
        database.execute("INSERT INTO CUPTI_ACTIVITY_KIND_LATER VALUES (0, 1)")
        database.commit()
    assert summarise(path) == before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_of_any_version_is_the_same_trace(tmp_path: Path, version: str) -> None:
    path = layouts.write(traces.decode(ranks=2), version, tmp_path / "trace.sqlite")
    compact.pack(path, tmp_path / "packed.sqlite.xz")
    assert summarise(tmp_path / "packed.sqlite.xz", "trace") == summarise(path, "trace")


@pytest.fixture(scope="module")
def live(real_nsys: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What the nsys of this machine exports of ranges.c, lazily and whole."""
    compiler = shutil.which("cc")
    headers = next(real_nsys.resolve().parents[1].glob("target-linux-*/nvtx/include"), None)
    if compiler is None or headers is None:
        pytest.skip("no C compiler, or an nsys without its NVTX headers")
    folder = tmp_path_factory.mktemp("live")
    program, report = folder / "ranges", folder / "ranges.nsys-rep"
    source = root / "tests" / "fixtures" / "ranges.c"
    _run([compiler, "-I", headers, source, "-o", program, "-ldl"])
    _run([real_nsys, "profile", "-t", "nvtx", "--sample=none", "--cpuctxsw=none", f"--output={report}", program])
    for name, lazy in (("lazy", "true"), ("whole", "false")):
        _run([real_nsys, "export", "--type=sqlite", f"--lazy={lazy}", f"--output={folder / name}.sqlite", report])
    return folder / "lazy.sqlite", folder / "whole.sqlite"


def test_the_nsys_here_writes_what_is_stored_of_its_version(live: tuple[Path, Path], tmp_path: Path) -> None:
    with closing(sqlite3.connect(live[0])) as database:
        found = database.execute("SELECT value FROM META_DATA_EXPORT WHERE name = 'EXPORT_PRODUCT_VERSION'").fetchone()
    stored = next((version for version in VERSIONS if found[0].startswith(version)), None)
    if stored is None:
        pytest.skip(f"no layout of nsys {found[0]} is stored")
    fresh = [line for line in layouts.dump(*live) if not line.startswith("INSERT")]
    kept = (layouts.FOLDER / f"nsys-{stored}.sql").read_text().splitlines()
    assert "\n".join(fresh).splitlines() == [line for line in kept if not line.startswith("INSERT")]


def test_ranges_that_the_nsys_here_recorded_are_read(live: tuple[Path, Path], tmp_path: Path) -> None:
    path = shutil.copy(live[0], tmp_path / "trace.sqlite")
    _add_decode(path)
    assert sorted(extract.read(path).ranges["text"]) == RECORDED


def test_what_the_nsys_here_exports_without_a_gpu_is_refused(live: tuple[Path, Path]) -> None:
    with pytest.raises(TraceError, match="no CUDA activity"):
        extract.read(live[0])


def _add_decode(path: Path) -> None:
    """Add the CUDA tables of a hand-made trace to an export that has none."""
    other = traces.decode().write(path.with_name("decode.sqlite"))
    with closing(sqlite3.connect(path)) as database:
        database.execute("ATTACH ? AS decode", (str(other),))
        for table in (traces.KERNEL, traces.RUNTIME):
            database.execute(f'CREATE TABLE "{table}" AS SELECT * FROM decode."{table}"')
        database.execute("INSERT INTO StringIds SELECT id + 1000000, value FROM decode.StringIds")
        database.execute(f'UPDATE "{traces.KERNEL}" SET demangledName = demangledName + 1000000')
        database.execute(f'UPDATE "{traces.RUNTIME}" SET nameId = nameId + 1000000')
        database.commit()


def _run(argv: list[object]) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True, timeout=120)
