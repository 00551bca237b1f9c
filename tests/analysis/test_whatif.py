"""The commands that foretell, as a user meets them; predicted numbers carry their mark in everything they print."""

import json
from pathlib import Path

import pytest

from analysis import claims, pairs, predict
from analysis.__main__ import main
from tests import traces
from tests.analysis import studies
from tests.analysis.test_pairs import made


@pytest.fixture
def case(tmp_path: Path) -> Path:
    return studies.write_case(tmp_path, graphs="off", traced_graphs="off")


def test_a_trace_without_graphs_foretells_them(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(case), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["name"] == "llama3-8b_vllm_tp1_graphs-off_trace-node_r1 b1"
    assert {"graphs_on_ms", "bound", "ratio"} <= set(found)
    assert found["bound"] in ("launch", "gpu", "undecided")
    # 7 kernels of 5 us.
    assert found["traced"]["gpu_ms"] == pytest.approx(0.035)


def test_a_trace_with_graphs_foretells_launches_by_a_calibration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = studies.write_case(tmp_path, graphs="on", traced_graphs="on")
    file = tmp_path / "host.json"
    file.write_text(json.dumps({"of": "engine", "t_launch_us": {"value": 100, "low": 90, "high": 110}}))
    assert main(["predict", str(case), "--calibration", str(file), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["graphs_off_ms"] == {"value": 0.7, "low": 0.63, "high": 0.77}
    assert found["host_known_by"] == "calibration with the engine"


def test_a_short_run_without_graphs_is_a_calibration_too(capsys: pytest.CaptureFixture[str]) -> None:
    on, off = (str(traces.recorded("vllm", 1, graphs)) for graphs in ("on", "off"))
    assert main(["predict", on, "--calibration", off, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["host_known_by"] == "calibration with the engine"
    # Measured in that recording, untraced: 11.93 ms.
    assert found["graphs_off_ms"]["value"] == pytest.approx(11.93, rel=0.1)
    assert main(["predict", on, "--calibration", on]) == 1
    assert "no launches to calibrate by" in capsys.readouterr().err


def test_words_keep_predicted_and_traced_apart(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(case)]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.endswith("ms an iteration as traced")
    assert second.startswith("  PREDICTED, untraced: graphs on ")


def test_an_unfit_capture_is_doubted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(traces.decode().write(tmp_path / "few.sqlite"))]) == 0
    assert "  unfit, doubt it: steady steps: 5 steady decode iterations;" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{case}", "--calibration", "{tmp}/absent.json"], "absent.json: cannot be read"),
        (["{tmp}"], "a folder without case.json; expected a trace or the folder of a case"),
        (["{tmp}/absent.sqlite"], "absent.sqlite"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(
    case: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *(text.format(case=case, tmp=tmp_path) for text in arguments)]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_a_trace_that_is_read_but_tells_too_little_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    path = traces.steady("vllm_whole-graphs_tp1")
    assert main(["predict", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}: graphs were recorded whole")


def test_one_bad_trace_leaves_the_others(case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path / "absent.sqlite"), str(case), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_a_fit_of_too_little_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studies.write_study(tmp_path)
    assert main(["fit", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"error: no pair of graphs off and on, traced and untraced, of a dense model by vllm or sglang in {tmp_path}; "
        "give study folders that hold some\n"
    )


def test_a_fit_of_one_study_that_is_too_few_asks_for_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pairs, "recorded", lambda folder: ([made(number) for number in range(4)], ["x: unfit"]))
    assert main(["fit", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"left out: x: unfit\nerror: 4 pairs of graphs off and on, traced and untraced, in {tmp_path}: 4 errors; "
        "expected at least 9 for an interval that holds 90%; record more pairs, or give several studies at once, such "
        "as data/recordings/*\n"
    )


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[str, Path]:
    """What the fit of a folder with 11 pairs prints and writes."""
    monkeypatch.setattr(pairs, "recorded", lambda folder: ([made(number) for number in range(11)], ["x: unfit"]))
    assert main(["fit", str(tmp_path), "--write", str(tmp_path / "fitted.json")]) == 0
    found = capsys.readouterr()
    assert found.err == "left out: x: unfit\n"
    return found.out, tmp_path / "fitted.json"


def test_the_fit_writes_what_predictions_rest_on(shown: tuple[str, Path]) -> None:
    assert predict.read(shown[1]).pairs == 11


def test_a_fit_lists_what_is_not_claimed_apart_with_each_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [*(made(number) for number in range(11)), made(40, engine="hf"), made(50, experts=True)]
    monkeypatch.setattr(pairs, "recorded", lambda folder: (found, []))
    assert main(["fit", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[4] for line in shown if line.endswith(" not claimed")] == ["b40", "b50"]
    assert any(line.startswith("graphs on from off: 11 pairs") for line in shown)
    assert shown[-3].startswith("not claimed, graphs on from off: 2 pairs")
    assert shown[-2:] == [f"  not claimed: {claims.why_not(*of)}" for of in (("hf", False), ("vllm", True))]


def test_a_fit_that_cannot_be_written_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pairs, "recorded", lambda folder: ([made(number) for number in range(11)], []))
    file = tmp_path / "absent" / "fitted.json"
    assert main(["fit", str(tmp_path), "--write", str(file)]) == 1
    assert capsys.readouterr().err == (
        f"error: {file}: cannot be written (there is no such folder); name another file with --write\n"
    )


def test_the_fit_marks_the_columns_that_are_predicted(shown: tuple[str, Path]) -> None:
    lines = shown[0].splitlines()
    heading = next(line for line in lines if "PREDICTED on" in line)
    columns = [column.strip() for column in heading.strip().split("  ") if column]
    assert columns == ["PREDICTED on", "measured", "error", "PREDICTED R", "measured off/on", "PREDICTED bound"]
    last = [line.split(": ")[0] for line in lines[lines.index(heading) + 12 :]]
    assert last == [
        "off/on",
        "graphs on from off",
        "graphs off from on, launches known by recordings of the engine alone",
        "graphs off from on, launches known by the trace with graphs off of that very configuration",
        "graphs off from on, launches known by the trace with graphs off of another configuration of that engine on "
        "that host",
        "graphs off from on, launches known by torch alone on that host",
    ]
