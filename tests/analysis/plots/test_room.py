"""What graphs cost, drawn: bars of what engines told, words where they told nothing."""

from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes

from analysis.plots.room import COLUMNS, draw


def cost(**told: Any) -> dict[str, Any]:
    about = {
        "study": "s", "made_by": "study.sweep", "engine": "vllm", "model": "m", "tp": 1, "compile": "engine",
        "settings": "pinned", "split": "", "captured": 2, "off_kv_tokens": 3e6, "on_kv_tokens": 2e6,
        "off_ready_s": 20.0, "on_ready_s": 30.0,
    }  # fmt: skip
    return about | told


def drawn(*costs: dict[str, Any]) -> list[Axes]:
    return draw(pd.DataFrame(costs, columns=list(COLUMNS)), mark="m").axes


def bars(panel: Axes) -> list[float]:
    return [bar.get_width() for bar in panel.patches]  # type: ignore[attr-defined]


def words(panel: Axes) -> list[str]:
    return [text.get_text() for text in panel.texts]


def test_a_bar_is_as_long_as_what_the_engine_told() -> None:
    tokens, ready = drawn(cost())
    assert (bars(tokens), bars(ready)) == ([3.0, 2.0], [20.0, 30.0])
    assert words(tokens) == words(ready) == []


def test_a_bar_too_thin_to_be_seen_has_its_number() -> None:
    tokens, ready = drawn(cost(), cost(engine="sglang", off_kv_tokens=4352, on_kv_tokens=4368))
    assert words(tokens) == ["4352", "4368"] and words(ready) == []


def test_what_an_engine_does_not_tell_is_no_bar_of_0_but_words() -> None:
    nothing = float("nan")
    tokens, ready = drawn(cost(), cost(engine="hf", off_kv_tokens=nothing, on_kv_tokens=nothing, on_ready_s=nothing))
    assert (bars(tokens), words(tokens)) == ([3.0, 2.0], ["off: not told", "on: not told"])
    assert (bars(ready), words(ready)) == ([20.0, 20.0, 30.0], ["on: not told"])
    assert [text.get_position()[1] for text in tokens.texts] == pytest.approx([0.82, 1.18])
