"""The arithmetic of memory, against a table worked out by hand."""

import pytest

from study import models
from study.fit import fit, shortfall
from study.gpus import find
from study.layouts import Layout, parse

# TP at which a model fits: RTX 4090, A800, H200, of 1, 2, 4, 8, legality apart.
FITS = {
    "qwen2-7b": ((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
    "llama3-8b": ((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
    "qwen3-8b": ((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
    "qwen3-32b": ((4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
    "qwen2-57b": ((8,), (2, 4, 8), (1, 2, 4, 8)),
    "qwen2-72b": ((8,), (2, 4, 8), (2, 4, 8)),
    "llama3-70b": ((8,), (2, 4, 8), (2, 4, 8)),
}


@pytest.mark.parametrize("gpu", ["rtx4090", "a800", "h200"])
@pytest.mark.parametrize("name", FITS)
def test_what_fits_is_what_the_table_says(name, gpu):
    model, column = models.load(name), ("rtx4090", "a800", "h200").index(gpu)
    fitting = tuple(tp for tp in (1, 2, 4, 8) if shortfall(model, find(gpu), Layout(tp=tp), tokens=1000) is None)
    assert fitting == FITS[name][column]


@pytest.mark.parametrize(
    ("name", "gpu", "tp", "kv_gib", "kv_tokens"),
    [
        ("qwen2-7b", "rtx4090", 1, 6.5, 120_000),
        ("llama3-8b", "rtx4090", 1, 5.75, 47_000),
        ("qwen3-8b", "rtx4090", 1, 5.5, 40_000),
        ("qwen3-32b", "rtx4090", 4, 5.5, 89_000),
        ("qwen3-32b", "a800", 1, 8.95, 37_000),
        ("qwen2-57b", "h200", 1, 18.7, 350_000),
        ("qwen2-72b", "rtx4090", 8, 3.8, 99_000),
        ("qwen2-72b", "a800", 2, 2.2, 14_700),
        ("llama3-70b", "a800", 2, 4.2, 28_000),
    ],
)
def test_room_for_kv_cache_is_what_the_table_says(name, gpu, tp, kv_gib, kv_tokens):
    found = fit(models.load(name), find(gpu), Layout(tp=tp))
    assert found.kv_gib == pytest.approx(kv_gib, abs=0.1)
    assert found.kv_tokens == pytest.approx(kv_tokens, rel=0.03)


def test_a_small_card_keeps_one_gib_for_itself_and_a_large_one_three():
    model = models.load("llama3-8b")
    assert fit(model, find("rtx4090"), Layout(tp=1)).budget_gib == pytest.approx(0.92 * 23.6 - 1)
    assert fit(model, find("h200"), Layout(tp=1)).budget_gib == pytest.approx(0.92 * 139.8 - 3)


def test_weights_that_do_not_fit_are_told_with_both_sizes():
    reason = shortfall(models.load("qwen2-72b"), find("rtx4090"), Layout(tp=4), tokens=1)
    assert reason == "weights do not fit: 33.9 GiB per GPU at tp4, rtx4090 has room for 20.7 GiB (0.92 x 23.6 - 1)"
    assert fit(models.load("qwen2-72b"), find("rtx4090"), Layout(tp=4)).kv_tokens == 0


def test_the_last_token_that_has_room_decides():
    model, gpu = models.load("qwen2-72b"), find("a800")
    room = fit(model, gpu, Layout(tp=2)).kv_tokens
    assert shortfall(model, gpu, Layout(tp=2), room) is None
    assert shortfall(model, gpu, Layout(tp=2), room + 1) == (
        f"KV cache does not fit: {room + 1} tokens needed, the 2.2 GiB per GPU that weights leave at tp2 hold {room}"
    )


@pytest.mark.parametrize(("layout", "fits"), [("tp4dp2", False), ("tp4dpa2", True), ("tp4pp2", True), ("tp8", True)])
def test_two_replicas_of_the_57b_mixture_do_not_fit_4090s_and_shared_experts_do(layout, fits):
    assert (shortfall(models.load("qwen2-57b"), find("rtx4090"), parse(layout), tokens=1000) is None) == fits
