import json
import os
import sqlite3

import pandas as pd
import pytest

from analysis import evidence, evidence_tables, headline
from analysis.recordings import open_study
from tests import traces
from tests.analysis.studies import change_record, write_case, write_study, write_trace

NOTHING = headline.per_configuration(pd.DataFrame(columns=[*headline.PAIR_KEYS, "graphs", "case", "tpot_ms"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_case(folder, graphs="off", tp=2, traced_graphs="off")
    write_case(folder, graphs="on", tp=2, traced_graphs="on")
    return write_study(folder)


@pytest.fixture(scope="module")
def found(folder):
    return [evidence.examine(job) for job in evidence.jobs(open_study(folder), "here")]


def only_job(folder):
    (job,) = evidence.jobs(open_study(write_study(folder)), "here")
    return job


def test_traces_that_hold_what_was_asked_prove_their_labels(found):
    assert [(one.proof, one.doubts) for one in found] == [("proven", ()), ("proven", ())]
    assert list(evidence_tables.labels(found)["graphs"]) == ["off", "on"]


def test_the_rank_table_has_a_row_for_each_trace_and_rank(found):
    table = evidence_tables.rank_table(found)
    assert list(table["rank"]) == [0, 1, 0, 1]
    # Seven kernels of 5 us each after gaps of 10 us, the first after 20: 35 us busy of 115.
    assert list(table["iter_median_ms"]) == [0.115, 0.115, 0.0574, 0.0574]
    assert list(table["busy_ms"]) == [0.035] * 4
    assert list(table["gap_p50_us"]) == [10, 10, 0.4, 0.4]
    assert list(table["graph_launches"]) == [0, 0, 1, 1]


def test_curves_are_short_and_run_over_all_gaps(found):
    curves = evidence_tables.curve_table(found)
    assert curves.groupby(["case", "rank"]).size().max() <= 500
    off = curves[(curves["graphs"] == "off") & (curves["rank"] == 0)]
    assert (off["gap_us"].min(), off["gap_us"].median(), off["gap_us"].max()) == (10, 10, 20)


def test_overhead_compares_the_trace_with_untraced_windows_of_its_configuration(found):
    about = {key: value for key, value in found[0].about if key not in ("tracing", "case")}
    measured = pd.DataFrame([about | {"case": "r1", "tpot_ms": 0.1}])
    table = evidence_tables.tracing_overhead(found, headline.per_configuration(measured))
    assert table["overhead_ratio"].round(6).to_list()[0] == 1.15
    assert table["overhead_ratio"].isna().to_list() == [False, True]


def test_without_untraced_windows_the_overhead_is_unknown(found):
    assert evidence_tables.tracing_overhead(found, NOTHING)["overhead_ratio"].isna().all()
    assert evidence_tables.tracing_overhead([], NOTHING).empty


def test_a_trace_with_other_graphs_than_its_label_contradicts_it(tmp_path):
    write_case(tmp_path, graphs="on", traced_graphs="off")
    one = evidence.examine(only_job(tmp_path))
    assert one.proof == "contradicted"
    assert "graphs are on by the label" in one.doubts[0]
    assert evidence_tables.curve_table([one]).empty
    assert evidence_tables.tracing_overhead([one], NOTHING).empty


def test_a_trace_of_too_few_ranks_proves_nothing(tmp_path):
    case = write_case(tmp_path, graphs="on", tp=2, traced_graphs="on")
    (case / "trace_b1.sqlite").unlink()
    write_trace(case / "trace_b1.sqlite", graphs="on", tp=1)
    assert evidence.examine(only_job(tmp_path)).proof == "insufficient"


def test_a_case_recorded_as_invalid_stays_invalid(tmp_path):
    case = write_case(tmp_path, graphs="on", traced_graphs="on")
    change_record(case, {"outcome": "invalid", "reason": "checked before"})
    one = evidence.examine(only_job(tmp_path))
    assert (one.proof, one.doubts) == ("insufficient", ("checked before",))


def test_a_trace_that_cannot_be_read_is_refused_with_the_reason(tmp_path):
    case = write_case(tmp_path, graphs="on", traced_graphs="on")
    (case / "trace_b1.sqlite").write_text("no database")
    one = evidence.examine(only_job(tmp_path))
    assert (one.proof, one.summary) == ("refused", None)
    assert "trace_b1.sqlite" in one.doubts[0]
    assert len(evidence_tables.rank_table([one])) == 1


def lose_calls(case):
    """Three operations of the steady iterations whose call was not recorded."""
    with sqlite3.connect(case / "trace_b1.sqlite") as db:
        where = "rowid IN (SELECT rowid FROM CUPTI_ACTIVITY_KIND_KERNEL ORDER BY start LIMIT 3 OFFSET 200)"
        db.execute(f"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET correlationId = 1000000 WHERE {where}")
    db.close()


def test_an_unfit_trace_proves_nothing_and_is_listed_with_what_to_record_instead(tmp_path):
    case = write_case(tmp_path, graphs="off", traced_graphs="off")
    lose_calls(case)
    one = evidence.examine(only_job(tmp_path))
    assert one.proof == "unfit"
    assert one.doubts[0].startswith("launches joined: 3 of ")
    assert "--trace-fork-before-exec=true" in one.doubts[0]
    assert evidence_tables.path_table([one]).empty
    assert evidence_tables.curve_table([one]).empty
    assert evidence_tables.tracing_overhead([one], NOTHING).empty
    listed = evidence_tables.fitness_table([one])
    assert listed[["check", "gates"]].to_numpy().tolist() == [["launches joined", True]]


def test_an_unfit_trace_of_other_graphs_than_its_label_contradicts_it_all_the_same(tmp_path):
    case = write_case(tmp_path, graphs="on", traced_graphs="off")
    lose_calls(case)
    assert evidence.examine(only_job(tmp_path)).proof == "contradicted"


@pytest.mark.parametrize(("tracing", "proof"), [("graph", "proven"), ("node", "unfit")])
def test_graphs_recorded_whole_prove_the_label_where_that_was_asked_for_but_no_causes(tmp_path, tracing, proof):
    case = write_case(tmp_path, graphs="on", traced_graphs="on")
    change_record(case, {"asked": json.loads((case / "case.json").read_text())["asked"] | {"tracing": tracing}})
    whole = traces.Sqlite()
    for begin in range(1_000_000, 8_200_000, 100_000):
        whole.whole_graph(begin, begin + 70_000, at=begin - 9_000)
        for name, start in (("rms_norm", 71_000), ("sample", 80_000)):
            whole.launch(name, at=begin + start - 5_000, took=3_000, start=begin + start, end=begin + start + 5_000)
    (case / "trace_b1.sqlite").unlink()
    whole.write(case / "trace_b1.sqlite")
    one = evidence.examine(only_job(tmp_path))
    assert one.proof == proof
    assert evidence_tables.path_table([one]).empty
    assert evidence_tables.fitness_table([one])["check"].to_list() == ["graph nodes"]


@pytest.mark.parametrize(("label", "proof"), [("off", "contradicted"), ("on", "unfit")])
def test_graphs_whose_calls_alone_were_recorded_prove_no_label_though_recording_them_whole_was_asked_for(
    tmp_path, label, proof
):
    case = write_case(tmp_path, graphs=label, traced_graphs=label)
    change_record(case, {"asked": json.loads((case / "case.json").read_text())["asked"] | {"tracing": "graph"}})
    (case / "trace_b1.sqlite").unlink()
    traces.unseen(steps=80).write(case / "trace_b1.sqlite")
    one = evidence.examine(only_job(tmp_path))
    assert one.proof == proof
    assert "graph nodes: the calls alone" in one.doubts[-1]
    assert one.curves.empty
    assert evidence_tables.path_table([one]).empty
    assert evidence_tables.rank_table([one])[["busy_ms", "idle_ratio", "gap_p50_us"]].isna().all(axis=None)
    assert evidence_tables.rank_table([one])["graph_launches"].to_list() == [1]


def test_a_pair_is_set_side_by_side_by_group(found):
    table = evidence_tables.difference_table(found)
    assert table["group"].to_list() == ["attention", "collective", "other"]
    assert table[["off_us", "on_us"]].to_numpy().tolist() == [[5, 5], [5, 5], [25, 25]]
    assert set(table["work_saved_us"]) == {0}
    assert set(table["idle_saved_us"].round(6)) == {57.6}


def test_a_half_pair_and_one_with_an_unfit_trace_are_not_compared(tmp_path, found):
    assert evidence_tables.difference_table(found[:1]).empty
    case = write_case(tmp_path, graphs="on", tp=2, traced_graphs="on")
    lose_calls(case)
    unfit = evidence.examine(only_job(tmp_path))
    assert evidence_tables.difference_table([found[0], unfit]).empty


@pytest.mark.parametrize("processors", [1, 2])
def test_traces_are_examined_in_the_order_given_however_many_processors(folder, found, monkeypatch, processors):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    smallest_first = evidence.jobs(open_study(folder), "here")[::-1]
    assert smallest_first[0].path.stat().st_size < smallest_first[1].path.stat().st_size
    again = evidence.examine_all(smallest_first)
    assert [one.summary for one in again] == [one.summary for one in found[::-1]]
