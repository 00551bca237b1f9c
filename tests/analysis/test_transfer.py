"""Another GPU and another model by hand-made iterations, where the arithmetic can be followed."""

from dataclasses import replace

import pytest

from analysis import hardware, replay, transfer
from analysis.errors import TraceError
from analysis.replay import PRODUCT_US
from analysis.transfer import Place
from analysis.typical import Typical
from analysis.weights import Weights
from tests.analysis.test_predict import MODEL
from tests.analysis.typicals import strand, typical

H200 = hardware.find("h200")
HALF = replace(H200, key="half", bandwidth_gb_s=2400)


def made(*, ranks: int = 1, launch: float = 20) -> Typical:
    """Ten layers: a product that streams for 10 us, something else for 4, and with ranks a collective of 3."""
    layer = [PRODUCT_US + 10, 4.0] + ([3.0] if ranks > 1 else [])
    meets = range(2, 30, 3) if ranks > 1 else ()
    products = range(0, 10 * len(layer), len(layer))
    return typical(*[strand(layer * 10, launch, product=list(products), meets=list(meets))] * ranks)


def test_on_the_same_gpu_nothing_changes() -> None:
    found = transfer.transfer(made(), Place(source=H200, target=H200), MODEL)
    assert found["graphs_on_ms"]["value"] == pytest.approx((10 * (PRODUCT_US + 14) + 20 * 0.5) / 1e3, rel=1e-3)
    assert found["mark"] == "PREDICTED"
    assert (found["from"], found["to"]) == ("h200", "h200")


def test_half_the_bandwidth_streams_weights_for_twice_as_long() -> None:
    same, half = (
        transfer.transfer(made(), Place(source=H200, target=gpu), MODEL)["graphs_on_ms"] for gpu in (H200, HALF)
    )
    assert half["value"] - same["value"] == pytest.approx(10 * 10 / 1e3)
    # At worst everything else takes twice as long too, and products a tenth more.
    assert half["high"] == pytest.approx((10 * (22 + 2 * (PRODUCT_US + 4)) + 10) / 1e3 * 1.1, rel=1e-3)
    assert half["low"] == pytest.approx((10 * (18 + PRODUCT_US + 4) + 10) / 1e3 / 1.1, rel=1e-3)


def test_collectives_take_longer_without_nvlink() -> None:
    pcie = replace(H200, key="pcie", nvlink_gb_s=0.0)
    found = [
        transfer.transfer(made(ranks=2), Place(source=H200, target=gpu), MODEL)["graphs_on_ms"] for gpu in (H200, pcie)
    ]
    assert found[1]["value"] - found[0]["value"] == pytest.approx(10 * 3 * 6 / 1e3)


def test_a_large_batch_that_was_recorded_there_stays_as_it_was_on_the_same_gpu() -> None:
    found = transfer.transfer(made(), Place(source=H200, target=H200, batch=512), MODEL)
    assert found == transfer.transfer(made(), Place(source=H200, target=H200), MODEL) | {"batch": 512}


def test_a_large_batch_takes_longer_by_what_the_other_gpu_computes_slower() -> None:
    """Products that compute for 10 us, with a third of the operations a second elsewhere."""
    slow = replace(H200, key="slow", tensor_tflops=H200.tensor_tflops / 3)
    here, there = (
        transfer.transfer(made(), Place(source=H200, target=gpu, batch=2048), MODEL)["graphs_on_ms"]["value"]
        for gpu in (H200, slow)
    )
    assert there - here == pytest.approx(10 * 10 * 2 / 1e3)


@pytest.mark.parametrize("ranks", [1, 2])
def test_at_the_break_even_launching_makes_the_iteration_longer_by_a_hundredth(ranks: int) -> None:
    launch_us = transfer.breakeven_us(made(ranks=ranks))
    alone, launched = (replay.iteration_us(replay.with_launches(made(ranks=ranks), us)) for us in (0, launch_us))
    assert launched == pytest.approx(1.01 * alone, rel=1e-6)


def test_large_batches_are_bound_by_products_not_by_memory() -> None:
    weak = replace(H200, key="weak", tensor_tflops=10)
    one, many = (
        transfer.transfer(made(), Place(source=H200, target=weak, batch=batch), MODEL)["graphs_on_ms"]["value"]
        for batch in (1, 128)
    )
    # 0.9 x 4.8 TB/s of weights, 2 operations a weight of 2 bytes and sequence, at 60 % of 10 TFLOPS.
    assert many - one == pytest.approx(10 * 10 * (128 * 4.32 / 6 - 1) / 1e3, rel=1e-2)


def test_a_smaller_model_streams_less_and_launches_less() -> None:
    models = Weights(name="big", streamed=100, layers=10), Weights(name="small", streamed=50, layers=5)
    found = transfer.transfer(made(), Place(source=H200, target=H200, models=models), MODEL)
    assert found["model"] == "small"
    assert found["graphs_on_ms"]["value"] == pytest.approx((10 * (5 + (PRODUCT_US + 4) / 2) + 10) / 1e3, rel=1e-3)
    assert found["graphs_off_ms"]["value"] == pytest.approx(20 * 20 * 0.5 / 2 / 1e3)


def test_the_host_is_taken_along_and_may_be_faster_or_slower() -> None:
    found = transfer.transfer(made(launch=100), Place(source=H200, target=HALF), MODEL)
    off = found["graphs_off_ms"]
    assert (off["low"], off["value"], off["high"]) == pytest.approx((1 / 1.4, 1.0, 1.4), rel=1e-3)
    assert found["bound"] == "launch"
    here = transfer.transfer(made(launch=100), Place(source=H200, target=H200), MODEL)["graphs_off_ms"]
    assert here["high"] == pytest.approx(1.2, rel=1e-3)


def test_break_even_is_where_launching_takes_as_long_as_the_gpu() -> None:
    one = made()
    assert transfer.breakeven_us(one) == pytest.approx(one.gpu_us / 20, rel=0.03)
    # Half the iteration's work on one of two stretches: the host of the other may take longer, but not both.
    assert transfer.breakeven_us(made(ranks=2)) == pytest.approx(made(ranks=2).gpu_us / 30, rel=0.03)


def test_a_trace_with_graphs_holds_no_launches() -> None:
    with pytest.raises(TraceError, match="a trace with graphs; expected one without"):
        transfer.transfer(replace(made(), graphs=True), Place(source=H200, target=H200), MODEL)
