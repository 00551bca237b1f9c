"""All tables from one call: as declared, consistent with one another, and right where the eye can check them."""

import hashlib
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis import frames
from analysis.errors import TraceError
from analysis.frames import TABLES, Frames
from tests import traces
from tests.traces import Sqlite, recorded


@pytest.fixture(scope="module")
def real() -> dict[str, Frames]:
    return {
        "four ranks, graphs off": analysis.read(recorded("vllm", 4, "off")),
        "two ranks, graphs on": analysis.read(recorded("sglang", 2, "on")),
        "one rank": analysis.read(recorded("sglang", 1, "off")),
    }


def _made(folder: Path, trace: Sqlite) -> Frames:
    return analysis.read(trace.write(folder / "made.sqlite"))


def test_every_table_is_declared_and_described() -> None:
    assert [field.name for field in fields(Frames)] == [*TABLES, "summary", "fitness"]
    for table, columns in TABLES.items():
        assert len({column.name for column in columns}) == len(columns), table
        assert all(column.meaning and not column.meaning.endswith(".") for column in columns), table


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_recorded_traces_is_as_declared(real: dict[str, Frames], table: str) -> None:
    for found in real.values():
        _expect_declared(getattr(found, table), table)


@pytest.mark.parametrize("graphs", [False, True])
def test_tables_of_a_trace_without_collectives_are_as_declared(tmp_path: Path, graphs: bool) -> None:
    found = _made(tmp_path, traces.decode(graphs=graphs))
    for table in TABLES:
        _expect_declared(getattr(found, table), table)
    assert len(found.collectives) == 0


def test_tables_where_graphs_were_recorded_whole_are_as_declared(tmp_path: Path) -> None:
    found = _made(tmp_path, _whole_graphs())
    for table in TABLES:
        _expect_declared(getattr(found, table), table)
    assert found.summary["graph_tracing"] == "graph"


def _whole_graphs() -> Sqlite:
    trace = Sqlite()
    for step in range(10):
        at = 1000 + 100 * step
        trace.whole_graph(at, at + 50, at=at - 10)
        for number, name in enumerate(("argmax", "sample", "update", "fill")):
            trace.launch(name, at=at - 5, start=at + 60 + 5 * number, end=at + 64 + 5 * number)
    return trace


def test_tables_where_nothing_of_graphs_was_recorded_are_as_declared_and_claim_no_gaps(tmp_path: Path) -> None:
    frames = _made(tmp_path, traces.unseen(ranks=2))
    for table in TABLES:
        _expect_declared(getattr(frames, table), table)
    assert frames.operations[["gap_ns", "overlap_ns", "cause"]].isna().all(axis=None)
    assert frames.steps["graph_launches"].isna().all()
    assert frames.waits["useful_ms"].isna().all()
    known = frames.samples.dropna()
    assert sorted(set(known["quantity"])) == ["graph_launches", "iter_ms"]
    assert set(known.loc[known["quantity"] == "graph_launches", "value"]) == {1}


def test_the_gap_before_an_operation_and_its_cause_stand_beside_it(tmp_path: Path) -> None:
    found = _made(tmp_path, traces.decode(steps=12, step_ns=100_000))
    sixth = found.operations[found.operations["iteration"] == 6]
    names = found.signatures["name"].iloc[sixth["signature"]].tolist()
    rows = list(zip(names, sixth["gap_ns"], sixth["overlap_ns"], sixth["cause"], strict=True))
    # A step ends 10 ns before its last 99,910 ns pass; within it only the second gemm stands apart, by 10 ns.
    assert rows == [
        ("gemm", 99_910, 0, "launch"),
        ("norm", 0, 0, "none"),
        ("gemm", 10, 0, "dependency"),
        ("sample", 0, 0, "none"),
    ]
    outside = found.operations[found.operations["iteration"] < 0]
    assert outside[["gap_ns", "overlap_ns", "cause", "launch_exposed_ns"]].isna().all(axis=None)


def test_gaps_add_up_to_idle_time_by_rank_and_iteration(real: dict[str, Frames]) -> None:
    for found in real.values():
        samples = found.samples[found.samples["quantity"] == "idle_ms"]
        idle_ms = samples.groupby("rank")["value"].sum()
        gaps_ms = found.operations.groupby("rank")["gap_ns"].sum() / 1e6
        # A gap belongs to the iteration in which its operation ends, so one at a border may be cut in two.
        assert gaps_ms.astype("float64").tolist() == pytest.approx(idle_ms.tolist(), rel=0.005)


def test_numbers_in_tables_are_rows_of_other_tables(real: dict[str, Frames]) -> None:
    for found in real.values():
        operations = found.operations
        assert operations["signature"].between(0, len(found.signatures) - 1).all()
        assert found.signatures["signature"].tolist() == list(range(len(found.signatures)))
        assert (found.calls["rank"].iloc[operations["call"]].to_numpy() == operations["rank"].to_numpy()).all()
        assert set(found.iterations["iteration"]) == set(found.steps.loc[found.steps["kept"], "step"])
        assert set(operations["iteration"]) == {-1, *found.iterations["iteration"]}


def test_the_summary_is_what_the_command_prints(real: dict[str, Frames]) -> None:
    found = real["four ranks, graphs off"]
    assert (found.summary["name"], found.summary["tp"], found.summary["graphs"]) == ("trace_b1", 4, "off")
    waited = found.waits.groupby("rank")["wait_ms"].median()
    assert [rank["wait_ms"] for rank in found.summary["ranks"]] == pytest.approx(waited.tolist())
    assert found.summary["fitness"] == found.fitness.to_json()
    path = found.critical_path.median()
    assert found.summary["critical_path_us"]["compute"] == pytest.approx(path["compute_us"])


def test_a_name_may_be_given_and_a_path_may_be_text(tmp_path: Path) -> None:
    path = traces.decode().write(tmp_path / "a.sqlite")
    assert analysis.read(str(path)).summary["name"] == "a"
    assert frames.read(path, "mine").summary["name"] == "mine"


def test_a_notebook_shows_the_tables_with_their_sizes(tmp_path: Path) -> None:
    shown = repr(_made(tmp_path, traces.decode(steps=12))).splitlines()
    assert shown[0] == "Frames of made"
    assert [line.split()[0] for line in shown[1:]] == list(TABLES)
    assert "  iterations             7 rows" in shown


def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        analysis.read(tmp_path / "absent.sqlite")


def test_the_file_stays_as_it_was(tmp_path: Path) -> None:
    path = traces.decode().write(tmp_path / "a.sqlite")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    analysis.read(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


def _expect_declared(frame: pd.DataFrame, table: str) -> None:
    declared = {column.name: column.dtype for column in TABLES[table]}
    assert frame.columns.tolist() == list(declared), table
    assert frame.astype(declared).dtypes.equals(frame.dtypes), table
    assert frame.index.equals(pd.RangeIndex(len(frame))), table
