import numpy as np
import pandas as pd
import pytest

from analysis import grouped

GROUPS = np.array([0, 2, 0, -1, 2, 0, 2])
VALUES = np.array([5, 1, 3, 99, 2, 4, 7])


def test_rows_of_no_group_count_nowhere() -> None:
    assert grouped.counts(GROUPS, 3).tolist() == [3, 0, 3]
    assert grouped.sums(GROUPS, 3, VALUES).tolist() == [12, 0, 10]


def test_a_median_is_the_middle_and_of_an_even_number_between_the_two() -> None:
    assert grouped.medians(np.array([0, 0, 0, 1, 1]), 2, np.array([9, 1, 5, 2, 5])).tolist() == [5, 3.5]


def test_a_group_without_rows_has_no_median_and_no_largest() -> None:
    assert np.array_equal(grouped.medians(GROUPS, 3, VALUES), [4, np.nan, 2], equal_nan=True)
    assert np.array_equal(grouped.largest(GROUPS, 3, VALUES), [5, np.nan, 7], equal_nan=True)


def test_medians_of_values_too_far_apart_for_one_number_are_the_same() -> None:
    far = np.array([2**61, -(2**61), 0, 7])
    assert grouped.medians(np.array([0, 0, 0, 1]), 2, far).tolist() == [0, 7]


@pytest.mark.parametrize("seed", range(3))
def test_medians_are_those_of_pandas(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups, values = random.integers(0, 9, 500), random.integers(-1000, 1000, 500)
    expected = pd.Series(values).groupby(groups).median()
    assert grouped.medians(groups, 9, values).tolist() == expected.tolist()


def test_a_row_is_among_the_iterations_by_rank_and_number() -> None:
    iterations = pd.DataFrame({"rank": [0, 0, 1], "iteration": [5, 7, 5]})
    rows = pd.DataFrame({"rank": [1, 0, 0, 0, 1], "iteration": [5, 7, 6, -1, 9]})
    assert grouped.among(rows, iterations).tolist() == [2, 1, -1, -1, -1]
