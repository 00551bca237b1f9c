import numpy as np
import pytest

from analysis import joins


def test_rows_are_ordered_by_group_start_and_end() -> None:
    groups = np.array([1, 0, 1, -1, 0, 0])
    order, bounds = joins.in_order(groups, np.array([4, 3, 2, 0, 3, 3]), np.array([9, 8, 9, 9, 6, 7]))
    assert order.tolist() == [4, 5, 1, 2, 0]
    assert bounds.tolist() == [0, 3, 5]


def test_of_calls_that_begin_together_the_longest_comes_first() -> None:
    order, _ = joins.in_order(np.zeros(3, np.int64), np.array([1, 1, 0]), np.array([5, 9, 1]), longest_first=True)
    assert order.tolist() == [2, 1, 0]


@pytest.mark.parametrize("ids", [[3, 4, 3], [3, 2**40, 3]], ids=["close together", "far apart"])
def test_an_operation_is_joined_with_the_first_call_of_its_process_and_id(ids: list[int]) -> None:
    calls, pids = np.array(ids), np.array([7, 7, 7])
    found = joins.launching(pids, calls, np.array([7, 7, 8, 7]), np.array([3, ids[1], 3, 99]))
    assert found.tolist() == [0, 1, -1, -1]


def test_equal_rows_share_a_number_in_order_of_appearance() -> None:
    code, first = joins.numbered([np.array([9, 8, 9, 9]), np.array([1, 1, 1, 2])])
    assert code.tolist() == [0, 1, 0, 2]
    assert first.tolist() == [0, 1, 3]


def test_rows_of_values_too_far_apart_for_one_number_are_told_apart() -> None:
    far = np.array([2**62, 0, -(2**62), 0])
    code, first = joins.numbered([far, far, np.array([5, 5, 5, 6])])
    assert code.tolist() == [0, 1, 2, 3]
    assert first.tolist() == [0, 1, 2, 3]


def test_the_first_of_a_call_is_told_rank_by_rank() -> None:
    first = joins.first_of_call(np.array([0, 0, 0, 1, 1]), np.array([4, 4, -1, 4, 6]))
    assert first.tolist() == [True, False, False, True, True]
