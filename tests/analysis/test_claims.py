"""Where predictions are claimed, and the one sentence that says why not, in whatever foretells."""

import json
from pathlib import Path

import pytest

from analysis import claims
from analysis.__main__ import main
from analysis.language import zh
from tests import traces


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_of_engines_whose_graphs_hold_the_step_predictions_are_claimed(engine: str) -> None:
    assert claims.of(engine) == {"claimed": True, "why_not_claimed": None}
    assert list(claims.lines(claims.of(engine))) == []


def test_of_others_the_reason_names_them_in_both_languages() -> None:
    why = claims.why_not("hf")
    assert why is not None and "graphs of hf may hold other work" in why and "hf 的图" in zh(why)
    assert "graphs of another engine" in (claims.why_not("") or "")
    assert list(claims.lines(claims.of("hf"))) == [f"  not claimed: {why}"]


@pytest.mark.parametrize("command", [["predict"], ["explain"], ["transfer", "--to", "rtx4090"]])
@pytest.mark.parametrize("claimed", [True, False])
def test_every_prediction_of_a_trace_says_whether_it_is_claimed(
    root: Path, capsys: pytest.CaptureFixture[str], command: list[str], claimed: bool
) -> None:
    name, *flags = command
    path = str(traces.recorded("vllm", 1, "off") if claimed else _of_transformers(root))
    assert main([name, path, *flags, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["claimed"] is claimed
    assert found["why_not_claimed"] == claims.of("vllm" if claimed else "")["why_not_claimed"]
    assert main([name, path, *flags]) == 0
    assert capsys.readouterr().out.count(f"  not claimed: {claims.why_not('')}\n") == int(not claimed)


def test_what_would_help_is_marked_where_it_is_not_claimed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(_of_transformers(root))
    assert main(["explain", path, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert {row["claimed"] for row in found["would_help"]} == {False}
    assert main(["explain", path]) == 0
    helps = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  PREDICTED, ") and "s " in line]
    assert [line for line in helps if "CUDA graphs" in line and "CUDA graphs (not claimed): " not in line] == []
    assert any("CUDA graphs (not claimed): " in line for line in helps)


def _of_transformers(root: Path) -> Path:
    """A trace whose kernels are of no engine that is known."""
    [trace] = root.glob("data/recordings/h100x1-hf-*/cases/*graphs-off_compile-off_trace-node_r1/*b1.sqlite.xz")
    return trace
