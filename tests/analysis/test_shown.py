"""Numbers as they are shown: every rule once, by eye."""

import math
from typing import Any

import pytest

from analysis import shown

ROW: dict[str, Any] = {"engine": "vllm", "compile": "engine", "settings": "pinned", "tp": 2, "split": "", "batch": 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.3456, "2.35"), (0.04567, "0.0457"), (12.34, "12.3"), (123.4, "123"), (2, "2"), (5.000000000001, "5"),
        (0, "0"), (-57.61, "-57.6"), (99.96, "100"), (math.nan, "-"), (None, "-"),
    ],
)  # fmt: skip
def test_three_digits_that_count(value: float, text: str) -> None:
    assert shown.number(value) == text


def test_an_interval_keeps_its_digits_where_a_number_alone_would_drop_them() -> None:
    assert shown.interval(2, 1.9, 10.21) == "2.00 [1.90, 10.2]"
    assert shown.interval(2, math.nan, math.nan) == "2"
    assert shown.bracket(2, 10.21) == "[2.00, 10.2]" and "[2.00, 10.2]" in shown.interval(7.87, 2, 10.21)


def test_a_gain_keeps_its_digits_with_an_interval_and_without() -> None:
    assert [shown.gain(ratio) for ratio in (2, 2.2, 15.64, math.nan)] == ["2.00", "2.20", "15.6", "-"]
    row = {"gain_ratio": 2.2, "gain_low_ratio": 2, "gain_high_ratio": 10.21, "tpot_ratio": 3}
    assert shown.gain_of(row) == "2.20 [2.00, 10.2]"
    assert shown.gain_of({**row, "tpot_low_ratio": math.nan, "tpot_high_ratio": math.nan}, "tpot") == "3.00"


def test_a_ratio_is_told_as_what_it_adds() -> None:
    assert [shown.percent(ratio) for ratio in (1.192, 0.97, 0.9999, math.nan)] == ["+19.2", "-3.0", "+0.0", "-"]


def test_a_layout_and_a_trace_taken_while_serving_have_their_words() -> None:
    assert shown.layout({**ROW, "split": "pp2"}) == "2 PP2"
    assert [shown.batch({**ROW, "batch": size}) for size in (16, shown.SERVED)] == ["16", "served"]


@pytest.mark.parametrize(
    ("proof", "told"),
    [("proven", ""), ("refused", "REFUSED: why"), ("unfit", "UNFIT: why"), ("contradicted", "INVALID: why")],
)
def test_a_row_without_proof_says_why_it_does_not_count(proof: str, told: str) -> None:
    assert shown.void({"proof": proof, "reason": "why"}) == told


def test_lists_are_joined_and_what_is_missing_is_a_dash() -> None:
    assert [shown.plain(value) for value in ([1, 8], None, "x", ())] == ["1, 8", "-", "x", ""]
