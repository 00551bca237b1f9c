"""Where predictions are claimed, and the one sentence that says why not, in whatever foretells."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis import claims
from analysis.__main__ import main
from analysis.language import zh
from tests import traces


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_of_engines_whose_graphs_hold_the_step_predictions_of_dense_models_are_claimed(engine: str) -> None:
    assert claims.of(engine, False) == {"claimed": True, "why_not_claimed": None}
    assert list(claims.lines(claims.of(engine, False))) == []


def test_of_others_the_reason_names_them_in_both_languages() -> None:
    why = claims.why_not("hf", False)
    assert why is not None and "graphs of hf may hold other work" in why and "hf 的图" in zh(why)
    assert "graphs of another engine" in (claims.why_not("", False) or "")
    assert list(claims.lines(claims.of("hf", False))) == [f"  not claimed: {why}"]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_of_a_mixture_of_experts_the_reason_is_told_in_both_languages(engine: str) -> None:
    why = claims.why_not(engine, True)
    assert why is not None and "side by side on a second stream" in why and "第二条 stream" in zh(why)
    assert list(claims.lines(claims.of(engine, True))) == [f"  not claimed: {why}"]


def test_rows_are_told_apart_by_their_reason_once_each() -> None:
    keys = [("hf", False), ("sglang", True), ("sglang", False), ("hf", False), ("vllm", False)]
    rows = [{"engine": engine, "claimed": claimed, "row": row} for row, (engine, claimed) in enumerate(keys)]
    found = {why: [one["row"] for one in mine] for why, mine in claims.reasons(rows, str.upper).items()}
    assert found == {claims.why_not("hf", False, "HF"): [0, 3], claims.why_not("vllm", True): [2, 4]}


def _of_transformers(root: Path) -> Path:
    """A trace whose kernels are of no engine that is known."""
    [trace] = root.glob("data/recordings/h100x1-hf-*/cases/*graphs-off_compile-off_trace-node_r1/*b1.sqlite.xz")
    return trace


def _of_a_mixture(root: Path) -> Path:
    [trace] = root.glob("data/recordings/h200x2-large-*/cases/qwen2-57b_*graphs-off_trace-node_r1/*b1.sqlite.xz")
    return trace


@pytest.mark.parametrize("command", [["predict"], ["explain"], ["transfer", "--to", "rtx4090"]])
@pytest.mark.parametrize(
    ("path", "of"),
    [
        (lambda _: traces.recorded("vllm", 1, "off"), ("vllm", False)),
        (_of_transformers, ("", False)),
        (_of_a_mixture, ("sglang", True)),
    ],
)
def test_every_prediction_of_a_trace_says_whether_it_is_claimed(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    path: Callable[[Path], Path],
    of: tuple[str, bool],
) -> None:
    name, *flags = command
    trace, claim = str(path(root)), claims.of(*of)
    assert main([name, trace, *flags, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert {key: found[key] for key in claim} == claim
    assert main([name, trace, *flags]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  not claimed: ")]
    assert said == list(claims.lines(claim))


@pytest.mark.parametrize("of", [_of_transformers, _of_a_mixture])
def test_what_would_help_is_marked_where_it_is_not_claimed(
    root: Path, capsys: pytest.CaptureFixture[str], of: Callable[[Path], Path]
) -> None:
    path = str(of(root))
    assert main(["explain", path, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert {row["claimed"] for row in found["would_help"]} == {False}
    assert main(["explain", path]) == 0
    helps = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  PREDICTED, ") and "s " in line]
    assert [line for line in helps if "CUDA graphs" in line and "CUDA graphs (not claimed): " not in line] == []
    assert any("CUDA graphs (not claimed): " in line for line in helps)
