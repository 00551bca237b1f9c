"""Published figures beside recorded ones: of studies made by hand, and of the recordings."""

import json
from pathlib import Path
from typing import Any

import pytest

from analysis import reproduced
from analysis.recordings import Study, open_study
from tests.analysis.studies import change_record, write_case, write_study


def by_id(*studies: tuple[str, Study]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in reproduced.rows(studies)}


def study(folder: Path, model: str = "llama3-8b", off_ms: float = 12.0, **changes: Any) -> Study:
    """vLLM at TP1, one start of each half."""
    for graphs, tpot_ms in (("off", off_ms), ("on", 5.0)):
        case = write_case(folder, graphs=graphs, tpot_ms=[tpot_ms], **changes)
        record = json.loads((case / "case.json").read_text())
        change_record(case, {"asked": {**record["asked"], "model": model}})
    return open_study(write_study(folder))


def test_a_decode_step_stands_beside_the_published_one_of_its_engine_and_layout(tmp_path: Path) -> None:
    row = by_id(("here", study(tmp_path, model="qwen2.5-7b")))["r1"]
    assert (row["published_off"], row["published_on"]) == (15.8, 15.8)
    assert (row["measured_off"], row["measured_on"], row["unit"]) == (12.0, 5.0, "ms")
    assert (row["measured_gpu"], row["study"], row["why"]) == ("Test GPU", "here", None)


def test_another_model_is_named_with_what_is_missing(tmp_path: Path) -> None:
    row = by_id(("here", study(tmp_path)))["r1"]
    assert (row["measured_off"], row["measured_model"]) == (12.0, "llama3-8b")
    assert row["why"] == "qwen2.5-7b is not recorded"


def test_the_same_model_counts_before_another_and_a_start_without_profiler_before_a_probe(tmp_path: Path) -> None:
    other = study(tmp_path / "a", off_ms=11.0)
    probe = study(tmp_path / "b", model="qwen2.5-7b", off_ms=13.0, made_by="probe script")
    same = study(tmp_path / "c", model="qwen2.5-7b", off_ms=12.0)
    assert by_id(("a", other), ("b", probe))["r1"]["study"] == "b"
    assert by_id(("a", other), ("b", probe), ("c", same))["r1"]["study"] == "c"


def test_what_was_not_recorded_says_so_and_how_many_gpus_it_would_take(tmp_path: Path) -> None:
    rows = by_id(("here", study(tmp_path)))
    assert rows["r2"]["why"] == "not recorded" and rows["r2"]["measured_off"] is None
    assert rows["r12"]["why"] == "not recorded: tp4pp2 needs 8 GPUs, recorded hosts had 2"


def compiled_apart(folder: Path, engine: str, corners: dict[tuple[str, str], float]) -> Study:
    """A start for each corner of torch.compile and graphs, with its iteration time in ms."""
    for repeat, ((compiled, graphs), tpot_ms) in enumerate(corners.items(), start=1):
        case = write_case(folder, engine=engine, graphs=graphs, repeat=repeat, tpot_ms=[tpot_ms])
        record = json.loads((case / "case.json").read_text())
        change_record(case, {"asked": {**record["asked"], "compile": compiled}})
    return open_study(write_study(folder))


def test_vllms_own_switch_is_where_compilation_goes_with_graphs(tmp_path: Path) -> None:
    corners = {("off", "off"): 13.0, ("on", "on"): 6.0, ("on", "off"): 17.0, ("off", "on"): 7.0}
    row = by_id(("here", compiled_apart(tmp_path, "vllm", corners)))["r1"]
    assert (row["measured_off"], row["measured_on"]) == (13.0, 6.0)


def test_of_transformers_plain_generate_counts_which_has_one_half(tmp_path: Path) -> None:
    corners = {("off", "off"): 30.0, ("engine", "off"): 50.0, ("engine", "on"): 31.0}
    row = by_id(("here", compiled_apart(tmp_path, "hf", corners)))["r2"]
    assert (row["measured_off"], row["measured_on"], row["published_off"]) == (30.0, None, 18.1)


def test_half_a_configuration_is_none(tmp_path: Path) -> None:
    write_case(tmp_path, graphs="on", tpot_ms=[5.0])
    assert by_id(("here", open_study(write_study(tmp_path))))["r1"]["why"] == "not recorded"


def test_a_start_that_resolved_the_other_graphs_does_not_count(tmp_path: Path) -> None:
    found = study(tmp_path)
    change_record(tmp_path / "cases" / next(iter(found.records)), {"resolved": {"graphs": "neither"}})
    assert by_id(("here", open_study(tmp_path)))["r1"]["why"] == "not recorded"


@pytest.fixture(scope="module")
def served(root: Path) -> dict[str, dict[str, Any]]:
    name = "h200x2-serve-2026-11-21"
    return by_id((name, open_study(root / "data" / "recordings" / name)))


def test_serving_stands_beside_the_published_rate_in_the_published_units(served: dict[str, dict[str, Any]]) -> None:
    tokens, ttft = served["r4"], served["r5"]
    assert (tokens["measured_off"], tokens["measured_on"]) == pytest.approx((1125.1, 1589.1), abs=0.1)
    assert (ttft["measured_off"], ttft["measured_on"]) == pytest.approx((0.0458, 0.0262), abs=1e-4)
    assert (ttft["measured_model"], ttft["why"]) == ("qwen2-7b", None)
    assert served["r6"]["why"] == served["r8"]["why"] == "not recorded"


def test_figures_of_other_engines_and_of_no_decode_step_are_left_to_their_verdicts(
    served: dict[str, dict[str, Any]],
) -> None:
    assert list(served) == [f"r{number}" for number in range(1, 14)]


def test_the_lines_say_theirs_ours_and_on_what(served: dict[str, dict[str, Any]]) -> None:
    lines = list(reproduced.lines([served["r4"], served["r2"]]))
    assert lines[0].startswith("r4 RTX 4090 sglang qwen2-7b tp1, ShareGPT serving at 11 req/s: published off / on 5006")
    assert lines[1].strip() == "measured 1125 / 1589 tok/s on NVIDIA H200, qwen2-7b: h200x2-serve-2026-11-21"
    assert lines[2].split(": published off / on ")[1] == "18.1 / - ms (decode_iteration)"
    assert lines[3].strip() == "not recorded"
