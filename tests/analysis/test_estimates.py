import math

import numpy as np
import pytest

from analysis.errors import TraceError
from analysis.estimates import Estimate, error_at, within


def test_an_interval_is_a_factor_either_way() -> None:
    assert within(10, math.log(2)) == Estimate(value=10, low=pytest.approx(5), high=pytest.approx(20))


def test_a_quotient_is_wrong_on_both_sides_at_worst() -> None:
    found = Estimate(value=10, low=8, high=12).over(Estimate(value=2, low=1, high=4))
    assert found == Estimate(value=5, low=2, high=12)


def test_the_larger_of_two_is_taken_end_by_end() -> None:
    found = Estimate(value=10, low=2, high=11).at_least(Estimate(value=9, low=8, high=20))
    assert found == Estimate(value=10, low=8, high=20)


def test_the_ends_of_an_interval_belong_to_it() -> None:
    found = Estimate(value=2, low=1, high=3)
    assert [found.holds(value) for value in (0.99, 1, 3, 3.01)] == [False, True, True, False]


def test_an_error_is_the_one_that_a_further_one_stays_below() -> None:
    # Of nine, a tenth is below the largest in nine of ten cases; either way counts alike.
    ratios = [1.0] * 8 + [1 / 1.2]
    assert error_at(0.9, ratios) == pytest.approx(math.log(1.2))
    assert error_at(0.8, ratios) == 0


def test_too_few_errors_give_no_interval() -> None:
    with pytest.raises(TraceError, match="8 errors; expected at least 9 for an interval that holds 90%"):
        error_at(0.9, [1.0] * 8)


def test_intervals_hold_as_often_as_they_say() -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        ratios = np.exp(draw.normal(0, 0.1, 16))
        held += within(1, error_at(0.9, ratios[:15].tolist())).holds(float(ratios[15]))
    assert 0.88 < held / 2000 < 0.96
