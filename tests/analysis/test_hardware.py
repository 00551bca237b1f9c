import pytest

from analysis import hardware
from analysis.errors import TraceError
from study import gpus


@pytest.mark.parametrize("peak", hardware.PEAKS, ids=lambda peak: peak.key)
def test_a_gpu_is_the_one_that_studies_are_planned_for(peak: hardware.Peak) -> None:
    planned = gpus.find(peak.key)
    assert planned.bandwidth_gb_s == peak.bandwidth_gb_s
    assert ("NVLink" in peak.link) == bool(planned.nvlink_gb_s)


@pytest.mark.parametrize(
    ("name", "key"),
    [("NVIDIA H200", "h200"), ("NVIDIA GeForce RTX 4090", "rtx4090"), ("a800", "a800"), ("A800", "a800")],
)
def test_a_gpu_is_found_by_key_and_by_the_name_in_a_trace(name: str, key: str) -> None:
    assert hardware.find(name).key == key


def test_a_gpu_without_figures_is_refused() -> None:
    with pytest.raises(TraceError, match="no figures of the GPU 'NVIDIA L4'; expected one of h200, h100"):
        hardware.find("NVIDIA L4")


def test_collectives_are_expected_within_their_interval() -> None:
    assert all(low <= value <= high for value, low, high in (peak.collective for peak in hardware.PEAKS))
