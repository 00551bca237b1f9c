"""Every section: there where its data are, absent where they are not, with the numbers that were put in."""

import json
import math
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import sections
from analysis.blocks import Section, Table
from analysis.gathered import Gathered, gather
from analysis.language import Text, zh
from analysis.sections import breakeven as breakevens
from analysis.sections import (
    capacity,
    excluded,
    gaps,
    hosts,
    iterations,
    kernels,
    paths,
    predictions,
    ranks,
    serving,
    verdict,
)
from analysis.sections import switches as apart
from tests.analysis.sections import made
from tests.analysis.studies import change_record, write_case, write_study

ALWAYS = {"verdict"}


@pytest.fixture(autouse=True)
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def gathered(folder: Path, **content: Any) -> Gathered:
    return gather([write_study(folder, **content)])


def ids(found: Gathered) -> set[str]:
    return {section.id for section in sections.every(found)}


def one(section: Section | None) -> Section:
    assert section is not None
    return section


def table(section: Section | None, name: str) -> Table:
    return next(table for table in one(section).tables if table.name == name)


def column(found: Table, heading: str) -> list[str]:
    return [row[found.columns.index(heading)] for row in found.rows]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    """Graphs double the speed on two GPUs; one trace of either kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        folder = tmp_path_factory.mktemp("traced")
        for graphs, time_ms in (("off", 8.0), ("on", 4.0)):
            write_case(folder, graphs=graphs, tp=2, tpot_ms=[time_ms] * 2)
            write_case(folder, graphs=graphs, tp=2, traced_graphs=graphs)
        return gathered(folder)


def test_a_study_with_nothing_in_it_has_a_verdict_alone(tmp_path: Path) -> None:
    found = gathered(tmp_path)
    assert ids(found) == ALWAYS
    assert one(verdict.build(found)).leads == ("No answer: nothing was measured with tracing off.",)


def test_untraced_times_alone_show_nothing_of_traces(tmp_path: Path) -> None:
    for graphs, time_ms in (("off", 8.0), ("on", 4.0)):
        made.measured(tmp_path, graphs, {1: time_ms}, resolved={"graphs": graphs})
    assert ids(gathered(tmp_path)) == {"verdict", "iterations", "capacity"}


def test_however_sections_were_made_one_after_the_other_they_stand_in_the_order_of_readers() -> None:
    names = ("kernels", "verdict", "breakeven", "timeline", "paths")
    found = sections.in_order(Section(id=name, title=Text(name)) for name in names)
    assert [section.id for section in found] == ["verdict", "paths", "timeline", "breakeven", "kernels"]


def test_sections_stand_in_the_order_in_which_readers_meet_them(traced: Gathered) -> None:
    order = [section.id for section in sections.every(traced)]
    wanted = [
        "verdict",
        "paths",
        "iterations",
        "gaps",
        "ranks",
        "hosts",
        "capacity",
        "predictions",
        "kernels",
        "traces",
    ]
    assert [name for name in order if name in wanted] == wanted


def test_every_figure_has_its_data_beside_it_and_says_where_they_come_from(traced: Gathered) -> None:
    graphics = [graphic for section in sections.every(traced, sections.DRAWN) for graphic in section.graphics]
    assert len(graphics) > 8
    assert [graphic.name for graphic in graphics if not graphic.table.rows or not graphic.table.data.shape[0]] == []
    assert [graphic.name for graphic in graphics if "MEASURED HERE 2026-11-21" not in graphic.mark] == []


def test_names_of_tables_and_figures_are_each_given_once(traced: Gathered) -> None:
    found = sections.every(traced, sections.DRAWN)
    names = [table.name for section in found for table in section.tables]
    drawn = [graphic.name for section in found for graphic in section.graphics]
    assert len(names) == len(set(names)) and len(drawn) == len(set(drawn))


def test_the_verdict_gives_the_gain_and_sets_void_rows_apart(traced: Gathered) -> None:
    found = table(verdict.build(traced), "headline")
    assert column(found, "off / on (ratio)") == ["2.00 [2.00, 2.00] (windows)"]
    assert column(found, "graphs off (ms)") == ["8.00 [8.00, 8.00]"]
    assert column(found, "graphs on (ms)") == ["4.00 [4.00, 4.00]"]
    assert found.cautions == ("graphs off: 1 start; graphs on: 1 start",)
    assert found.void == ("",)


def test_where_the_time_goes_is_said_of_both_halves(traced: Gathered) -> None:
    section = one(paths.build(traced))
    # 7 kernels of 5 us; without graphs gaps of 10 us between them, and 20 us before the first.
    assert section.leads == (
        "vLLM, llama3-8b, TP2, batch 1: with graphs off GPUs wait for launches during 0.0800 of 0.115 ms, with graphs "
        "on during 0.0200 of 0.0574 ms; the work takes 0.0350 and 0.0350 ms.",
    )


@pytest.mark.parametrize("section", [paths, kernels])
def test_sentences_about_traces_of_several_studies_name_theirs(traced: Gathered, section: Any) -> None:
    others = [replace(found, about=(("study", "other"), *found.about[1:])) for found in traced.evidence]
    two = one(section.build(replace(traced, evidence=(*traced.evidence, *others)))).leads
    assert [lead.partition(": ")[0] for lead in two] == [
        f"vLLM, llama3-8b, TP2, batch 1 ({study})" for study in (traced.studies[0][0], "other")
    ]


def test_where_several_studies_traced_one_configuration_it_is_said_which_one_figures_show(traced: Gathered) -> None:
    others = [replace(found, about=(("study", "other"), *found.about[1:])) for found in traced.evidence]
    two = one(paths.build(replace(traced, evidence=(*traced.evidence, *others))))
    first = min("other", traced.studies[0][0])
    assert two.notes[-1] == (
        "Where several studies traced one configuration, figures show one of them, and tables all: "
        f"vLLM, llama3-8b, TP2, batch 1 ({first})."
    )
    assert {row["study"] for row in two.tables[0].data.to_dict("records")} == {first}
    assert len(one(paths.build(traced)).notes) == 1


def test_gaps_are_counted_by_cause(traced: Gathered) -> None:
    found = table(gaps.build(traced), "gap_causes_llama3-8b_b1_node")
    rows = {(row[4], row[6], row[7]): row[8:10] for row in found.rows}
    # Of each GPU: 7 gaps without graphs, 80 us; with them 5 between nodes, 2 us, and 2 at launches.
    assert rows["off", "0", "its launch came late"] == ("7", "80")
    assert rows["on", "1", "between nodes of a graph"] == ("5", "2")


def test_what_every_gpu_does_adds_up_to_its_iteration(traced: Gathered) -> None:
    found = table(ranks.build(traced), "traces").data
    parts = found["useful_ms"] + found["wait_ms"] + found["idle_ms"]
    assert parts.round(6).tolist() == found["iter_median_ms"].tolist()
    assert "idle (%)" not in table(ranks.build(traced), "traces").columns


def test_gpus_that_look_unlike_though_they_do_the_same_are_named(tmp_path: Path, traced: Gathered) -> None:
    assert one(ranks.build(traced)).leads == ()
    table_of_ranks = table(ranks.build(traced), "traces").data
    unlike = table_of_ranks[table_of_ranks["graphs"] == "off"].assign(idle_ms=[0.08, 0.01], wait_ms=[0.0, 0.07])
    (lead,) = ranks.leads(unlike)
    assert lead == (
        "vLLM, llama3-8b, TP2, batch 1, graphs off: GPU 0 idles 0.0800 of 0.115 ms, GPU 1 only 0.0100 ms, though it "
        "does the same work: for 0.0700 ms it waits for others inside collectives."
    )


def test_a_launch_is_split_into_its_call_and_the_rest(traced: Gathered) -> None:
    (lead,) = one(hosts.build(traced)).leads
    # 7 launches in 115 us; a call takes 4 us.
    assert lead.startswith(
        "vLLM, llama3-8b, TP2, batch 1, graphs off: 7 launches an iteration, 16.4 us of the host each, of which 4 us"
    )


def test_groups_of_kernels_and_kernels_are_set_beside_each_other(traced: Gathered) -> None:
    section = one(kernels.build(traced))
    assert column(table(section, "differences"), "attention (us)") == ["5 / 5"]
    # They are the same ones, and take as long.
    assert "kernels" not in {found.name for found in section.tables}


def test_predictions_stand_beside_what_was_measured_with_the_model_named(traced: Gathered) -> None:
    section = one(predictions.build(traced))
    assert column(table(section, "predictions"), "measured (ms)") == ["4", "8", "8"]
    assert column(table(section, "predictions"), "predicted") == [
        "on, from off", "off, from on, launches of this configuration", "off, from on alone",
    ]  # fmt: skip
    assert [lead.partition(": ")[0] for lead in section.leads] == [
        "Graphs on, PREDICTED from traces with graphs off",
        "Graphs off, PREDICTED from traces with graphs on, launches calibrated by the trace with graphs off of that "
        "very configuration",
        "Graphs off, PREDICTED from traces with graphs on alone, launches as recorded of that engine in other "
        "configurations, those of that host too",
    ]
    [graphic] = section.graphics
    assert len(graphic.figure.axes) == 2
    assert any(note.startswith("Not predictable from a trace with graphs on alone") for note in section.notes)
    assert "the model that ships was asked" in section.notes[0]
    assert all("PREDICTED" in graphic.mark for graphic in section.graphics)


def test_a_gpu_without_known_figures_has_no_break_even(traced: Gathered) -> None:
    assert breakevens.build(traced) is None


def test_several_batches_are_drawn_by_batch_and_foretold_beyond(tmp_path: Path) -> None:
    for graphs, times_ms in (("off", {1: 10.0, 16: 10.0}), ("on", {1: 2.0, 16: 5.0})):
        made.measured(tmp_path, graphs, times_ms, resolved={"graphs": graphs})
    found = gathered(tmp_path)
    assert [graphic.name for graphic in one(iterations.build(found)).graphics] == ["batches_llama3-8b"]
    beyond = table(breakevens.build(found), "breakeven_batches")
    assert column(beyond, "off / on there, measured (ratio)") == ["2.00"]
    # A line through 2 ms at batch 1 and 5 ms at batch 16 meets 10 ms at 41.
    assert column(beyond, "PREDICTED GPU-bound from batch, a guess") == ["41"]


def test_what_is_not_claimed_is_left_out_of_break_evens_and_named_with_the_reason(tmp_path: Path) -> None:
    for graphs, times_ms in (("off", {1: 10.0, 16: 10.0}), ("on", {1: 2.0, 16: 5.0})):
        made.measured(tmp_path, graphs, times_ms, engine="hf", resolved={"graphs": graphs})
    section = one(breakevens.build(gathered(tmp_path)))
    beyond = table(section, "breakeven_batches")
    assert column(beyond, "PREDICTED GPU-bound from batch, a guess") == ["not claimed"]
    assert column(beyond, "off / on there, measured (ratio)") == ["2.00"]
    note = section.notes[-1]
    assert note.startswith("Left out: llama3-8b TP1. Not claimed: predictions are claimed of vLLM and SGLang alone")
    assert "graphs of HF transformers may hold" in note


def test_what_is_not_claimed_is_told_once_a_reason_with_what_predicting_makes_of_it() -> None:
    errors = [("hf", False, -0.72), ("sglang", True, 0.02), ("sglang", False, 0.17), ("hf", False, 0.19)]
    found = pd.DataFrame(errors, columns=["engine", "claimed", "error_ratio"])
    engine, mixture = predictions._not_claimed(found)
    assert "graphs of HF transformers may hold" in engine and engine.endswith("off by 72% at most.")
    assert "second stream" in mixture and mixture.endswith("off by 17% at most.")


def test_a_mixture_is_left_out_of_break_evens_and_named_with_the_reason(tmp_path: Path) -> None:
    for graphs, times_ms in (("off", {1: 10.0, 16: 10.0}), ("on", {1: 2.0, 16: 5.0})):
        made.measured(tmp_path, graphs, times_ms, model="qwen2-57b", resolved={"graphs": graphs})
    section = one(breakevens.build(gathered(tmp_path)))
    beyond = table(section, "breakeven_batches")
    assert column(beyond, "PREDICTED GPU-bound from batch, a guess") == ["not claimed"]
    note = section.notes[-1]
    assert note.startswith("Left out: qwen2-57b TP1. Not claimed: predictions are claimed of dense models alone")


def test_of_many_batches_only_the_ends_are_drawn_by_tp(tmp_path: Path) -> None:
    for tp in (1, 2):
        for graphs in ("off", "on"):
            made.measured(tmp_path, graphs, {1: 9.0, 8: 9.5, 32: 10.0}, tp=tp, resolved={"graphs": graphs})
    drawn = [graphic.name for graphic in one(iterations.build(gathered(tmp_path))).graphics]
    assert drawn == ["iteration_time_llama3-8b_b1", "iteration_time_llama3-8b_b32", "batches_llama3-8b"]


def test_many_comparisons_are_first_told_all_in_one(tmp_path: Path) -> None:
    """Graphs double the speed at three batches, change nothing at one and halve it at one."""
    for graphs, times in (("off", {1: 8.0, 2: 9.0, 4: 8.0, 8: 5.0, 16: 4.0}), ("on", {1: 4, 2: 3, 4: 4, 8: 5, 16: 8})):
        made.measured(tmp_path, graphs, {batch: float(ms) for batch, ms in times.items()}, resolved={"graphs": graphs})
    section = one(verdict.build(gathered(tmp_path)))
    first, *others = section.leads
    assert first == (
        "In 3 of 5 comparisons decoding is faster with CUDA graphs (2.00 to 3.00 times), in 1 slower; in 1 nothing "
        "beyond noise tells them apart."
    )
    assert len(others) == 1
    (told,) = column(table(section, "answer"), "off / on (ratio) by batch")
    assert [cell.partition(" [")[0] for cell in told.split("; ")] == [
        "1: 2.00", "2: 3.00", "4: 2.00", "8: 1.00", "16: 0.500",
    ]  # fmt: skip


def test_of_several_studies_the_short_table_takes_the_sweep_with_most_starts(tmp_path: Path) -> None:
    folders = []
    for name, off_ms, repeats in (("a", 8.0, 1), ("b", 12.0, 2)):
        for graphs, time_ms in (("off", off_ms), ("on", 4.0)):
            for repeat in range(1, repeats + 1):
                times = dict.fromkeys((1, 2, 4), time_ms)
                made.measured(tmp_path / name, graphs, times, repeat=repeat, resolved={"graphs": graphs})
        folders.append(write_study(tmp_path / name))
    (told,) = column(table(verdict.build(gather(folders)), "answer"), "off / on (ratio) by batch")
    assert [cell.partition(" [")[0] for cell in told.split("; ")] == ["1: 3.00", "2: 3.00", "4: 3.00"]


def test_the_first_sentence_counts_what_the_short_table_shows_and_says_what_it_does_not_count(tmp_path: Path) -> None:
    """Six batches of one study, two of which another measured too, faster still."""
    for name, batches, off_ms in (("a", (1, 2, 4, 8, 16, 32), 8.0), ("b", (1, 2), 12.0)):
        for graphs, time_ms in (("off", off_ms), ("on", 4.0)):
            made.measured(tmp_path / name, graphs, dict.fromkeys(batches, time_ms), resolved={"graphs": graphs})
    section = one(verdict.build(gather([write_study(tmp_path / name) for name in ("a", "b")])))
    (told,) = column(table(section, "answer"), "off / on (ratio) by batch")
    assert len(told.split("; ")) == 6
    assert section.leads[0] == (
        "In 6 of 6 comparisons decoding is faster with CUDA graphs (2.00 to 2.00 times), in 0 slower; in 0 nothing "
        "beyond noise tells them apart (2 more are of the same configuration and batch in another study: counted is "
        "the one of study.sweep with most starts)."
    )
    assert "（另有 2 组是别的 study" in zh(section.leads[0])


def test_many_studies_together_are_drawn_as_the_short_table_has_them_with_their_gpus(tmp_path: Path) -> None:
    folders = []
    for number, (gpu, off_ms) in enumerate(
        (("NVIDIA H200", 8.0), ("NVIDIA H200", 9.0), ("NVIDIA H100 80GB HBM3", 12.0))
    ):
        folder = tmp_path / f"study{number}"
        for tp in (1, 2, 4, 8, 16):
            for graphs, time_ms in (("off", off_ms), ("on", 4.0)):
                case = made.measured(folder, graphs, {1: time_ms}, tp=tp, resolved={"graphs": graphs})
                host = json.loads((case / "case.json").read_text())["host"]
                change_record(case, {"host": {**host, "gpu_name": gpu}})
        folders.append(write_study(folder))
    two, three = gather(folders[:2]), gather(folders)
    assert len(verdict.gains(two)) == 10
    drawn = verdict.gains(three)
    assert drawn[["gpu", "gain_ratio"]].drop_duplicates().to_numpy().tolist() == [["H200", 2.0], ["H100", 3.0]]
    assert len(drawn) == 10
    section = one(verdict.build(three))
    assert column(table(section, "answer"), "GPU") == ["H200", "H100"] * 5
    assert [lead.partition(")")[0] for lead in section.leads[1:3]] == [
        f"vLLM, llama3-8b, TP1 ({name}" for name in ("study0", "study2")
    ]
    assert len(section.leads) == 11 and len(column(table(section, "headline"), "TP")) == 15


def test_four_corners_of_graphs_and_compile_are_a_section_of_their_own(tmp_path: Path) -> None:
    times_ms = {("off", "off"): 12.0, ("off", "on"): 15.0, ("on", "off"): 5.0, ("on", "on"): 4.0}
    for (graphs, compiled), time_ms in times_ms.items():
        made.measured(tmp_path, graphs, {1: time_ms}, compiled=compiled, resolved={"graphs": graphs})
    found = gathered(tmp_path)
    section = one(apart.build(found))
    assert section.leads == (
        "vLLM, llama3-8b, TP1, batch 1: with neither 12 ms, with torch.compile alone 15 ms, with CUDA graphs alone "
        "5 ms, with both 4 ms.",
    )
    assert column(table(section, "switches"), "graphs, compiled (ratio)") == ["3.75"]
    assert iterations.build(found) is None


def test_three_corners_are_no_such_section(tmp_path: Path) -> None:
    for graphs, compiled in (("off", "off"), ("off", "on"), ("on", "off")):
        made.measured(tmp_path, graphs, {1: 5.0}, compiled=compiled, resolved={"graphs": graphs})
    found = gathered(tmp_path)
    assert apart.build(found) is None
    assert iterations.build(found) is not None


def test_the_cliff_is_told_where_batches_run_beyond_the_sizes_captured(tmp_path: Path) -> None:
    for graphs, times_ms in (("off", {16: 12.0, 17: 12.5}), ("on", {9: 4.1, 16: 4.2, 17: 12.0})):
        made.measured(tmp_path, graphs, times_ms, captured=[8, 16], resolved={"graphs": graphs})
    section = one(capacity.build(gathered(tmp_path)))
    assert section.leads[-1] == (
        "vLLM, llama3-8b, TP1: the largest batch with a graph is 16; from batch 16 to 17 an iteration goes from 4.20 "
        "to 12 ms."
    )
    assert column(table(section, "cliff"), "graphs off, above (ms)") == ["12.5"]


def test_what_graphs_cost_is_told_beyond_half_a_thousandth(tmp_path: Path) -> None:
    for graphs, tokens in (("off", 100_000), ("on", 98_000)):
        resolved = {"graphs": graphs, "kv_tokens": tokens, **({"capture_s": 3.0} if graphs == "on" else {})}
        made.measured(tmp_path, graphs, {1: 5.0}, resolved=resolved)
    section = one(capacity.build(gathered(tmp_path)))
    assert "the KV cache holds 98.0 % of the tokens" in section.leads[0]
    assert column(table(section, "capacity"), "capture (s)") == ["3"]


def test_serving_is_drawn_by_rate_and_tabulated(tmp_path: Path) -> None:
    for graphs, gap_us in (("off", 10_000), ("on", 5_000)):
        made.serving(tmp_path, graphs, gap_us)
    found = gathered(tmp_path)
    assert verdict.gains(found)[["at", "gain_ratio"]].round(6).to_numpy().tolist() == [["4 requests/s", 2.0]]
    section = one(serving.build(found))
    assert [graphic.name for graphic in section.graphics] == ["load_llama3-8b"]
    assert column(table(section, "serving"), "TPOT p50 (ms)") == ["10 / 5"]
    assert column(table(section, "serving"), "TTFT p50 (ms)") == ["20 / 20"]


def test_a_study_that_only_served_has_a_sentence_a_figure_and_a_table_first(tmp_path: Path) -> None:
    for graphs, gap_us in (("off", 10_000), ("on", 5_000)):
        made.serving(tmp_path, graphs, gap_us)
    found = gathered(tmp_path)
    section = one(verdict.build(found))
    assert section.leads[0].startswith("vLLM, llama3-8b, TP1 serving 4 requests/s: turn on; ")
    assert [block.name for block in section.blocks] == ["gain", "answer_served"]
    told = table(section, "answer_served")
    assert [column(told, name) for name in ("load", "verdict", "TPOT off / on (ratio)")] == [
        ["4 requests/s"], ["turn on"], ["2.00"],
    ]  # fmt: skip
    (graphic,) = section.graphics
    assert "by engine, TP and load (without intervals, which take two pairs of starts)" in graphic.alt
    assert section.notes[0].startswith("TPOT off / on is over pairs of starts")
    assert verdict.first_table(found).rows == told.rows


def test_a_load_that_lacks_a_half_has_no_verdict(tmp_path: Path) -> None:
    made.serving(tmp_path, "off", 10_000)
    section = one(verdict.build(gathered(tmp_path)))
    assert column(table(section, "answer_served"), "verdict") == ["-"]
    assert column(table(section, "answer_served"), "TPOT off / on (ratio)") == ["-"]


@pytest.mark.parametrize(
    ("lows", "told"),
    [
        ([1.9, 1.8], ", with intervals"),
        ([1.9, math.nan], ", with intervals but for loads with a single pair of starts"),
        ([math.nan], " (without intervals, which take two pairs of starts)"),
    ],
)
def test_a_figure_says_of_intervals_no_more_than_it_has(lows: list[float], told: str) -> None:
    assert verdict._intervals(pd.DataFrame({"gain_low_ratio": lows})) == told


def test_an_engine_that_is_new_to_the_report_is_shown_like_the_others(tmp_path: Path) -> None:
    for graphs, time_ms in (("off", 30.0), ("on", 10.0)):
        made.measured(tmp_path, graphs, {1: time_ms}, engine="hf", resolved={"graphs": graphs})
    assert (
        one(verdict.build(gathered(tmp_path))).leads[0].startswith("HF transformers, llama3-8b, TP1: on: 3.00x faster")
    )


def test_what_does_not_count_is_listed_with_its_reason_and_is_absent_where_all_counts(tmp_path: Path) -> None:
    case = made.measured(tmp_path, "on", {1: 5.0}, resolved={"graphs": "on"})
    assert excluded.build(gathered(tmp_path)) is None
    change_record(case, {"outcome": "failed", "reason": "out of memory"})
    found = table(excluded.build(gathered(tmp_path)), "excluded")
    assert [row[1:3] for row in found.rows] == [("FAILED", "out of memory")]


@pytest.mark.parametrize(
    ("content", "outcome"),
    [({}, "NOT RUN YET"), ({"recording": {"host": "a", "date": "2026-11-21", "note": ""}}, "NOT RECORDED")],
)
def test_a_planned_case_may_still_be_run_but_not_in_a_recording(
    tmp_path: Path, content: dict[str, Any], outcome: str
) -> None:
    made.measured(tmp_path, "on", {1: 5.0}, resolved={"graphs": "on"})
    found = table(excluded.build(gathered(tmp_path, planned=["to_come"], **content)), "excluded")
    assert [row[:2] for row in found.rows] == [("to_come", outcome)]


def test_a_figure_names_only_the_studies_that_it_shows(tmp_path: Path) -> None:
    for name, engine in (("first", "vllm"), ("second", "sglang")):
        for graphs in ("off", "on"):
            made.measured(tmp_path / name, graphs, {1: 5.0}, engine=engine, resolved={"graphs": graphs})
        for case in (tmp_path / name / "cases").iterdir():
            asked = json.loads((case / "case.json").read_text())["asked"]
            change_record(case, {"asked": {**asked, "model": f"model-{name}"}})
    both = gather([write_study(tmp_path / name) for name in ("first", "second")])
    drawn = one(iterations.build(both)).graphics
    marks = {graphic.name: [text.get_text() for text in graphic.figure.texts] for graphic in drawn}
    assert any("(first)" in text for text in marks["iteration_time_model-first_b1"])
    assert not any("(second)" in text for text in marks["iteration_time_model-first_b1"])


def test_sizes_that_are_no_numbers_mark_no_cliff(tmp_path: Path) -> None:
    resolved = {"graphs": "on", "capture_sizes": ["1 to 16", None]}
    made.measured(tmp_path, "on", {1: 5.0, 64: 6.0}, resolved=resolved)
    found = gathered(tmp_path)
    assert found.windows["captured_batch"].isna().all()
    assert capacity.cliffs(found.countable).empty


def test_a_figure_that_shows_one_of_two_sources_names_that_one_alone(tmp_path: Path) -> None:
    for name in ("first", "second"):
        for graphs in ("off", "on"):
            write_case(tmp_path / name, graphs=graphs, traced_graphs=graphs)
    both = gather([write_study(tmp_path / name) for name in ("first", "second")])
    (graphic,) = one(paths.build(both)).graphics
    assert any("(first)" in text.get_text() for text in graphic.figure.texts)
    assert not any("(second)" in text.get_text() for text in graphic.figure.texts)
    assert set(graphic.table.data["study"]) == {"first"}
    assert set(table(paths.build(both), "paths").data["study"]) == {"first", "second"}


def test_a_gpu_that_spins_for_another_is_shown_as_waiting_not_as_working(tmp_path: Path) -> None:
    case = write_case(tmp_path, graphs="off", tp=2, traced_graphs="off")
    with sqlite3.connect(case / "trace_b1.sqlite") as db:
        # The first GPU begins its all-reduce 8 us early, and ends it with the other.
        early = "demangledName = (SELECT id FROM StringIds WHERE value = 'all_reduce') AND deviceId = 0"
        db.execute(f"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET start = start - 8000 WHERE {early}")
    db.close()
    found = table(ranks.build(gathered(tmp_path)), "traces")
    assert column(found, "waiting (ms)") == ["0.00800", "0"]
    assert column(found, "useful (ms)") == ["0.0350", "0.0350"]
    assert column(found, "last to arrive (%)") == ["0", "100"]


def test_of_many_studies_loads_are_left_to_their_own_figure_and_no_study_is_named(gathered: Gathered) -> None:
    assert len(gathered.served)
    drawn = verdict.gains(gathered)
    assert all(at.startswith("batch ") for at in drawn["at"]) and drawn["at"].nunique() <= 12
    assert not drawn.duplicated(["engine", "compile", "settings", "model", "split", "tp", "gpu", "at"]).any()


def test_figures_by_batch_say_which_study_they_show_where_several_measured(tmp_path: Path) -> None:
    for name, tps in (("first", (1, 2)), ("second", (1,))):
        for tp in tps:
            for graphs in ("off", "on"):
                made.measured(tmp_path / name, graphs, {1: 5.0, 8: 6.0}, tp=tp, resolved={"graphs": graphs})
    folders = [write_study(tmp_path / name) for name in ("first", "second")]
    (note,) = one(iterations.build(gather(folders))).notes
    assert note.endswith("every one: vLLM, llama3-8b, TP1 (first).") and note.startswith("Where several studies meas")
    assert "按 batch 的图只显示其中一项" in zh(note) and "vLLM，llama3-8b，TP1" in zh(note)
    assert one(iterations.build(gather(folders[:1]))).notes == ()


def test_figures_of_one_batch_leave_no_study_out_and_say_nothing(tmp_path: Path) -> None:
    for name in ("first", "second"):
        for graphs in ("off", "on"):
            made.measured(tmp_path / name, graphs, {1: 5.0}, resolved={"graphs": graphs})
    assert one(iterations.build(gather([write_study(tmp_path / name) for name in ("first", "second")]))).notes == ()


def test_figures_by_load_say_which_study_they_show_where_several_served(tmp_path: Path) -> None:
    for name in ("first", "second"):
        for graphs, gap_us in (("off", 10_000), ("on", 5_000)):
            made.serving(tmp_path / name, graphs, gap_us)
    folders = [write_study(tmp_path / name) for name in ("first", "second")]
    note, *_ = one(serving.build(gather(folders))).notes
    assert note == (
        "Where several studies served one configuration, figures show one of them, and the table below them all: "
        "vLLM, llama3-8b, TP1 (first)."
    )
    assert not any("several studies" in note for note in one(serving.build(gather(folders[:1]))).notes)
