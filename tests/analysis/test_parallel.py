"""Another TP by hand-made iterations, and one recorded TP beside what another foretells."""

from collections.abc import Callable

import numpy as np
import pytest

from analysis import predict
from analysis.errors import TraceError
from analysis.pairs import Pair
from analysis.parallel import ALL_REDUCE_ERROR, ALL_REDUCE_US, with_tp
from analysis.replay import PRODUCT_US
from tests.analysis.typicals import strand, typical


def test_two_gpus_stream_half_of_the_weights_each_and_meet_after_every_second_product() -> None:
    one = typical(strand([PRODUCT_US + 10, 4, PRODUCT_US + 10, 4], [8, 8, 8, 8], product=[0, 2]))
    two = with_tp(one, 2)
    assert len(two.strands) == 2
    for each in two.strands:
        assert each.own_us.tolist() == pytest.approx([PRODUCT_US + 5, 4, PRODUCT_US + 5, ALL_REDUCE_US[2], 4])
        assert np.flatnonzero(each.meets).tolist() == [3]
        assert each.host_us == pytest.approx(5 * 8)


def test_one_gpu_meets_nobody() -> None:
    two = typical(*[strand([PRODUCT_US + 10, 1, 3, 5], 8, product=[0], staged=[1], meets=[2])] * 2)
    [one] = with_tp(two, 1).strands
    assert one.own_us.tolist() == pytest.approx([PRODUCT_US + 20, 5])
    assert one.host_us == pytest.approx(2 * 8)


def test_the_same_tp_changes_nothing() -> None:
    two = typical(*[strand([10, 3], meets=[1])] * 2)
    assert with_tp(two, 2).gpu_us == two.gpu_us


def test_more_gpus_take_longer_to_meet() -> None:
    four = with_tp(typical(*[strand([3.1], product=[], meets=[0])] * 2), 4)
    assert [each.own_us.tolist() for each in four.strands] == [[pytest.approx(ALL_REDUCE_US[4])]] * 4


def test_what_was_never_recorded_is_refused() -> None:
    with pytest.raises(TraceError, match="TP16; expected one of 1, 2, 4, 8"):
        with_tp(typical(strand([1.0])), 16)


@pytest.fixture(scope="module")
def recorded(pairs_of: Callable[..., list[Pair]]) -> list[Pair]:
    return pairs_of("h200x4-2026-11-21")


def test_collectives_take_what_is_said_of_them(recorded: list[Pair]) -> None:
    for pair in recorded:
        tp, one = pair.key[2], pair.off.strands[0]
        if tp > 1:
            ratio = one.own_us[one.meets].mean() / ALL_REDUCE_US[tp]
            assert 1 / ALL_REDUCE_ERROR < ratio < ALL_REDUCE_ERROR


def test_graphs_on_at_one_tp_foretells_it_at_another_within_eight_percent(recorded: list[Pair]) -> None:
    model, errors = predict.recorded(), []
    measured = {pair.key[:3]: pair.on_ms for pair in recorded}
    for pair in recorded:
        for tp in (1, 2, 4):
            found_us = predict.on_us(with_tp(pair.off, tp), model.host_ratio, model.gap_us)
            errors.append(found_us / 1e3 / measured[pair.key[0], pair.key[1], tp] - 1)
    assert np.abs(errors).mean() < 0.04
    assert np.abs(errors).max() < 0.08
