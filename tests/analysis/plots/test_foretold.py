"""Predictions beside measurements, drawn: who is claimed, and which marks are named."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.foretold import COLUMNS, draw
from tests.analysis.plots.texts import unreadable


def frame(*rows: tuple[str, int, float], claimed: tuple[str, ...] = ("vllm", "sglang")) -> pd.DataFrame:
    """Of each engine, TP and measured time a prediction that is right."""
    found = [
        {"study": "s", "made_by": "study.sweep", "engine": engine, "tp": tp, "batch": 1, "direction": "on from off",
         "predicted_ms": time_ms, "predicted_low_ms": 0.98 * time_ms, "predicted_high_ms": 1.02 * time_ms,
         "measured_ms": time_ms, "claimed": engine in claimed}
        for engine, tp, time_ms in rows
    ]  # fmt: skip
    return pd.DataFrame(found, columns=list(COLUMNS))


def names(figure: Figure) -> list[str]:
    (panel,) = figure.axes
    return [text.get_text() for text in panel.texts]


def colours(panel: Axes) -> dict[str, str]:
    """By marker, but for the line of what was measured."""
    return {str(line.get_marker()): str(line.get_color()) for line in panel.lines if line.get_marker() != "None"}


def test_marks_apart_are_all_named() -> None:
    figure = draw(frame(("vllm", 1, 10.0), ("vllm", 2, 5.0), ("sglang", 4, 2.0)), mark="m")
    assert sorted(names(figure)) == ["TP1", "TP2", "TP4"]


def test_in_a_crowd_names_that_would_lie_on_each_other_are_left_out_those_of_more_gpus_last() -> None:
    crowd = [(engine, tp, 10.0 * 1.01**place) for place in range(12) for engine, tp in (("vllm", 1), ("sglang", 8))]
    figure = draw(frame(*crowd, ("vllm", 2, 40.0)), mark="m")
    assert unreadable(figure) == []
    assert set(names(figure)) == {"TP8", "TP2"}


def test_names_of_two_marks_side_by_side_stand_on_either_side() -> None:
    figure = draw(frame(("vllm", 8, 10.0), ("sglang", 4, 10.4), ("vllm", 1, 40.0)), mark="m")
    sides = {text.get_text(): text.get_horizontalalignment() for text in figure.axes[0].texts}
    assert sides["TP8"] != sides["TP4"]


def test_engines_that_no_prediction_is_claimed_of_are_grey_and_the_legend_says_so() -> None:
    figure = draw(frame(("vllm", 1, 10.0), ("hf", 1, 30.0)), mark="m")
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["vLLM", "HF transformers (not claimed)", "as measured"]
    assert colours(figure.axes[0]) == {"o": "#0072B2", "s": "#999999"}


def test_of_one_engine_what_is_claimed_and_what_is_not_are_told_apart() -> None:
    rows = frame(("sglang", 1, 10.0), ("sglang", 2, 30.0)).assign(claimed=[True, False])
    figure = draw(rows, mark="m")
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["SGLang", "SGLang (not claimed)", "as measured"]
    marks = [line.get_color() for line in figure.axes[0].lines if line.get_marker() != "None"]
    assert marks == ["#0072B2", "#999999"]
