"""transfer, breakeven and published as a user meets them."""

import json
from pathlib import Path

import pytest

from analysis import pairs
from analysis.__main__ import main
from tests import traces
from tests.analysis import studies
from tests.analysis.test_pairs import made


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for graphs, ms in (("off", 10.0), ("on", 4.0)):
        studies.write_case(tmp_path, graphs=graphs, tpot_ms=[ms])
    studies.write_study(tmp_path)
    monkeypatch.setattr(pairs, "recorded", lambda folder: ([made(0), made(1)], []))
    return str(tmp_path)


def test_a_trace_is_foretold_on_another_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(traces.recorded("vllm", 1, "off"))
    assert main(["transfer", path, "--to", "rtx4090", "--models", "llama3-8b", "qwen2.5-7b", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["from"], found["to"], found["model"], found["mark"]) == ("h200", "rtx4090", "qwen2.5-7b", "PREDICTED")
    assert found["bound"] == "gpu"
    assert main(["transfer", path, "--to", "rtx4090", "--tp", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  PREDICTED: graphs off ")
    assert lines[-1] == "  assumed: the engine launches the same operations"


def test_another_host_and_another_memory_are_foretold(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(traces.recorded("vllm", 1, "off"))
    found = {}
    for name, flags in {"here": [], "host": ["--host", "0.5"], "memory": ["--memory", "2"]}.items():
        assert main(["transfer", path, *flags, "--json"]) == 0
        [found[name]] = json.loads(capsys.readouterr().out)
    here, host, memory = (found[name] for name in ("here", "host", "memory"))
    assert (here["from"], here["to"]) == ("h200", "h200")
    assert host["graphs_off_ms"]["value"] == pytest.approx(here["graphs_off_ms"]["value"] / 2, rel=0.01)
    assert host["graphs_on_ms"]["value"] == pytest.approx(here["graphs_on_ms"]["value"], rel=0.01)
    assert memory["graphs_off_ms"]["value"] == pytest.approx(here["graphs_off_ms"]["value"])
    assert memory["graphs_on_ms"]["value"] < 0.7 * here["graphs_on_ms"]["value"]
    with pytest.raises(SystemExit):
        main(["transfer", path, "--host", "0"])
    assert "--host: found '0', expected a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["breakeven", "published", "fit"])
def test_a_study_given_twice_is_refused(command: str, study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, study, f"{study}/."]) == 1
    assert "given twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{on}", "--to", "a800"], f"{traces.recorded('vllm', 1, 'on')}: a trace with graphs; expected one without"),
        (["{off}", "--to", "a800", "--tp", "3"], "TP3; expected one of 1, 2, 4, 8"),
        (["{off}", "--to", "a800", "--models", "llama3-8b", "gpt-2"], "no model 'gpt-2'"),
        (["{off}x", "--to", "a800"], "offx"),
    ],
)
def test_what_cannot_be_foretold_is_said_in_a_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    on, off = (traces.recorded("vllm", 1, graphs) for graphs in ("on", "off"))
    assert main(["transfer", *(text.format(on=on, off=off) for text in arguments)]) == 1
    shown = capsys.readouterr().err
    assert said.replace("offx", "sqlite.xzx") in shown
    assert shown.count("\n") == 1


def test_break_evens_are_printed_and_drawn(study: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "map.png"
    assert main(["breakeven", study, "--figure", str(figure)]) == 0
    heading, first, *_ = capsys.readouterr().out.splitlines()
    columns = ["GPU", "PREDICTED break-even, us a launch", "recorded host, us", "PREDICTED for it"]
    assert [column.strip() for column in heading.split("  ") if column.strip()] == columns
    assert first.split()[:5] == ["vllm", "llama", "TP1", "b0", "h200"]
    assert figure.read_bytes().startswith(b"\x89PNG")
    for other, said in (("no/map.png", "cannot be written (there is no such folder)"), ("map.pdf", "ends in .png")):
        assert main(["breakeven", study, "--figure", str(tmp_path / other)]) == 1
        assert said in capsys.readouterr().err
    assert main(["breakeven", study, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["launches"]) == 8
    assert found["left_out"] == []


def test_what_is_not_claimed_has_no_break_even_and_is_named(
    study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pairs, "recorded", lambda folder: ([made(0), made(3, engine="hf")], []))
    assert main(["breakeven", study, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["engine"] for row in found["launches"]} == {"vllm"}
    assert [(row["engine"], row["claimed"]) for row in found["left_out"]] == [("hf", False)]
    assert main(["breakeven", study]) == 0
    assert "left out: made hf llama TP1 b3, not claimed\n" in capsys.readouterr().out
    for only, why in (
        (made(3, engine="hf"), "predictions are claimed of vLLM and SGLang alone"),
        (made(3, experts=True), "predictions are claimed of dense models alone"),
    ):
        monkeypatch.setattr(pairs, "recorded", lambda folder, only=only: ([only], []))
        assert main(["breakeven", study]) == 1
        shown = capsys.readouterr().err
        assert why in shown and shown.count("\n") == 1


def test_of_what_is_recorded_but_not_claimed_nothing_is_foretold(
    study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pairs, "recorded", lambda folder: ([made(1, engine="hf")], []))
    assert main(["published", study, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["id"]: row for row in found["figures"]}
    assert rows["r2"]["reason"].startswith("hf is recorded at TP1, but nothing is foretold of it: predictions are ")
    assert rows["r2"]["predicted"] is None
    # By kernels of 5 us: a pair of transformers counts in what is measured. By TP: what the study timed.
    short, *_, small, wide = found["rules"]
    assert short["not_held_by"] + short["held_by"] == ["made hf llama TP1 b1"]
    assert (small["configurations"], wide["configurations"]) == (1, 0)


def test_published_figures_and_rules_are_printed(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["published", study]) == 0
    shown = capsys.readouterr().out
    assert "r4 RTX 4090 sglang qwen2-7b tp1: published off / on 5006 / 5029 tok/s: cannot discriminate" in shown
    assert "rule: TP4 and TP8 gain: not recorded (0 of 0 recorded)" in shown


def test_a_study_without_pairs_says_so(
    study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pairs, "recorded", lambda folder: ([], []))
    assert main(["breakeven", study]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "error: no pair of graphs off and on, traced and untraced, of a dense model by vllm or sglang in "
    )
