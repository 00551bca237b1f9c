"""What the report says of two studies: written to disk, gathered, and put into words."""

import os
from pathlib import Path
from typing import Any

import pytest

from analysis import gathered
from analysis.blocks import Section
from analysis.sections import changes
from tests.analysis.studies import HOST, write_case, write_study


@pytest.fixture(autouse=True)
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def study(folder: Path, off: list[float], on: list[float], **changes: Any) -> Path:
    for graphs, times_ms in (("off", off), ("on", on)):
        for repeat, time_ms in enumerate(times_ms, start=1):
            write_case(folder, graphs=graphs, repeat=repeat, tpot_ms=[time_ms] * 2, **changes)
    return write_study(folder)


def section(*folders: Path) -> Section:
    found = changes.build(gathered.gather(folders))
    assert found is not None
    return found


def test_a_change_beyond_noise_is_told_first_and_all_are_in_the_table(tmp_path: Path) -> None:
    first = study(tmp_path / "a", [10, 10.1, 10.2, 10.3], [4, 4.1, 4.2, 4.3])
    second = study(tmp_path / "b", [5, 5.1, 5.2, 5.3], [4.05, 4.15, 4.25, 4.1])
    found = section(first, second)
    assert found.title == "What changed from a to b"
    assert found.leads[0] == "Of 3 quantities that both measured 2 changed beyond noise, 1 stayed within noise."
    assert found.leads[1].startswith("Both ran on machines of one description")
    assert found.leads[3].startswith("vLLM, llama3-8b, TP1, batch 1, iteration (ms), graphs off: 10.1 → 5.15 (-49.3 [")
    (off, on, gain) = found.blocks[0].rows
    assert off[4:9] == ("iteration (ms), graphs off", "10.1", "5.15", "-49.3 [-51.5, -47.0]", "beyond noise")
    assert (on[8], gain[4], gain[9]) == ("within noise", "iteration time, off / on", "4 / 4")
    assert "some 0.1 would come out beyond noise" in found.notes[1]


def test_three_starts_apart_are_told_with_what_chance_does(tmp_path: Path) -> None:
    found = section(study(tmp_path / "a", [10, 11, 12], []), study(tmp_path / "b", [5, 6, 7], []))
    assert found.blocks[0].rows[0][8] == "apart, as chance alone has it in 10 %"
    assert found.leads[0].endswith("1 lie apart, but with too few starts to rule out chance.")


def test_different_machines_are_marked_and_listed(tmp_path: Path) -> None:
    first = study(tmp_path / "a", [10], [4])
    second = study(tmp_path / "b", [10], [4], host={**HOST, "cpu": "Other CPU", "driver": "590.1"})
    found = section(first, second)
    assert found.leads[1].startswith("DIFFERENT MACHINES (CPU Test CPU → Other CPU): what changed may be")
    rows = [("the machine", "CPU", "Test CPU", "Other CPU"), ("the software", "GPU driver", "580.1", "590.1")]
    assert list(found.blocks[1].rows) == rows


def test_what_differs_throughout_is_said_once_and_what_differs_in_a_row_beside_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, backend in ((first, "fa3"), (second, "triton")):
        resolved = {"graphs": "off", "dtype": f"of {backend}", "attention_backend": "fa3"}
        write_case(folder, graphs="off", tpot_ms=[9], resolved=resolved)
        write_case(
            folder, graphs="on", tpot_ms=[4], resolved={**resolved, "graphs": "on", "attention_backend": backend}
        )
    found = section(write_study(first), write_study(second))
    assert "Not the same in both, throughout: dtype of fa3 → of triton." in found.leads
    off, on, gain = found.blocks[0].cautions
    assert (off, on) == ("", "not the same in both: attention_backend fa3 → triton")
    assert gain == "not the same in both: attention_backend fa3 → fa3, triton"


def test_what_one_study_alone_measured_is_a_note(tmp_path: Path) -> None:
    found = section(study(tmp_path / "a", [9], []), study(tmp_path / "b", [], [4], tp=2))
    assert found.leads[0] == "Nothing was measured in both studies, so that nothing can be compared."
    assert found.notes[1:] == (
        "Measured in a alone: vLLM, llama3-8b, TP1: batch 1.",
        "Measured in b alone: vLLM, llama3-8b, TP2: batch 1.",
    )
    assert len(found.blocks[0].data) == 2 and not found.blocks[0].rows


def test_one_study_alone_or_three_are_not_compared(tmp_path: Path) -> None:
    folders = [study(tmp_path / name, [9], [4]) for name in "abc"]
    assert changes.build(gathered.gather(folders)) is None
    assert changes.build(gathered.gather(folders[:1])) is None
