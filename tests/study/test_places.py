"""Places as a study writes them."""

import pytest

from study.errors import StudyError
from study.layouts import Layout
from study.places import Place, parse


def test_a_place_has_a_model_a_layout_and_rates():
    assert parse("qwen2-72b tp4pp2 1.5 2") == Place(model="qwen2-72b", layout=Layout(tp=4, pp=2), rates=(1.5, 2.0))
    assert parse(" llama3-8b  tp2 ") == Place(model="llama3-8b", layout=Layout(tp=2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("llama3-8b", "layout ''"),
        ("lama3-8b tp1", "did you mean 'llama3-8b'"),
        ("llama3-8b tp1 fast", "found the rate 'fast'"),
        ("llama3-8b tp1 0", "found the rate '0', expected requests a second, above 0"),
        ("llama3-8b tp1 nan", "found the rate 'nan'"),
    ],
)
def test_what_is_no_place_is_told(text, said):
    with pytest.raises(StudyError, match=said):
        parse(text)
