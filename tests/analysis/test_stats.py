import numpy as np
import pandas as pd
import pytest

from analysis.stats import median_interval, paired_ratio, quantile_curve


@pytest.mark.parametrize(
    ("values", "interval"),
    [
        pytest.param([3], (3, 3), id="one value has no spread"),
        pytest.param([2, 1, 3], (1, 3), id="three values: the extremes"),
        pytest.param([1, 2, 3, 4, 5], (1, 5), id="five values: the extremes cover 94 %, too little to drop them"),
        pytest.param([1, 2, 3, 4, 5, 6], (1, 6), id="six values: the extremes cover 97 %"),
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8], (1, 8), id="eight values: one further in would cover 93 %"),
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 9], (2, 8), id="nine values: one further in covers 96 %"),
    ],
)
def test_the_interval_is_the_narrowest_pair_of_values_that_covers_the_median(values, interval):
    assert median_interval(values) == interval


def test_no_values_have_no_interval():
    assert [pd.isna(bound) for bound in median_interval([])] == [True, True]


def test_a_curve_runs_from_the_least_to_the_greatest_value():
    curve = quantile_curve(pd.Series([4.0, 0.0, 2.0]), points=300)
    assert curve.to_dict("list") == {"share_ratio": [0.0, 0.5, 1.0], "value": [0.0, 2.0, 4.0]}


def test_a_curve_of_many_values_is_thinned():
    assert len(quantile_curve(pd.Series(range(10_000)), points=300)) == 300


def test_only_what_shares_an_index_is_a_pair():
    over, under = pd.Series({1: 8.0, 2: 9.0, 3: 10.0}), pd.Series({2: 3.0, 3: 5.0, 4: 1.0})
    assert paired_ratio(over, under) == (2.5, 2, 3)
    assert all(pd.isna(bound) for bound in paired_ratio(over, pd.Series({9: 1.0})))


def test_the_interval_of_many_pairs_covers_their_median_at_its_rate():
    chance = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        over = pd.Series(2 * np.exp(chance.normal(0, 0.1, 12)))
        _, low, high = paired_ratio(over, pd.Series(np.ones(12)))
        held += low <= 2 <= high
    assert 0.9 <= held / 200 <= 0.99
