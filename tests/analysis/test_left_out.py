"""A trace that was left out: its account tells what the trace told, wherever its numbers stand, and says what it is."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from analysis import (
    Study,
    differences,
    evidence,
    evidence_tables,
    headline,
    left_out,
    pairs,
    sections,
    timeline,
    verdict,
)
from analysis.__main__ import main
from analysis.errors import TraceError
from analysis.gathered import Gathered, gather
from analysis.language import zh
from analysis.recordings import open_study
from analysis.summary import summarise
from study import publish
from tests.analysis import studies

RECORDING = "h200x8-2026-11-20"
OFF, ON = (f"llama3-8b_vllm_tp1_graphs-{graphs}_trace-node_r1" for graphs in ("off", "on"))
MARK = "node (trace left out)"
pytestmark = pytest.mark.usefixtures("one_processor")


@pytest.fixture(scope="module")
def there(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One configuration of a recording that ships, with both its traces."""
    whole, part = root / "data" / "recordings" / RECORDING, tmp_path_factory.mktemp("recording") / "mine"
    for case in (whole / "cases").glob("llama3-8b_vllm_tp1_*"):
        shutil.copytree(case, part / "cases" / case.name)
    for name in ("study.json", "recording.json"):
        shutil.copy(whole / name, part / name)
    return part


@pytest.fixture(scope="module")
def gone(there: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without its traces."""
    part = tmp_path_factory.mktemp("left out") / "mine"
    assert publish.main([str(there), str(part), "--leave-out", f"{OFF},{ON}"]) == 0
    return part


@pytest.fixture(scope="module")
def whole(there: Path) -> Gathered:
    return gather([there])


@pytest.fixture(scope="module")
def told(gone: Path) -> Gathered:
    return gather([gone])


def test_an_account_is_what_the_command_prints_of_the_trace(
    root: Path, there: Path, gone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = json.loads((root / "analysis" / "summary.schema.json").read_text(encoding="utf-8"))
    for case in (OFF, ON):
        trace, account = there / "cases" / case / "trace_b1.sqlite.xz", gone / "cases" / case / "trace_b1.json"
        assert main([str(trace), "--json"]) == 0
        [printed] = json.loads(capsys.readouterr().out)
        written = json.loads(account.read_text(encoding="utf-8"))
        jsonschema.validate(written, schema)
        assert written == [{**printed, "name": f"{case} b1"}]
        assert not account.with_name("trace_b1.sqlite.xz").exists()
    assert open_study(gone).traces["left_out"].tolist() == [True, True]


@pytest.mark.parametrize("table", ["rank_table", "path_table", "fitness_table", "labels"])
def test_every_table_of_traces_has_the_numbers_that_it_has_of_the_trace(
    whole: Gathered, told: Gathered, table: str
) -> None:
    before, after = (getattr(evidence_tables, table)(one.evidence) for one in (whole, told))
    assert len(before) == len(after) >= (0 if table == "fitness_table" else 2)
    assert after.drop(columns="left_out", errors="ignore").equals(before.drop(columns="left_out", errors="ignore"))
    if table != "labels":
        assert not before["left_out"].any() and after["left_out"].all()


def test_what_an_account_failed_of_is_told_with_what_to_do(gathered: Gathered) -> None:
    """Of all recordings: that of Qwen2.5-72B without graphs has iterations in bursts."""
    failed = evidence_tables.fitness_table(gathered.evidence)
    mine = failed[failed["left_out"] & (failed["model"] == "qwen2.5-72b")]
    assert mine[["graphs", "check"]].to_numpy().tolist() == [["off", "stationary"]]
    assert mine["remedy"].item().startswith("record a longer window")


def test_the_overhead_of_tracing_and_what_graphs_saved_are_told_too(whole: Gathered, told: Gathered) -> None:
    overheads, saved = zip(
        *(
            (
                evidence_tables.tracing_overhead(one.evidence, headline.per_configuration(one.countable)),
                evidence_tables.difference_table(one.evidence),
            )
            for one in (whole, told)
        ),
        strict=True,
    )
    assert overheads[0].drop(columns="left_out").equals(overheads[1].drop(columns="left_out"))
    assert len(overheads[1]) == 2 and overheads[1]["traced_iter_ms"].notna().all()
    assert saved[0].drop(columns="left_out").equals(saved[1].drop(columns="left_out"))
    assert len(saved[1]) > 3 and saved[1]["left_out"].all()
    off, on = sorted(whole.evidence, key=lambda one: dict(one.about)["graphs"])
    kernel_by_kernel = differences.by_group(differences.between(off.kernels, on.kernels))
    for half in ("off_us", "on_us"):
        assert saved[1].set_index("group")[half].to_dict() == pytest.approx(
            kernel_by_kernel.set_index("group")[half].to_dict(), abs=1e-5
        )


def test_what_takes_the_trace_itself_does_not_have_it(told: Gathered) -> None:
    assert evidence_tables.kernel_table(told.evidence).empty
    assert evidence_tables.cause_table(told.evidence).empty
    assert told.curves.empty
    jobs = [job for name, study in told.studies for job in evidence.jobs(study, name)]
    assert timeline.chosen(jobs, told.evidence, {"mine": "RECORDED"}) == []


def test_the_report_marks_it_and_says_the_same_sentences_in_both_languages(whole: Gathered, told: Gathered) -> None:
    found = {section.id: section for section in sections.every(told)}
    before = {section.id: section for section in sections.every(whole)}
    assert before.keys() - found.keys() == {"timeline", "gaps", "predictions", "breakeven"} & before.keys()
    for name, at in (("paths", "paths"), ("ranks", "traces"), ("hosts", "hosts"), ("kernels", "differences")):
        table = next(table for table in found[name].tables if table.name == at)
        marks = [row[table.columns.index("tracing")] for row in table.rows]
        assert set(marks) == {MARK} and zh(marks[0]) == "node（trace 未收录）"
        [note] = [
            note for note in found[name].notes if note.startswith("Trace left out; account made by this analysis")
        ]
        assert zh(note).startswith("trace 未收录")
        assert [str(lead) for lead in found[name].leads] == [str(lead) for lead in before[name].leads]
        assert not [text for text in before[name].notes if "left out" in text]


def test_a_case_is_shown_by_its_account_which_says_so(
    there: Path, gone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for folder in (there, gone):
        assert main([str(folder / "cases" / OFF)]) == 0
        shown.append(capsys.readouterr().out.splitlines())
    assert shown[1][0] == shown[0][0].replace(" b1:", " b1 (trace left out; account made by this analysis before):")
    assert shown[1][1:] == shown[0][1:]


def test_what_asks_for_the_trace_is_told_in_a_line_that_it_was_left_out(
    gone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = gone / "cases" / OFF / "trace_b1.json"
    said = f"error: {account}: the account of a trace that was left out of its recording; expected the trace; take "
    for command in (["predict", str(account.parent)], ["compare", str(account.parent), str(gone / "cases" / ON)]):
        assert main(command) == 1
        shown = capsys.readouterr()
        assert shown.err.startswith(said) and shown.err.count("\n") == 1 and not shown.out.strip()
    found, refused = pairs.recorded(gone)
    assert found == [] and refused[0].startswith(f"{account}: the account of a trace that was left out") and refused[1:]
    with pytest.raises(TraceError, match="left out of its recording"):
        Study.open(gone).frames(OFF)


def test_a_notebook_has_the_account_in_its_tables(gone: Path, whole: Gathered) -> None:
    study = Study.open(gone)
    assert study.traces["left_out"].all()
    assert study.critical_paths["wall_ms"].tolist() == evidence_tables.path_table(whole.evidence)["wall_ms"].tolist()


def test_the_verdict_names_what_was_left_out_and_proves_labels_by_accounts(gone: Path, tmp_path: Path) -> None:
    [one] = verdict.verdicts(open_study(gone))["configurations"]
    assert (one["verdict"], one["doubts"], one["questions"]) == ("turn on", [], [])
    assert one["traces_left_out"] == [f"{OFF} b1", f"{ON} b1"]
    lines = list(verdict.lines({"configurations": [one]}))
    assert lines[-1] == f"  traces left out, by which no question is answered: {OFF} b1, {ON} b1"
    unmeasured = shutil.copytree(gone, tmp_path / "unmeasured")
    shutil.rmtree(unmeasured / "cases" / ON.replace("node", "off"))
    [one] = verdict.verdicts(open_study(unmeasured))["configurations"]
    assert (one["by_batch"], one["predicted_by_batch"]) == ([], [])
    swapped = tmp_path / "mine"
    shutil.copytree(gone, swapped)
    shutil.copy(swapped / "cases" / OFF / "trace_b1.json", swapped / "cases" / ON / "trace_b1.json")
    [one] = verdict.verdicts(open_study(swapped))["configurations"]
    assert one["doubts"] == [f"{ON}: labelled graphs on, traced off"]
    assert [one.proof for one in gather([swapped]).evidence] == ["proven", "contradicted"]


def test_half_of_a_pair_may_be_left_out(there: Path, gone: Path, tmp_path: Path, whole: Gathered) -> None:
    half = tmp_path / "mine"
    shutil.copytree(there, half)
    shutil.rmtree(half / "cases" / ON)
    shutil.copytree(gone / "cases" / ON, half / "cases" / ON)
    found = gather([half])
    assert evidence_tables.path_table(found.evidence)["left_out"].tolist() == [False, True]
    saved = evidence_tables.difference_table(found.evidence)
    assert saved["on_us"].equals(evidence_tables.difference_table(whole.evidence)["on_us"])
    assert saved["left_out"].all() and evidence_tables.kernel_table(found.evidence).empty
    assert set(found.curves["graphs"]) == {"off"} and found.curves["gap_us"].dtype == "float64"
    [one] = verdict.verdicts(open_study(half))["configurations"]
    assert len(one["questions"]) == 5 and one["traces_left_out"] == [f"{ON} b1"]
    [pair], [refused] = pairs.recorded(half)
    assert pair.on is None and "left out" in refused


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{}", r"a\.json: not the account of a trace \(.*\); copy it again"),
        ("[1]", r"a\.json: not the account of a trace"),
        ("[{}, {}]", r"a\.json: not the account of a trace"),
        ('["refused"]', r"a\.json: not the account of a trace"),
        ('[["refused"]]', r"a\.json: not the account of a trace"),
        ('[{"name": "a"}]', r"a\.json: not the account of a trace \(it lacks graphs, iterations, .*\); copy it again"),
        ('[{"refused": "trace_b0.sqlite: no decode step"}]', r"^trace_b0\.sqlite: no decode step$"),
    ],
)
def test_what_is_no_account_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(TraceError, match=reason):
        summarise(tmp_path / "a.json")


def test_an_entry_names_the_trace_or_its_account() -> None:
    assert left_out.file_of({"batch": 1, "file": "trace_b1.sqlite"}) == "trace_b1.sqlite"
    assert left_out.file_of({"batch": 1, "file": None, "account": "trace_b1.json"}) == "trace_b1.json"
    assert left_out.file_of({"batch": 1, "file": None}) is None


def test_an_entry_that_names_neither_is_told_of(gone: Path, tmp_path: Path) -> None:
    study = shutil.copytree(gone, tmp_path / "study")
    record = json.loads((study / "cases" / OFF / "case.json").read_text())
    studies.change_record(study / "cases" / OFF, {"files": {**record["files"], "traces": [{"batch": 1, "file": None}]}})
    with pytest.raises(TraceError, match="names no traces for a case that succeeded"):
        gather([study])
    assert main([str(study / "cases" / OFF)]) == 1
    assert publish.main([str(study), str(tmp_path / "again")]) == 1


def test_accounts_and_traces_are_told_apart_by_their_files() -> None:
    assert left_out.is_account(Path("trace_b1.json")) and not left_out.is_account(Path("trace_b1.sqlite.xz"))
