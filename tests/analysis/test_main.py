"""`python -m analysis` as a user meets it."""

import json
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import given
from analysis.__main__ import main
from tests import traces


def _case(
    folder: Path,
    *,
    graphs: str = "off",
    files: tuple[str, ...] = ("trace_b1.sqlite",),
    traced: str = "off",
    step_ns: int = 100,
) -> Path:
    case = folder / "case"
    case.mkdir()
    for name in files:
        traces.decode(ranks=2, step_ns=step_ns, graphs=traced == "on").write(case / name)
    listed = [{"batch": int(name[7]), "file": name} for name in files]
    asked = {"graphs": graphs, "tp": 2, "traced_steps": 3}
    (case / "case.json").write_text(json.dumps({"name": "llama", "asked": asked, "files": {"traces": listed}}))
    return case


def test_the_table_has_a_line_for_the_trace_and_one_per_rank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(traces.decode(ranks=2, step_ns=100_000).write(tmp_path / "two.sqlite"))]) == 0
    shown = capsys.readouterr()
    header, steps, unfit, *others = shown.out.splitlines()
    assert header == "two: nsys 2025.3.2.0, TP2, graphs off, 5 iterations (5 dropped), 0.100 ms [0.100, 0.100]"
    assert steps.startswith("  steps: 11 decode; kept 5 of batch 1; left out 4 (first of the capture")
    assert unfit.startswith(
        "  unfit, no verdict: steady steps: 5 steady decode iterations; expected at least 16; record"
    )
    assert any(line.startswith("  critical path, us: 100 = compute ") for line in others)
    assert any(line.startswith("  idle + wait agrees over ranks within 0.0 points") for line in others)
    at = next(number for number, line in enumerate(others) if line.startswith("rank  GPU  median"))
    assert [line.split()[:3] for line in others[at + 1 : at + 3]] == [["0", "0", "0.100"], ["1", "1", "0.100"]]
    assert shown.err == ""


def test_a_trace_named_like_markup_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(traces.decode().write(tmp_path / "[bold]x.sqlite"))]) == 0
    assert capsys.readouterr().out.startswith("[bold]x: nsys")


def test_a_misspelled_command_is_told_from_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predct", "some.sqlite"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "error: predct: neither a file nor a command; the command may be predict\n")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("report", "python -m analysis.report"),
        ("help", "one of compare, predict, explain, fit, transfer, breake"),
    ],
)
def test_a_word_that_is_no_file_is_answered_with_the_commands(
    capsys: pytest.CaptureFixture[str], word: str, meant: str
) -> None:
    assert main([word, "some"]) == 1
    assert capsys.readouterr().err.startswith(
        f"error: {word}: neither a file nor a command; the command may be {meant}"
    )


def test_json_is_a_list_with_an_object_per_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = traces.decode().write(tmp_path / "a.sqlite")
    packed = tmp_path / "b.sqlite.xz"
    packed.write_bytes(lzma.compress(plain.read_bytes()))
    assert main(["--json", str(plain), str(packed)]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first.pop("name"), second.pop("name")) == ("a", "b")
    assert first == second


def test_a_bad_file_is_told_and_the_others_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = traces.decode().write(tmp_path / "good.sqlite")
    report = tmp_path / "bad.nsys-rep"
    report.write_bytes(b"\x01")
    assert main([str(report), str(good), str(tmp_path / "absent.sqlite")]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("good: ")
    first, second = shown.err.splitlines()
    assert "nsys export --type sqlite" in first
    assert second.endswith("absent.sqlite: no such file")


def test_a_case_folder_shows_all_its_traces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(_case(tmp_path, files=("trace_b1.sqlite", "trace_b2.sqlite"))), "--json"]) == 0
    summaries = json.loads(capsys.readouterr().out)
    assert [summary["name"] for summary in summaries] == ["llama b1", "llama b2"]
    assert [summary["contradictions"] for summary in summaries] == [[], []]


def test_a_trace_is_called_by_its_batch_but_not_one_of_serving() -> None:
    assert (given.called("case", 16), given.called("case_serve", 0)) == ("case b16", "case_serve")


def test_a_trace_that_contradicts_its_case_is_said_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(_case(tmp_path, graphs="on"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    why = "graphs are on by the label, but an iteration has 0 graph launches"
    said = [line for line in lines if "contradicts" in line]
    assert said == [f"  the trace contradicts the label: rank {rank}: {why}" for rank in (0, 1)]


def test_a_study_is_told_from_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.json").touch()
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: a study folder; expected a trace or the folder of a case, one of {tmp_path}/cases; for "
        f"the study: python -m analysis.report {tmp_path}\n"
    )


def test_a_folder_of_several_studies_or_cases_is_answered_with_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_studies, of_cases = tmp_path / "all of them", tmp_path / "cases"
    for name in ("one", "two", "three", "four"):
        (of_studies / name).mkdir(parents=True)
        (of_studies / name / "study.json").touch()
    of_cases.mkdir()
    _case(of_cases)
    assert main([str(of_studies), str(of_cases)]) == 1
    expected = "expected a trace or the folder of a case"
    assert capsys.readouterr().err.splitlines() == [
        f"error: {of_studies}: a folder of 4 studies (four, one, 2 more); {expected}, one of {of_studies}/*/cases; for "
        f"the studies: python -m analysis.report '{of_studies}'/* --out out/report",
        f"error: {of_cases}: a folder of 1 case (case); {expected}; name one of them",
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "a folder without case.json"),
        ("{", "not the record of a case"),
        ('{"name": "x"}', "not the record of a case ('files' is missing); measure it again"),
        ('{"name": "x", "asked": {}, "files": {"traces": []}}', "not the record of a case"),
        ('{"name": "x", "asked": {"graphs": "on", "tp": 1}, "files": {"traces": []}}', "the case has no trace"),
        (
            '{"name": "x", "asked": {"graphs": "on", "tp": 1}, "files": {"traces": [{"batch": 1, "file": "t.xz"}]}}',
            "t.xz: no such file",
        ),
    ],
)
def test_a_folder_that_is_no_traced_case_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: str | None, reason: str
) -> None:
    if record is not None:
        (tmp_path / "case.json").write_text(record)
    assert main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.splitlines()) == 1


def test_the_module_runs_and_its_exit_status_tells(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analysis", str(tmp_path / "absent.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path / 'absent.sqlite'}: no such file\n"


def _pair(folder: Path) -> list[str]:
    made = []
    for graphs in ("off", "on"):
        (folder / graphs).mkdir()
        made.append(str(_case(folder / graphs, graphs=graphs, traced=graphs, step_ns=100_000)))
    return made


def test_a_comparison_shows_what_it_says_and_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *_pair(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("off/case/llama b1 (off) beside on/case/llama b1 (on): TP2, batch ")
    assert "An iteration takes 100 us with graphs off and 100 us with graphs on (traced)." in shown
    assert next(line.split() for line in shown.splitlines() if line.startswith("GEMM "))[1:3] == ["1", "1"]
    assert "iteration_median_us" in shown


def test_a_comparison_as_json_is_a_list_with_an_object_per_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--json", *_pair(tmp_path)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["measures"][0] == {"quantity": "iteration_median_us", "off": 100, "on": 100, "saved": 0}
    # With five steps a trace is unfit.
    assert found["separation"]["iteration"] is None


def test_traces_of_a_pair_are_matched_by_batch_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "off").mkdir()
    (tmp_path / "on").mkdir()
    off = _case(tmp_path / "off", files=("trace_b1.sqlite", "trace_b2.sqlite"))
    on = _case(
        tmp_path / "on", graphs="on", traced="on", files=("trace_b2.sqlite", "trace_b1.sqlite", "trace_b3.sqlite")
    )
    assert main(["compare", str(off), str(on), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [(pair["off"]["name"], pair["on"]["name"]) for pair in found]
    case = ("off/case/llama", "on/case/llama")
    assert names == [(f"{case[0]} b1", f"{case[1]} b1"), (f"{case[0]} b2", f"{case[1]} b2")]


def test_traces_named_alike_are_told_apart_by_their_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = [tmp_path / folder / "trace_b1.sqlite" for folder in ("here", "there")]
    for path, ranks in zip(pair, (1, 2), strict=True):
        path.parent.mkdir()
        traces.decode(ranks=ranks, graphs=path is pair[1]).write(path)
    assert main(["compare", *map(str, pair)]) == 1
    assert capsys.readouterr().err.startswith(
        "error: here/trace_b1 has 1 rank and there/trace_b1 2 ranks; expected as many"
    )
    assert main(["compare", *map(str, reversed(pair))]) == 1
    assert capsys.readouterr().err.startswith("error: there/trace_b1: graphs are on")


@pytest.mark.parametrize("arguments", [["off", "off"], ["on", "on"], ["on", "off"], ["off", "absent.sqlite"]])
def test_what_cannot_be_compared_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    given = dict(zip(("off", "on"), _pair(tmp_path), strict=True))
    assert main(["compare", *(given.get(name, name) for name in arguments)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path: Path) -> None:
    path = traces.decode().write(tmp_path / "a.sqlite")
    command = f"{sys.executable} -m analysis --json {' '.join([str(path)] * 20)} | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "[\n  {\n    "
    assert done.stderr == ""


def test_a_fit_trace_has_nothing_to_say_about_its_fitness(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(traces.recorded("vllm", 4, "on"))]) == 0
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith(("  unfit", "  note"))]


def test_what_is_not_known_of_unseen_graphs_is_a_dash_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(traces.unseen().write(tmp_path / "a.sqlite"))]) == 0
    shown = capsys.readouterr().out
    assert "TP1, graphs on" in shown
    assert "unfit, no verdict: graph nodes: the calls alone" in shown
    assert "critical path" not in shown
    assert "over ranks" not in shown
    assert re.search(r"^ *0 +0( +[\d.]+){3}( +-){4}$", shown, re.MULTILINE)
