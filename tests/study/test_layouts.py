"""The words for layouts."""

import pytest

from study.errors import StudyError
from study.layouts import Layout, parse


@pytest.mark.parametrize(
    ("word", "layout", "gpus"),
    [
        ("tp1", Layout(tp=1), 1),
        ("tp4pp2", Layout(tp=4, pp=2), 8),
        ("tp4dp2", Layout(tp=4, dp=2), 8),
        ("tp4dpa2", Layout(tp=4, dp=2, dp_attention=True), 8),
        ("tp2pp2dp2", Layout(tp=2, pp=2, dp=2), 8),
    ],
)
def test_a_word_and_its_layout_name_each_other(word, layout, gpus):
    assert parse(word) == layout
    assert (layout.label, layout.gpus) == (word, gpus)


@pytest.mark.parametrize("word", ["", "4", "tp0", "tp4dp2pp2", "tp4 pp2", "TP4", "tp4dpa", "tp04"])
def test_what_is_no_layout_is_answered_with_an_example(word):
    with pytest.raises(StudyError, match="as in tp4pp2"):
        parse(word)


@pytest.mark.parametrize(("word", "name"), [("tp4pp1", "tp4"), ("tp4dp1", "tp4"), ("tp4dpa1", "tp4")])
def test_one_layout_has_one_name(word, name):
    with pytest.raises(StudyError, match=f"write {name},"):
        parse(word)
