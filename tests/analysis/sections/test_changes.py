"""What the report says of two studies: written to disk, gathered, and put into words."""

import os
from pathlib import Path
from typing import Any

import pytest

from analysis import gathered
from analysis.blocks import Section, Table
from analysis.language import zh
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


def tables(found: Section) -> dict[str, Table]:
    return {table.name: table for table in found.tables}


def test_three_starts_of_each_of_two_layouts_tell_what_neither_tells_alone(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, shorter in zip(folders, (1, 2), strict=True):
        for tp, times_ms in ((1, (10, 11, 12)), (2, (20, 22, 24))):
            for repeat, time_ms in enumerate(times_ms, start=1):
                write_case(folder, graphs="off", tp=tp, repeat=repeat, tpot_ms=[time_ms / shorter])
        write_study(folder)
    found = section(*folders)
    assert found.leads[0].endswith(
        "iteration (ms), graphs off: -50.0 [-54.5, -45.0] %, beyond noise, over TP1, TP2 together."
    )
    assert [row[8][:5] for row in tables(found)["changed"].rows] == ["apart"] * 2


def test_a_change_beyond_noise_is_told_first_and_all_are_in_the_table(tmp_path: Path) -> None:
    first = study(tmp_path / "a", [10, 10.1, 10.2, 10.3], [4, 4.1, 4.2, 4.3])
    second = study(tmp_path / "b", [5, 5.1, 5.2, 5.3], [4.05, 4.15, 4.25, 4.1])
    found = section(first, second)
    assert found.title == "What changed from a to b"
    gain, off, each, machines = found.leads
    assert gain.startswith("vLLM, llama3-8b, iteration time, off / on: -49.")
    assert (
        off == "vLLM, llama3-8b, iteration (ms), graphs off: -49.3 [-51.5, -47.0] %, beyond noise, over TP1 together."
    )
    assert each == "One by one, of 3 quantities that both measured 2 changed beyond noise, 1 stayed within noise."
    assert machines.startswith("Both ran on machines of one description")
    (off, on, gain) = tables(found)["changed"].rows
    assert off[4:9] == ("iteration (ms), graphs off", "10.1", "5.15", "-49.3 [-51.5, -47.0]", "beyond noise")
    assert (on[8], gain[4], gain[9]) == ("within noise", "iteration time, off / on", "4 / 4")
    assert "Of 6 comparisons with enough starts some 0.2 would come out beyond noise" in found.notes[1]


def test_three_starts_apart_are_told_with_what_chance_does(tmp_path: Path) -> None:
    found = section(study(tmp_path / "a", [10, 11, 12], []), study(tmp_path / "b", [5, 6, 7], []))
    assert tables(found)["changed"].rows[0][8] == "apart, as chance alone has it in 10 %"
    assert found.leads[0] == (
        "vLLM, llama3-8b, iteration (ms), graphs off: -45.5 [-58.3, -30.0] %, over TP1 together: all starts lie apart, "
        "but they are so few that chance alone has it in 10 %."
    )
    assert zh(found.leads[0]).endswith("但启动次数太少，仅凭偶然也有 10 % 的概率如此。")
    assert found.leads[1].endswith("1 lie apart, but with too few starts to rule out chance.")


def test_what_few_starts_cannot_show_is_not_said_to_be_unchanged(tmp_path: Path) -> None:
    few = section(study(tmp_path / "a", [10, 11, 12], []), study(tmp_path / "b", [10.5, 11.5, 12.5], []))
    assert few.leads[0].endswith("it cannot be told whether anything changed: there are too few starts.")
    assert [row[4] for row in tables(few)["changed_overall"].rows] == ["cannot be told"]
    enough = [10, 11, 12, 13], [10.5, 11.5, 12.5, 11.4]
    whole = section(*(study(tmp_path / name, times, []) for name, times in zip("cd", enough, strict=True)))
    assert whole.leads[0] == "Taken together over layouts and loads, nothing changed beyond noise."
    halves = [study(tmp_path / name, times, [4, 5]) for name, times in zip("ef", enough, strict=True)]
    assert "of 2 of 3 quantities it cannot be told" in section(*halves).leads[0]


def test_what_both_were_measured_on_is_told_once(tmp_path: Path) -> None:
    found = section(study(tmp_path / "a", [9], []), study(tmp_path / "b", [9], []))
    assert {table.mark for table in found.tables} == {"MEASURED HERE 2026-11-21, 2x Test GPU"}


def test_different_machines_are_marked_and_listed(tmp_path: Path) -> None:
    first = study(tmp_path / "a", [10], [4])
    second = study(tmp_path / "b", [10], [4], host={**HOST, "cpu": "Other CPU", "driver": "590.1"})
    found = section(first, second)
    assert found.leads[2].startswith("DIFFERENT MACHINES (CPU Test CPU → Other CPU): what changed may be")
    rows = [("the machine", "CPU", "Test CPU", "Other CPU"), ("the software", "GPU driver", "580.1", "590.1")]
    assert list(tables(found)["changed_environment"].rows) == rows


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
    off, on, gain = tables(found)["changed"].cautions
    assert (off, on) == ("", "not the same in both: attention_backend fa3 → triton")
    assert gain == "not the same in both: attention_backend fa3 → fa3, triton"


def test_what_one_study_alone_measured_is_a_note(tmp_path: Path) -> None:
    found = section(study(tmp_path / "a", [9], []), study(tmp_path / "b", [], [4], tp=2))
    assert found.leads[0] == "Nothing was measured in both studies, so that nothing can be compared."
    assert found.notes[1:] == (
        "Measured in a alone: vLLM, llama3-8b, TP1: batch 1.",
        "Measured in b alone: vLLM, llama3-8b, TP2: batch 1.",
    )
    (table,) = found.blocks
    assert len(tables(found)["changed"].data) == 2 and not tables(found)["changed"].rows and table.name == "changed"


def test_one_study_alone_or_three_are_not_compared(tmp_path: Path) -> None:
    folders = [study(tmp_path / name, [9], [4]) for name in "abc"]
    assert changes.build(gathered.gather(folders)) is None
    assert changes.build(gathered.gather(folders[:1])) is None
