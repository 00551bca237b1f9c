import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.stats import common_ratio, median_interval, paired_ratio, quantile_curve, unpaired_ratio


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


@pytest.mark.parametrize(
    ("over", "under", "expected"),
    [
        pytest.param([6, 8], [2, 4], (7 / 3, 1.5, 4, 2 / 3), id="two and two: 4 of 6 orders lie within the extremes"),
        pytest.param([6, 7, 8], [1, 2, 4], (3.5, 1.5, 8, 0.9), id="three and three: 18 of 20 do"),
        pytest.param([8, 8, 8, 8], [4, 4, 4, 5], (2, 1.6, 2, 68 / 70), id="four and four: enough for 95 %"),
    ],
)
def test_the_ratio_of_two_samples_that_share_nothing_has_an_interval_and_its_coverage(over, under, expected):
    assert unpaired_ratio(np.array(over, float), np.array(under, float)) == pytest.approx(expected)


def test_a_single_value_on_a_side_gives_a_ratio_without_an_interval():
    ratio, *interval = unpaired_ratio(np.array([3.0]), np.array([1.0, 1.5, 2.0]))
    assert ratio == 2 and pd.isna(pd.Series(interval)).all()
    assert pd.isna(pd.Series(unpaired_ratio(np.array([]), np.array([1.0])))).all()


def test_with_seven_values_on_a_side_one_outlier_is_dropped():
    # The critical value of the rank-sum test in printed tables: 8 of 49 comparisons, two-sided at 5 %.
    ratio, low, high, coverage = unpaired_ratio(np.array([4.0] * 6 + [40]), np.full(7, 2.0))
    assert (ratio, low, high) == (2, 2, 2) and 0.95 < coverage < 0.97


def test_intervals_of_samples_without_a_difference_exclude_one_as_rarely_as_they_say():
    # All 70 ways to deal 8 distinct values to two samples of 4: the test is exact, not approximate.
    values = 1 + np.arange(8) / 10
    dealt = [np.isin(np.arange(8), first) for first in itertools.combinations(range(8), 4)]
    found = [unpaired_ratio(values[mine], values[~mine]) for mine in dealt]
    assert sum(low <= 1 <= high for _, low, high, _ in found) == 68 and found[0][3] == pytest.approx(68 / 70)


def test_what_differs_from_pair_to_pair_cancels_and_pairs_make_up_for_few_values():
    over, under = np.array([5.0, 5.5, 6]), np.array([10.0, 11, 12])
    assert common_ratio([(over, under)])[3] == pytest.approx(0.9)
    found = common_ratio([(over, under), (100 * over, 100 * under)])
    assert found == pytest.approx((0.5, 5 / 11, 5.5 / 10, 0.96))


def test_single_values_of_many_pairs_are_a_sign_test():
    pairs = [(np.array([1.0 + layout / 10]), np.array([2.0])) for layout in range(6)]
    assert common_ratio(pairs) == pytest.approx((0.625, 0.5, 0.75, 1 - 2 / 64))
    assert pd.isna(pd.Series(common_ratio(pairs[:1]))).all()


def test_common_intervals_without_a_difference_exclude_one_as_rarely_as_they_say():
    # All 20 x 20 ways to deal 6 distinct values to two samples of 3, in two pairs at once.
    values = np.array([1, 1.1, 1.23, 1.37, 1.52, 1.7])
    dealt = [np.isin(np.arange(6), first) for first in itertools.combinations(range(6), 3)]
    found = [
        common_ratio([(values[mine], values[~mine]), (values[other], values[~other])])
        for mine in dealt
        for other in dealt
    ]
    assert sum(low <= 1 <= high for _, low, high, _ in found) / 400 == pytest.approx(found[0][3])
