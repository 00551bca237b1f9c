"""Verdicts on published figures and rules: by pairs made by hand, and by the recordings."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import predict, published
from analysis.pairs import Pair
from analysis.recordings import open_study
from tests.analysis import studies
from tests.analysis.test_pairs import made


@pytest.fixture(scope="module")
def recorded(pairs_of: Callable[..., list[Pair]]) -> list[Pair]:
    return pairs_of("h200x4-2026-11-21")


@pytest.fixture(scope="module")
def rows(recorded: list[Pair]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in published.figures(recorded, predict.recorded())}


def test_every_published_row_has_a_verdict_and_a_reason(rows: dict[str, dict[str, Any]], root: Path) -> None:
    assert len(rows) == len((root / "data" / "published.csv").read_text().splitlines()) - 1
    verdicts = {published.CONSISTENT, published.NOT_EXPLAINED, published.NO_MATTER}
    assert {row["verdict"] for row in rows.values()} <= verdicts
    assert all(row["reason"] for row in rows.values())


def test_a_4090_that_gains_nothing_at_tp1_is_consistent(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["r1"]["verdict"] == published.CONSISTENT
    assert rows["r1"]["predicted"]["bound"] == "gpu"
    assert rows["r1"]["reason"].startswith("graphs gain nothing, as foretold")


def test_an_a800_with_37_ms_is_not_explained_by_what_it_is_able_to_do(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["r3"]["verdict"] == published.NOT_EXPLAINED
    assert "graphs off 37 ms, PREDICTED" in rows["r3"]["reason"]
    assert rows["r3"]["predicted"]["graphs_off_ms"]["high"] < 37


def test_a_mixture_stands_for_no_dense_model(recorded: list[Pair], rows: dict[str, dict[str, Any]]) -> None:
    [first] = [pair for pair in recorded if pair.key[:4] == ("vllm", "llama3-8b", 1, 1)]
    mixture = replace(first, key=("vllm", "qwen2-57b", *first.key[2:]))
    found = {row["id"]: row for row in published.figures([mixture, *recorded], predict.recorded())}
    assert found == rows


def test_serving_without_batch_sizes_cannot_discriminate(rows: dict[str, dict[str, Any]]) -> None:
    serving = [row for row in rows.values() if "serving" in str(row["workload"])]
    assert len(serving) == 10
    assert {row["verdict"] for row in serving} == {published.NO_MATTER}
    assert all(row["predicted"] is None for row in serving)


def test_what_no_recording_is_like_cannot_discriminate(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["r2"]["verdict"] == published.NO_MATTER
    assert rows["r2"]["reason"].startswith("no recording of hf at TP1, but nothing is foretold of it: predictions are")
    assert rows["r14"]["reason"] == "GPU or batch size is not reported"
    assert rows["r18"]["reason"] == "latency of forward: no decode step"


def test_rules_are_held_against_the_gains_of_the_kernels_they_are_about(tmp_path: Path) -> None:
    """Kernels of 5 us, gains of 3 and 9; timed without a trace: 3 at TP1, 1 at TP2, 9 at TP4, unclaimed."""
    small = replace(made(0), gain_ratio=3.0)
    for tp, off_ms in ((1, 3.0), (2, 1.0), (4, 9.0)):
        for graphs, time_ms in (("off", off_ms), ("on", 1.0)):
            studies.write_case(tmp_path, engine="hf", tp=tp, graphs=graphs, tpot_ms=[time_ms])
    timed = [("here", open_study(studies.write_study(tmp_path)))]
    found = {rule["rule"]: rule for rule in published.rules([small, replace(small, gain_ratio=9.0)], timed)}
    short = found["kernels shorter than 100 us: 2 to 5 times as fast"]
    assert (short["configurations"], short["held"], short["verdict"]) == (2, 1, "holds in part")
    assert (short["measured_gain_low"], short["measured_gain_high"]) == (3.0, 9.0)
    assert found["kernels longer than 10 ms: less than 1.1 times"]["verdict"] == "not recorded"
    nothing = found["TP1 and TP2 gain nothing"]
    assert (nothing["verdict"], nothing["held_by"]) == ("holds in part", ["here hf llama3-8b TP2 b1"])
    assert nothing["not_held_by"] == ["here hf llama3-8b TP1 b1"]
    assert found["TP4 and TP8 gain"]["verdict"] == "holds"
    shown = list(published.lines({"figures": [], "rules": [nothing]}))
    assert shown[1:] == ["    holds for here hf llama3-8b TP2 b1"]


def test_a_batch_beyond_the_captured_sizes_holds_no_rule_of_graphs(tmp_path: Path) -> None:
    for batch in (16, 17):
        for graphs in ("off", "on"):
            case = studies.write_case(tmp_path, graphs=graphs, batch=batch, repeat=batch, tpot_ms=[5.0])
            asked = json.loads((case / "case.json").read_text())["asked"]
            studies.change_record(case, {"asked": {**asked, "captured": [8, 16]}})
    *_, nothing, _ = published.rules([], [("here", open_study(studies.write_study(tmp_path)))])
    assert nothing["held_by"] == ["here vllm llama3-8b TP1 b16"]


def test_what_contradicts_its_label_holds_no_rule(tmp_path: Path) -> None:
    for graphs in ("off", "on"):
        studies.write_case(tmp_path, graphs=graphs, tpot_ms=[5.0], resolved={"graphs": "off"})
    *_, nothing, _ = published.rules([], [("here", open_study(studies.write_study(tmp_path)))])
    assert nothing["verdict"] == "not recorded"


def test_a_figure_outside_its_interval_is_not_explained() -> None:
    foretold = {
        "graphs_off_ms": {"value": 10.0, "low": 9.0, "high": 11.0},
        "graphs_on_ms": {"value": 5.0, "low": 4.0, "high": 6.0},
        "bound": "launch",
        "ratio": {"value": 2.0, "low": 1.5, "high": 3.0},
    }
    judge = published._verdict
    assert judge({"graphs_off": 10.5, "graphs_on": 5.5}, foretold)[0] == published.CONSISTENT
    assert judge({"graphs_off": 12.0, "graphs_on": 5.5}, foretold)[0] == published.NOT_EXPLAINED
    assert judge({"graphs_off": 10.5, "graphs_on": None}, foretold)[0] == published.NOT_EXPLAINED
    assert "against what is foretold" in judge({"graphs_off": 12.0, "graphs_on": 12.0}, foretold)[1]
