"""The net verdict of small studies whose every number is chosen here, and of a recording."""

import json
from pathlib import Path
from typing import Any

import pytest

from analysis import claims, headline, verdict
from analysis.recordings import open_study
from tests.analysis import studies
from tests.analysis.test_served import folder

__all__ = ["folder"]

CAPTURED = {"graphs": "on", "kv_tokens": 900, "capture_s": 2.0, "graph_gib": 0.5}


def study(folder: Path, off_ms: list[float], on_ms: list[float], **resolved: Any) -> Path:
    studies.write_case(folder, graphs="off", tpot_ms=off_ms)
    if on_ms:
        studies.write_case(folder, graphs="on", tpot_ms=on_ms, resolved=CAPTURED | resolved)
    return studies.write_study(folder)


def found(folder: Path) -> dict[str, Any]:
    [one] = verdict.verdicts(open_study(folder))["configurations"]
    return one


@pytest.mark.parametrize(
    ("off_ms", "on_ms", "said", "sizes"),
    [
        ([10.0, 11.0, 12.0], [5.0, 5.5, 6.0], "turn on", [1]),
        ([5.1, 5.6, 6.1], [5.2, 5.5, 5.8], "undecided", []),
        ([5.0, 5.4, 6.0], [5.2, 5.5, 5.8], "undecided", []),
        ([5.0, 5.1, 5.2], [6.0, 6.1, 6.2], "turn off", []),
    ],
)
def test_the_interval_of_the_gain_decides(
    tmp_path: Path, off_ms: list[float], on_ms: list[float], said: str, sizes: list[int]
) -> None:
    one = found(study(tmp_path, off_ms, on_ms))
    assert (one["verdict"], one["capture_sizes"]) == (said, sizes)
    [row] = one["by_batch"]
    assert row["measured_gain"]["value"] == pytest.approx(off_ms[1] / on_ms[1])
    assert row["measured_gain"]["low"] == pytest.approx(off_ms[0] / on_ms[2])


def test_batches_that_lose_need_no_graph_but_a_load_that_loses_leaves_it_open(tmp_path: Path) -> None:
    for repeat, (batch, off_ms, on_ms) in enumerate([(1, 10.0, 5.0), (64, 20.0, 30.0)], start=1):
        for graphs, time_ms in (("off", off_ms), ("on", on_ms)):
            studies.write_case(tmp_path, graphs=graphs, repeat=repeat, batch=batch, tpot_ms=[time_ms] * 3)
    one = found(studies.write_study(tmp_path))
    assert [row["verdict"] for row in one["by_batch"]] == ["turn on", "turn off"]
    assert (one["verdict"], one["capture_sizes"]) == ("turn on", [1])
    on, off = {"verdict": "turn on"}, {"verdict": "turn off"}
    assert verdict._overall([on], [off]) == verdict._overall([off], [on, off]) == "undecided"
    assert verdict._overall([off], [off]) == "turn off"
    assert verdict._overall([], []) == "undecided"


def test_costs_are_what_the_engine_said_and_what_it_lost(tmp_path: Path) -> None:
    cost = found(study(tmp_path, [10.0] * 3, [5.0] * 3))["cost"]
    assert (cost["capture_s"], cost["graph_gib"]) == (2.0, 0.5)
    # 1,000 tokens of KV cache without graphs, 900 with; 5 ms saved a step.
    assert cost["kv_lost_ratio"] == pytest.approx(0.1)
    assert cost["pays_after_steps"] == pytest.approx(400)
    assert cost["kept_gain"] == pytest.approx(2 * 0.9)


def test_what_graphs_do_not_save_never_pays(tmp_path: Path) -> None:
    assert found(study(tmp_path, [5.0] * 3, [5.0] * 3))["cost"]["pays_after_steps"] is None


def test_costs_that_nobody_recorded_are_not_known(tmp_path: Path) -> None:
    cost = found(study(tmp_path, [10.0] * 3, [5.0] * 3, kv_tokens=None, capture_s=None, graph_gib=None))["cost"]
    assert [cost[name] for name in ("capture_s", "graph_gib", "kv_lost_ratio", "pays_after_steps")] == [None] * 4
    assert cost["kept_gain"] is None


def test_half_of_the_runs_is_enough_for_a_foretold_verdict(tmp_path: Path) -> None:
    studies.write_case(tmp_path, graphs="off", traced_graphs="off")
    one = found(study(tmp_path, [10.0] * 3, []))
    assert one["by_batch"] == []
    [row] = one["predicted_by_batch"]
    assert (row["batch"], row["mark"]) == (1, "PREDICTED")
    assert set(row["predicted_gain"]) == {"value", "low", "high"}
    assert one["questions"]


@pytest.mark.parametrize("claimed", [False, True])
def test_a_prediction_decides_only_where_it_is_claimed(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], claimed: bool
) -> None:
    """Plain generate was measured without graphs alone; its launches are the longer side by far."""
    monkeypatch.setattr(claims, "CLAIMED", ("vllm", "sglang", *(["hf"] if claimed else [])))
    folder = root / "data" / "recordings" / "h100x1-hf-2026-11-21"
    configurations = {one["compile"]: one for one in verdict.verdicts(open_study(folder))["configurations"]}
    said = "turn on" if claimed else "undecided"
    assert {name: one["verdict"] for name, one in configurations.items()} == {
        "engine": "turn on", "off": said, "on": "turn on",
    }  # fmt: skip
    [row] = configurations["off"]["predicted_by_batch"]
    assert row["predicted_gain"]["low"] > 1
    assert (row["claimed"], row["verdict"], configurations["off"]["capture_sizes"]) == (claimed, said, [1] * claimed)
    assert verdict.main([str(folder)]) == 0
    assert capsys.readouterr().out.count("  not claimed: predictions are claimed of ") == int(not claimed)


def test_what_is_foretold_of_a_mixture_decides_nothing(tmp_path: Path) -> None:
    case = studies.write_case(tmp_path, graphs="off", traced_graphs="off")
    asked = json.loads((case / "case.json").read_text())["asked"]
    studies.change_record(case, {"asked": {**asked, "model": "qwen2-57b"}})
    one = found(studies.write_study(tmp_path))
    [row] = one["predicted_by_batch"]
    assert (row["claimed"], row["verdict"], one["verdict"]) == (False, "undecided", "undecided")
    assert f"  not claimed: {claims.why_not('vllm', True)}" in list(verdict.lines({"configurations": [one]}))


def test_what_was_measured_decides_beside_what_is_not_claimed(tmp_path: Path) -> None:
    studies.write_case(tmp_path, engine="hf", graphs="off", traced_graphs="off", batch=2)
    for graphs, time_ms in (("off", 5.0), ("on", 6.0)):
        studies.write_case(tmp_path, engine="hf", graphs=graphs, tpot_ms=[time_ms] * 3)
    one = found(studies.write_study(tmp_path))
    assert [row["batch"] for row in one["predicted_by_batch"]] == [2]
    assert one["verdict"] == "turn off"


def test_what_was_measured_is_not_foretold(tmp_path: Path) -> None:
    studies.write_case(tmp_path, graphs="off", traced_graphs="off")
    assert found(study(tmp_path, [10.0] * 3, [5.0] * 3))["predicted_by_batch"] == []


def test_a_label_that_the_engine_or_the_trace_contradicts_has_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one = found(study(tmp_path / "a", [10.0] * 3, [5.0] * 3, graphs="off"))
    assert one["verdict"] == "undecided"
    assert "asked for graphs on, the engine resolved off" in one["doubts"][0]
    studies.write_case(tmp_path / "b", graphs="on", traced_graphs="off")
    one = found(study(tmp_path / "b", [10.0] * 3, [5.0] * 3))
    assert one["doubts"][0].endswith("labelled graphs on, traced off")


def test_a_workload_has_its_own_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Served with one token every 10 and 5 ms.
    one = found(folder)
    [load] = one["by_load"]
    assert (load["rate"], load["verdict"]) == (4.0, "turn on")
    assert load["measured_gain"]["tpot_ms_p50"] == pytest.approx(2)
    assert one["verdict"] == "turn on"
    assert verdict.main([str(folder)]) == 0
    first, second, *others = capsys.readouterr().out.splitlines()
    # No batch was measured, so none is said to be worth a graph, or not to be.
    assert first == "vllm llama3-8b TP1: turn on"
    assert second == "  serving 4 requests/s (1 start): turn on: better median TPOT"
    assert "      median TPOT: off 10, on 5 ms" in others


def test_words_mark_what_is_foretold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studies.write_case(tmp_path, graphs="off", traced_graphs="off")
    assert verdict.main([str(study(tmp_path, [10.0] * 3, []))]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert next(line for line in shown if "PREDICTED" in line).startswith("  batch 1, PREDICTED: off ")
    measured = tmp_path / "measured"
    assert verdict.main([str(study(measured, [10.0] * 3, [5.0] * 3))]) == 0
    first, heading, row, *_ = capsys.readouterr().out.splitlines()
    assert first == "vllm llama3-8b TP1: turn on; sizes worth a graph: 1"
    assert "PREDICTED" not in heading + row
    assert row.split() == ["1", "10.0", "5.00", "2.00", "[2.00,", "2.00]", "turn", "on", "(1", "start)"]


def test_a_trace_taken_while_serving_is_of_no_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verdict, "_says", lambda gain: "turn on")
    studies.write_case(tmp_path, graphs="off", traced_graphs="off", batch=0)
    studies.write_case(tmp_path, graphs="on", traced_graphs="on", batch=0)
    studies.write_case(tmp_path, graphs="on", tpot_ms=[5.0] * 3, resolved=CAPTURED)
    one = found(studies.write_study(tmp_path))
    assert (one["cost"]["capture_s"], one["capture_sizes"]) == (2.0, [])
    # No batch was timed with both, so it is not known what a replay saves.
    assert one["questions"][-1]["answer"] == "not known"
    assert verdict.main([str(tmp_path)]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert "worth a graph" not in first
    assert second.startswith("  while serving, PREDICTED: off ")


def test_json_is_what_the_words_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict.main([str(study(tmp_path, [10.0] * 3, [5.0] * 3)), "--json"]) == 0
    [one] = json.loads(capsys.readouterr().out)["configurations"]
    assert (one["engine"], one["tp"], one["verdict"]) == ("vllm", 1, "turn on")


def test_what_is_no_study_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict.main([str(tmp_path)]) == 1
    assert "is not a study folder" in capsys.readouterr().err
    assert verdict.main([str(studies.write_study(tmp_path))]) == 1
    assert "holds neither times nor traces" in capsys.readouterr().err


def test_the_recorded_2x2_says_on_at_every_batch(root: Path) -> None:
    configurations = verdict.verdicts(open_study(root / "data" / "recordings" / "h200x1-2026-11-21"))["configurations"]
    assert [one["compile"] for one in configurations] == ["off", "on"]
    for one in configurations:
        assert (one["verdict"], one["capture_sizes"]) == ("turn on", [1, 8, 32, 128])
        assert one["cost"]["capture_s"] == 1.0
        assert one["cost"]["pays_after_steps"] < 200


def test_the_gain_is_the_one_that_the_report_gives(tmp_path: Path) -> None:
    folder = study(tmp_path, [8.0, 15.0, 10.0], [4.0, 5.0, 4.0])
    opened = open_study(folder)
    [row] = headline.gains(opened.windows.assign(study="here", made_by="")).to_dict("records")
    [measured] = found(folder)["by_batch"]
    assert list(measured["measured_gain"].values()) == [
        row[f"gain_{end}"] for end in ("ratio", "low_ratio", "high_ratio")
    ]
    assert row["gain_ratio"] == 2.5
