"""Two studies compared over all layouts at once: put together by hand, every time chosen here."""

from typing import Any

import pandas as pd
import pytest

from analysis import together
from analysis.changes import APART, BEYOND, HALVES, OPEN, WITHIN
from tests.analysis.test_changes import ABOUT, NO_PAIRS, NO_POINTS, points, windows


def found(*frames: pd.DataFrame, points: pd.DataFrame = NO_POINTS, pairs: pd.DataFrame = NO_PAIRS) -> pd.DataFrame:
    return together.find("a", "b", pd.concat(frames), points, pairs)


def row(table: pd.DataFrame, quantity: str = "tpot_ms", graphs: str = "off") -> dict[Any, Any]:
    (only,) = table[(table["quantity"] == quantity) & (table["graphs"] == graphs)].to_dict("records")
    return only


def test_layouts_are_compared_each_with_itself_and_make_up_for_few_starts() -> None:
    one = [windows("a", [10, 11, 12]), windows("b", [5, 5.5, 6])]
    two = [windows("a", [20, 22, 24], tp=2), windows("b", [10, 11, 12], tp=2)]
    assert row(found(*one))["verdict"] == APART
    both = row(found(*one, *two))
    assert (both["verdict"], both["layouts"], both["change_ratio"]) == (BEYOND, "TP1, TP2", 0.5)
    assert (both["first_starts_count"], both["coverage_ratio"]) == (6, pytest.approx(0.96))


def test_layouts_that_change_in_opposite_ways_are_within_noise() -> None:
    one = [windows("a", [10, 11, 12]), windows("b", [5, 5.5, 6])]
    two = [windows("a", [10, 11, 12], tp=2), windows("b", [20, 22, 24], tp=2)]
    assert row(found(*one, *two))["verdict"] == WITHIN


def test_batches_of_one_start_count_once_and_only_those_that_both_measured() -> None:
    first = [windows("a", [10, 10]), windows("a", [40, 40], batch=4), windows("a", [99, 99], batch=8)]
    second = [windows("b", [20, 20]), windows("b", [20, 20], batch=4)]
    both = row(found(*first, *second))
    # Once twice as long and once half as long: the same over both.
    assert (both["change_ratio"], both["loads_count"], both["first_starts_count"]) == (pytest.approx(1), 2, 2)


def test_a_start_that_lacks_one_of_the_loads_is_left_out() -> None:
    first = [windows("a", [10, 10]), windows("a", [40], batch=4)]
    second = [windows("b", [10]), windows("b", [40], batch=4)]
    both = row(found(*first, *second))
    assert (both["first_starts_count"], both["second_starts_count"], both["verdict"]) == (1, 1, OPEN)


def test_rows_are_in_the_order_of_a_reader_and_figures_under_load_are_among_them() -> None:
    given = pd.concat([points("a", [4, 5], [8, 8]), points("b", [4, 5], [8, 8])])
    table = found(windows("a", [8], [4]), windows("b", [8], [4]), points=given)
    expected = [("tpot_ms", "off"), ("tpot_ms", "on"), ("gain_ratio", HALVES), ("qps", "off"), ("qps", "on")]
    assert list(zip(table["quantity"], table["graphs"], strict=True))[:5] == expected
    assert list(table.columns) == list(together.COLUMNS)


def test_what_a_trace_contradicts_takes_no_part() -> None:
    void = pd.DataFrame([{**ABOUT, "study": "b", "batch": 1, "contradiction": "graphs off: graphs were launched"}])
    assert found(windows("a", [8]), windows("b", [4]), pairs=void).empty
    assert found(windows("a", [8]), windows("b", [4], batch=2)).empty
