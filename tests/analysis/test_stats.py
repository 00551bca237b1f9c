import pandas as pd
import pytest

from analysis.stats import median_interval, quantile_curve


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
