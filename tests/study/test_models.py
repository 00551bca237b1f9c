"""Parameter counts against transformers' own, and which TPs an architecture allows."""

import json
from dataclasses import replace

import pytest

from study import models
from study.errors import StudyError
from study.layouts import Layout, parse

# Counted by transformers on the meta device, from the same configurations: parameters, KV KiB per token, legal TPs.
COUNTED = {
    "qwen2-7b": (7_615_616_512, 56, (1, 2, 4)),
    "qwen2.5-7b": (7_615_616_512, 56, (1, 2, 4)),
    "qwen2-57b": (57_408_658_944, 56, (1, 2, 4)),
    "qwen2-72b": (72_706_203_648, 320, (1, 2, 4, 8)),
    "qwen2.5-72b": (72_706_203_648, 320, (1, 2, 4, 8)),
    "llama3-8b": (8_030_261_248, 128, (1, 2, 4, 8)),
    "llama3-70b": (70_553_706_496, 320, (1, 2, 4, 8)),
    "qwen3-8b": (8_190_735_360, 144, (1, 2, 4, 8)),
    "qwen3-32b": (32_762_123_264, 256, (1, 2, 4, 8)),
}


def test_every_model_that_ships_has_been_counted():
    assert set(models.names()) == set(COUNTED)


@pytest.mark.parametrize("name", COUNTED)
def test_sizes_equal_the_ones_counted_on_the_real_architecture(name):
    model = models.load(name)
    parameters, kv_kib, legal = COUNTED[name]
    assert model.parameters == parameters
    assert model.kv_bytes_per_token(Layout(tp=1)) == kv_kib * 1024
    assert tuple(tp for tp in (1, 2, 4, 8) if model.illegal(Layout(tp=tp)) is None) == legal


def test_tied_embeddings_are_counted_once():
    model = models.load("llama3-8b")
    assert model.parameters - replace(model, tied_embeddings=True).parameters == 128256 * 4096


def test_weights_per_gpu_shrink_with_tp():
    model = models.load("llama3-8b")
    assert model.weights_gib(Layout(tp=1)) == pytest.approx(14.96, abs=0.005)
    assert model.weights_gib(Layout(tp=8)) == pytest.approx(1.87, abs=0.005)
    assert model.weights_gib(Layout(tp=1), dtype_bytes=1) == pytest.approx(7.48, abs=0.005)


@pytest.mark.parametrize(("tp", "kib"), [(1, 128), (2, 64), (8, 16), (16, 16), (32, 16)])
def test_kv_cache_stops_shrinking_when_each_gpu_holds_one_head(tp, kib):
    assert models.load("llama3-8b").kv_bytes_per_token(Layout(tp=tp)) == kib * 1024


@pytest.mark.parametrize(
    ("change", "tp", "reason"),
    [
        pytest.param({"heads": 28}, 8, "28 attention heads are not divisible by TP 8", id="heads"),
        pytest.param(
            {"heads": 24, "kv_heads": 6}, 4, "6 KV heads can be neither split nor copied", id="KV heads, split"
        ),
        pytest.param(
            {"heads": 24, "kv_heads": 3}, 8, "3 KV heads can be neither split nor copied", id="KV heads, copied"
        ),
        pytest.param({"intermediate": 14338}, 4, "an MLP width of 14338 is not divisible by TP 4", id="MLP"),
        pytest.param({"experts": 4}, 8, "4 experts are fewer than TP 8", id="few experts"),
        pytest.param({"experts": 64, "expert_intermediate": 20}, 8, "an expert width of 20", id="expert width"),
        pytest.param(
            {"experts": 8, "expert_intermediate": 16, "shared_intermediate": 20},
            8,
            "a shared-expert width",
            id="shared",
        ),
    ],
)
def test_an_illegal_tp_is_explained(change, tp, reason):
    assert reason in (replace(models.load("llama3-8b"), **change).illegal(Layout(tp=tp)) or "")


@pytest.mark.parametrize(("kv_heads", "tp"), [(8, 4), (8, 8), (4, 8)])
def test_kv_heads_may_be_split_or_copied_evenly(kv_heads, tp):
    assert replace(models.load("llama3-8b"), kv_heads=kv_heads).illegal(Layout(tp=tp)) is None


def test_the_dense_width_of_a_mixture_of_experts_does_not_matter():
    assert replace(models.load("qwen2-57b"), intermediate=7).illegal(Layout(tp=4)) is None


@pytest.mark.parametrize(
    ("layout", "gib"),
    [("tp4", 26.7), ("tp4dp2", 26.7), ("tp4dpa2", 15.2), ("tp4pp2", 13.4)],
)
def test_a_mixture_of_experts_weighs_what_its_layout_leaves_on_each_gpu(layout, gib):
    # By hand: experts 91.9 GiB, of the rest 15.06 GiB, of which the embedding and the head 1.01 GiB each.
    assert models.load("qwen2-57b").weights_gib(parse(layout)) == pytest.approx(gib, abs=0.05)


@pytest.mark.parametrize(("layout", "kib"), [("tp1pp2", 160), ("tp4pp2", 40), ("tp8", 40)])
def test_a_stage_holds_the_kv_cache_of_its_own_layers(layout, kib):
    assert models.load("qwen2-72b").kv_bytes_per_token(parse(layout)) == kib * 1024


@pytest.mark.parametrize(
    ("model", "layout", "reason"),
    [
        ("llama3-8b", "tp1pp64", "32 layers are fewer than the 64 stages of tp1pp64"),
        ("llama3-8b", "tp4dpa2", "tp4dpa2 shares experts out over its replicas, and the model has none: dp2"),
        ("qwen2-57b", "tp4dpa256", "an expert width of 2560 is not divisible by the 1024 GPUs that share it"),
    ],
)
def test_an_illegal_layout_is_explained(model, layout, reason):
    assert models.load(model).illegal(parse(layout)) == reason


def test_an_unknown_model_is_answered_with_the_nearest_one():
    with pytest.raises(StudyError, match=r"unknown model 'lama3-8b': did you mean 'llama3-8b'\?.*config\.json"):
        models.load("lama3-8b")


def test_a_family_that_cannot_be_counted_is_refused(tmp_path):
    with pytest.raises(StudyError, match="model_type is 'mamba'; the weights of llama"):
        models.from_config("new", {"model_type": "mamba"}, tmp_path / "config.json")


def test_a_missing_key_is_named(tmp_path):
    config = json.loads(models.config_path("llama3-8b").read_text(encoding="utf-8"))
    del config["vocab_size"]
    with pytest.raises(StudyError, match="the key 'vocab_size' is missing"):
        models.from_config("new", config, tmp_path / "config.json")
