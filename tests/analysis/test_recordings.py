import json
import re

import pytest

from analysis.errors import TraceError
from analysis.recordings import open_study
from tests.analysis.studies import change_record, write_case, write_study


@pytest.fixture
def folder(tmp_path):
    write_case(tmp_path, graphs="off", tpot_ms=[4.0, 4.2])
    write_case(tmp_path, graphs="on", tpot_ms=[2.0])
    write_case(tmp_path, graphs="on", traced_graphs="on")
    return write_study(tmp_path)


def case_folder(folder, pattern="*on_trace-off*"):
    return next((folder / "cases").glob(pattern))


def test_a_study_is_read_into_tables(folder):
    study = open_study(folder)
    assert study.recorded is None
    assert list(study.cases["outcome"]) == ["ok", "ok", "ok"]
    assert set(study.cases["driver"]) == {"580.1"}
    assert study.windows[["graphs", "window", "tpot_ms"]].to_dict("list") == {
        "graphs": ["off", "off", "on"],
        "window": [0, 1, 0],
        "tpot_ms": [4.0, 4.2, 2.0],
    }
    assert [path.name for path in study.traces["path"]] == ["trace_b1.sqlite"]
    assert study.pending == ()


def test_a_recording_says_so_and_its_packed_traces_are_found(folder):
    trace = next(folder.glob("cases/*/trace_b1.sqlite"))
    trace.rename(trace.with_name("trace_b1.sqlite.xz"))
    write_study(folder, recording={"host": "2x Test GPU", "date": "2026-11-21"})
    study = open_study(folder)
    assert study.recorded["date"] == "2026-11-21"
    assert [path.name for path in study.traces["path"]] == ["trace_b1.sqlite.xz"]


def test_unfinished_case_folders_are_ignored_and_missing_ones_are_pending(folder):
    case_folder(folder).rename(folder / "cases" / ".unfinished")
    write_study(folder, planned=["not there"], skips=[dict.fromkeys(("engine", "model", "tp", "graphs"), "x")])
    study = open_study(folder)
    assert len(study.cases) == 2
    assert study.pending == (".unfinished", "not there")
    assert len(study.skips) == 1


def test_a_study_without_cases_has_empty_tables(tmp_path):
    study = open_study(write_study(tmp_path))
    assert [len(table) for table in (study.cases, study.windows, study.traces, study.skips)] == [0, 0, 0, 0]


def test_failed_and_invalid_cases_give_no_windows(folder):
    change_record(case_folder(folder), {"outcome": "invalid", "reason": "swapped"})
    change_record(case_folder(folder, "*off_trace-off*"), {"outcome": "failed", "reason": "out of memory"})
    study = open_study(folder)
    assert study.windows.empty
    assert sorted(study.cases["reason"].dropna()) == ["out of memory", "swapped"]


def test_traces_of_failed_cases_are_left_alone(folder):
    change_record(case_folder(folder, "*node*"), {"outcome": "failed"})
    assert open_study(folder).traces.empty


def test_a_case_that_resolved_other_graphs_than_asked_is_mislabelled(folder):
    case = case_folder(folder)
    change_record(case, {"resolved": {"graphs": "off"}})
    assert open_study(folder).mislabelled() == {case.name: "asked for graphs on, the engine resolved off"}


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(TraceError, match=r"is not a study folder: it has no study\.json"):
        open_study(tmp_path)


def test_what_stands_in_place_of_a_study_is_said_with_what_to_give(folder):
    said = {
        case_folder(folder): f"it is one of its cases. Give {folder},",
        folder / "cases": f"it is a part of one. Give {folder}.",
        folder / "study.json": "it is a file. Expected a folder that study.sweep wrote",
        folder / "absent": "there is no such folder. Expected",
        folder / ("x" * 300): "cannot be read .File name too long.. Expected",
    }
    for path, reason in said.items():
        with pytest.raises(TraceError, match=f"^{path} .*{reason}"):
            open_study(path)


def test_a_folder_of_studies_is_answered_with_what_to_give(tmp_path):
    write_study(tmp_path / "one")
    write_study(tmp_path / "two")
    said = f"it is a folder of 2 studies. Give one, such as {tmp_path}/one, or, where several are taken, {tmp_path}/*"
    with pytest.raises(TraceError, match=re.escape(said)):
        open_study(tmp_path)


def test_a_folder_that_a_replay_wrote_is_told_as_that(tmp_path):
    (tmp_path / "report.html").touch()
    with pytest.raises(TraceError, match=r"is not a study folder: it has the report of a replay alone"):
        open_study(tmp_path)


def drop_record(case):
    (case / "case.json").unlink()


def cut_record(case):
    (case / "case.json").write_text('{"format": ')


def list_record(case):
    (case / "case.json").write_text("[]")


def drop_samples(case):
    (case / "samples.csv").unlink()


def cut_samples(case):
    (case / "samples.csv").write_text("batch,window,tpot_ms\n1,0,3\n")


def empty_samples(case):
    (case / "samples.csv").write_text("")


def zero_samples(case):
    (case / "samples.csv").write_text("batch,window,tokens,seconds,tpot_ms\n1,0,64,1,0\n")


def word_samples(case):
    (case / "samples.csv").write_text("batch,window,tokens,seconds,tpot_ms\n1,0,64,1,fast\n")


def rename_case(case):
    case.rename(case.with_name("another"))


def record(**changes):
    return lambda case: change_record(case, changes)


def drop_key(case):
    content = json.loads((case / "case.json").read_text())
    del content["argv"], content["asked"]["tp"]
    (case / "case.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(drop_record, r"case\.json is missing", id="no record"),
        pytest.param(cut_record, r"case\.json cannot be read as JSON", id="half a record"),
        pytest.param(list_record, r"case\.json holds a list; expected a JSON object", id="a list"),
        pytest.param(record(format="1999-01-01"), r"case\.json has format version '1999-01-01'", id="unknown version"),
        pytest.param(record(format=None), r"case\.json has format version None", id="no version"),
        pytest.param(drop_key, r"case\.json: the record lacks argv", id="missing keys"),
        pytest.param(record(asked={}), r"case\.json: 'asked' lacks engine, model", id="nothing asked"),
        pytest.param(record(outcome="great"), r"case\.json has outcome 'great'; expected one of", id="unknown outcome"),
        pytest.param(rename_case, r"expected 'another'", id="renamed"),
        pytest.param(drop_samples, r"samples\.csv is missing, though case\.json names it", id="no samples"),
        pytest.param(record(files={"samples": None}), r"case\.json names no samples", id="no samples named"),
        pytest.param(record(files={"samples": "../x.csv"}), r"expected a file name without folders", id="outside"),
        pytest.param(cut_samples, r"samples\.csv: the table lacks tokens, seconds", id="missing columns"),
        pytest.param(empty_samples, r"samples\.csv cannot be read as a table", id="empty samples"),
        pytest.param(zero_samples, r"samples\.csv lacks a usable tpot_ms", id="a time of zero"),
        pytest.param(word_samples, r"samples\.csv lacks a usable tpot_ms", id="a time in words"),
    ],
)
def test_half_a_case_folder_is_refused_by_the_name_of_its_file(folder, damage, message):
    damage(case_folder(folder))
    with pytest.raises(TraceError, match=message):
        open_study(folder)


def test_a_missing_trace_is_refused_by_its_name(folder):
    next(folder.glob("cases/*/trace_b1.sqlite")).unlink()
    with pytest.raises(TraceError, match=r"trace_b1\.sqlite is missing"):
        open_study(folder)


def test_a_traced_case_without_traces_is_refused(folder):
    change_record(case_folder(folder, "*node*"), {"files": {"samples": None, "traces": []}})
    with pytest.raises(TraceError, match="names no traces"):
        open_study(folder)
