import json
from pathlib import Path

import pytest

from analysis import weights
from analysis.errors import TraceError
from study import models

DENSE = [name for name in models.names() if not models.load(name).experts]


@pytest.mark.parametrize("name", DENSE)
def test_what_is_streamed_are_all_matrices_but_the_token_table(name: str) -> None:
    model, found = models.load(name), weights.read(name)
    assert found.layers == model.layers
    table = 0 if model.tied_embeddings else model.vocab * model.hidden
    # Norms and biases are the rest: under a thousandth.
    assert found.streamed == pytest.approx(model.parameters - table, rel=1e-3)


def test_experts_are_refused() -> None:
    with pytest.raises(TraceError, match="qwen2-57b has experts"):
        weights.read("qwen2-57b")


@pytest.mark.parametrize("name", models.names())
def test_a_mixture_is_told_by_its_number_of_experts(name: str) -> None:
    assert weights.experts(name) == (models.load(name).experts > 0)


@pytest.mark.parametrize(
    ("key", "mixture"), [("num_local_experts", True), ("n_routed_experts", True), ("layers", False)]
)
def test_a_mixture_is_told_by_whatever_its_configuration_calls_experts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, mixture: bool
) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    (tmp_path / key).mkdir()
    (tmp_path / key / "config.json").write_text(json.dumps({key: 8}))
    assert weights.experts(key) is mixture


def test_of_a_model_that_is_not_known_no_experts_are_known() -> None:
    assert not weights.experts("gpt-2")


def test_an_unknown_model_is_refused_with_those_there_are() -> None:
    with pytest.raises(TraceError, match="no model 'gpt-2'; expected one of llama3-70b, llama3-8b"):
        weights.read("gpt-2")
