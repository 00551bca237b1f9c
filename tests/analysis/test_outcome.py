"""How a sweep ends on a terminal: verdict first, tables that fit, and what is left out named."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis import load_verdict, outcome
from analysis.gathered import Gathered, gather
from analysis.sections import verdict
from tests.analysis.studies import write_case, write_study

RECORDING = {"host": "2x Test GPU", "date": "2026-11-21", "note": "made for a test"}


def _study(folder: Path, batches: int = 1, **content: object) -> Gathered:
    for batch in range(1, batches + 1):
        for graphs, tpot_ms in (("off", 8.0), ("on", 4.0)):
            write_case(folder, graphs=graphs, tpot_ms=[tpot_ms] * 2, repeat=batch, batch=batch)
    return gather([write_study(folder, **content)])


@pytest.mark.parametrize("width", [80, 100])
def test_the_recorded_study_ends_in_lines_that_fit_the_terminal(gathered: Gathered, width: int) -> None:
    lines = outcome.lines(gathered, width)
    assert max(map(len, lines)) <= width
    marks = lines.index("")
    assert lines[0].startswith("RECORDED 2026-11-20 to 2026-11-22 on ") and marks <= 4
    assert lines[marks + 1].startswith("Decoding is faster with CUDA graphs in ")
    # As the page counts: of a configuration in several studies one.
    assert f" of {len(verdict.compared(gathered))} comparisons" in " ".join(lines[marks + 1 : marks + 3])
    heading = next(number for number, line in enumerate(lines) if line.startswith("engine "))
    assert heading <= 18
    loads = len(load_verdict.verdicts(gathered.served))
    last = " ".join(line.strip() for line in lines[-4:])
    assert "Left out here, in the report: the batches between, " in last and f" {loads} loads" in last
    assert " comparisons of another study's configurations, " in last


def test_every_pinned_configuration_has_a_row_whatever_the_width_and_others_are_counted(gathered: Gathered) -> None:
    gains = verdict.gains(gathered)
    every = gains[["gpu", "engine", "compile", "settings", "model", "split", "tp"]].drop_duplicates()
    pinned = every[every["settings"] == "pinned"]
    for width in (80, 100, None):
        lines = outcome.lines(gathered, width)
        table = lines[next(at for at, line in enumerate(lines) if line.startswith("engine ")) :]
        assert sum("[" in line for line in table) == len(pinned)
        assert f"{len(every) - len(pinned)} configurations not pinned" in " ".join(lines)


def test_what_no_gain_was_found_for_is_named_with_its_interval(tmp_path: Path) -> None:
    times_ms = {1: (8.0, 4.0), 2: (8.0, 4.0), 4: (8.0, 4.0), 8: (4.0, 8.0), 16: (4.0, 4.0), 32: (8.0, None)}
    for batch, each in times_ms.items():
        for graphs, tpot_ms in zip(("off", "on"), each, strict=True):
            if tpot_ms:
                windows = [tpot_ms * 0.9, tpot_ms * 1.1] if batch == 16 else [tpot_ms] * 2
                write_case(tmp_path, graphs=graphs, tpot_ms=windows, repeat=batch, batch=batch)
    lines = outcome.lines(gather([write_study(tmp_path)]))
    assert lines[2:6] == [
        "Decoding is faster with CUDA graphs in 3 of 5 comparisons, 2.00 times.",
        "Slower with graphs: 1 (vLLM, llama3-8b, TP1 at batch 8: 0.500 [0.500, 0.500]).",
        "No difference beyond noise: 1 (vLLM, llama3-8b, TP1 at batch 16: 1.00 [0.818, 1.22]).",
        "No answer, for graphs on or off was not measured: 1 (vLLM, llama3-8b, TP1 at batch 32).",
    ]


def test_loads_that_were_served_are_told_in_a_line(gathered: Gathered) -> None:
    found = [one["verdict"] for one in load_verdict.verdicts(gathered.served)]
    (line,) = [line for line in outcome.lines(gathered) if line.startswith("Serving: ")]
    assert f"turn on at {found.count('turn on')}" in line and f"of {len(found)} loads; a token takes " in line
    assert line.endswith(" times as long with graphs off.")


def test_a_row_that_another_program_measured_is_marked(gathered: Gathered) -> None:
    lines = outcome.lines(gathered)
    assert {line.split("  ")[0] for line in lines if " TP8 *  " in line} == {"vLLM", "SGLang"}
    assert "* measured by probe script (nsys attached, not capturing)" in lines


def test_the_readme_shows_lines_that_are_printed(gathered: Gathered, root: Path) -> None:
    printed = "\n".join(outcome.lines(gathered, 100))
    block = (root / "README.md").read_text().partition("Replaying the recorded study:")[2].partition("```")[0]
    shown = [line for line in block.splitlines()[1:] if line != "..." and not line.startswith("Report: ")]
    assert len(shown) > 4
    assert [line for line in shown if line.removesuffix("...") not in printed] == []


def test_a_small_study_is_told_in_its_own_sentences(tmp_path: Path) -> None:
    found = _study(tmp_path / "small", recording=RECORDING)
    lines = outcome.lines(found)
    assert lines[0] == found.mark
    assert lines[2 : lines.index("", 2)] == list(verdict.leads(found))
    assert "engine  model          batch  off / on" in lines
    assert "vLLM    llama3-8b TP1  1      2.00 [2.00, 2.00]" in lines
    assert lines[-1].startswith("Left out here, in the report: times and starts behind each ratio, cautions about 1 ")


def test_many_batches_are_shown_by_their_ends(tmp_path: Path) -> None:
    lines = outcome.lines(_study(tmp_path / "large", batches=13), 80)
    assert "vLLM    llama3-8b TP1  1: 2.00 [2.00, 2.00]  13: 2.00 [2.00, 2.00]" in lines
    assert "Decoding is faster with CUDA graphs in 13 of 13 comparisons, 2.00 times." in lines


def test_a_study_without_an_answer_says_so_and_has_no_table(tmp_path: Path) -> None:
    write_case(tmp_path / "traced", graphs="on", traced_graphs="on")
    lines = outcome.lines(gather([write_study(tmp_path / "traced")]), 80)
    assert "No answer: nothing was measured with tracing off." in lines
    assert not [line for line in lines if line.startswith("engine")]


def test_names_beyond_a_few_are_counted(gathered: Gathered) -> None:
    rows = gathered.pairs[gathered.pairs["gain_ratio"] > 0].drop_duplicates(["engine", "model", "tp", "compile"])
    (line,) = outcome._listed("Slower", rows)
    assert line.startswith(f"Slower: {len(rows)} (") and line.endswith(f"; and {len(rows) - 3} more).")


def test_studies_that_were_recorded_and_measured_here_are_told_apart() -> None:
    def source(word: str, host: str) -> SimpleNamespace:
        facts = (("GPU", "x"), ("driver", "580"), ("nsys", f"1, {host}"))
        return SimpleNamespace(word=word, host=host, date="2026-11-20 to 2026-11-21", facts=facts, mark="")

    sources = [source("RECORDED", "1x A"), source("MEASURED HERE", "1x B"), source("RECORDED", "2x A")]
    assert outcome._marks(sources) == [
        "RECORDED 2026-11-20 to 2026-11-21 on 1x A, 2x A (2 studies): driver 580, nsys 1, 1x A, 2x A",
        "MEASURED HERE 2026-11-20 to 2026-11-21 on 1x B (1 study): driver 580, nsys 1, 1x B",
    ]
