import pytest

from analysis import hardware
from analysis.errors import TraceError
from study import gpus


@pytest.mark.parametrize("peak", hardware.peaks(), ids=lambda peak: peak.key)
def test_a_gpu_is_the_one_that_studies_are_planned_for(peak: hardware.Peak) -> None:
    planned = gpus.find(peak.key)
    assert planned.bandwidth_gb_s == peak.bandwidth_gb_s
    assert ("NVLink" in peak.link) == bool(planned.nvlink_gb_s)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("a800", "a800"),
        ("A800", "a800"),
        ("NVIDIA L4", "l4"),
    ],
)
def test_a_gpu_is_found_by_key_and_by_the_name_in_a_trace(name: str, key: str) -> None:
    assert hardware.find(name).key == key


def test_a_gpu_without_figures_is_refused() -> None:
    with pytest.raises(TraceError, match="no figures of the GPU 'NVIDIA GTX 1080'; expected one of rtx3090, rtx4090"):
        hardware.find("NVIDIA GTX 1080")


@pytest.mark.parametrize(("key", "value"), [("h200", 1.0), ("a800", 1.3), ("rtx4090", 7.0), ("a100-pcie", 7.0)])
def test_small_collectives_take_the_longer_the_slower_the_link(key: str, value: float) -> None:
    assert hardware.find(key).collective[0] == value


def test_collectives_are_expected_within_their_interval() -> None:
    assert all(low <= value <= high for value, low, high in (peak.collective for peak in hardware.peaks()))
