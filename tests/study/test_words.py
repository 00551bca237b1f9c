"""Suggestions in error messages."""

import pytest

from study.words import hint


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        pytest.param("vlm", "did you mean 'vllm'? allowed: vllm, sglang", id="a slip"),
        pytest.param("VLLM", "did you mean 'vllm'? allowed: vllm, sglang", id="capitals"),
        pytest.param("hf", "allowed: vllm, sglang", id="nothing is near"),
    ],
)
def test_the_nearest_word_is_suggested_and_all_are_listed(word, sentence):
    assert hint(word, ("vllm", "sglang")) == sentence
