"""How GPUs are recognised by key, by nvidia-smi's name, and by neither."""

import pytest

from study import gpus
from study.errors import StudyError


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("h200", "h200"),
        ("RTX4090", "rtx4090"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA GeForce RTX 4090 D", "rtx4090"),
        ("NVIDIA A800-SXM4-80GB", "a800"),
        ("NVIDIA A800 80GB PCIe", "a800-pcie"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
    ],
)
def test_a_gpu_is_found_by_key_or_by_the_name_nvidia_smi_gives(name, key):
    assert gpus.find(name).key == key


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA L40", "NVIDIA A10G"])
def test_a_similar_name_is_not_taken_for_a_known_gpu(name):
    with pytest.raises(StudyError, match="unknown GPU"):
        gpus.find(name)


def test_an_unknown_gpu_is_answered_with_the_nearest_one():
    with pytest.raises(StudyError, match=r"unknown GPU 'rtx409': did you mean 'rtx4090'\? allowed: rtx3090, .*b200"):
        gpus.find("rtx409")


@pytest.mark.parametrize("gpu", gpus.GPUS, ids=lambda gpu: gpu.key)
def test_every_row_is_usable_and_says_where_it_is_from(gpu):
    assert 20 < gpu.memory_gib < 300
    assert 200 < gpu.bandwidth_gb_s < 10_000
    assert f"{gpu.bandwidth_gb_s:g} GB/s" in gpu.source or "as the A100" in gpu.source
    assert gpus.find(gpu.key) is gpu


def test_no_name_belongs_to_two_gpus():
    assert len(set(gpus.keys())) == len(gpus.GPUS)
    examples = [gpu.pattern.split("(")[0] for gpu in gpus.GPUS]
    assert [sum(gpu.matches(name) for gpu in gpus.GPUS) for name in examples] == [1] * len(examples)


def test_the_host_s_gpu_is_the_listed_one_where_name_and_memory_agree():
    assert gpus.on_host("NVIDIA H200", 143_771) is gpus.find("h200")
    assert gpus.on_host("NVIDIA GeForce RTX 4090", 24_564) is gpus.find("rtx4090")
    assert gpus.on_host("NVIDIA A800-SXM4-80GB", 81_920) is gpus.find("a800")
    assert gpus.on_host("NVIDIA L40S", 46_068) is gpus.find("l40s")


def test_a_gpu_that_is_not_listed_is_made_of_what_nvidia_smi_says():
    gpu = gpus.on_host("NVIDIA Quux 100 (96GB)", 100_000)
    assert (gpu.key, gpu.memory_gib, gpu.bandwidth_gb_s) == ("nvidia-quux-100-96gb", 95.7, 0)
    assert gpu.matches("NVIDIA Quux 100 (96GB)")
    assert "nvidia-smi" in gpu.source


def test_a_known_name_with_other_memory_is_another_gpu():
    assert gpus.on_host("NVIDIA GeForce RTX 4090", 49_140).memory_gib == 47.0


@pytest.mark.parametrize(
    ("name", "tp", "kind"),
    [
        ("h200", 1, "none"),
        ("h200", 8, "the engine's own, over NVLink"),
        ("l40s", 2, "the engine's own, over PCIe"),
        ("l40s", 4, "NCCL, over PCIe"),
        ("rtx4090", 2, "NCCL, through host memory"),
    ],
)
def test_what_an_all_reduce_can_be_follows_from_how_the_gpus_are_joined(name, tp, kind):
    assert gpus.find(name).all_reduce(tp) == kind


def test_every_row_has_a_source_and_figures_that_a_gpu_can_have():
    for gpu in gpus.GPUS:
        assert gpu.source and 10 < gpu.memory_gib < 300 and 100 < gpu.bandwidth_gb_s < 10_000
        assert 50 < gpu.tensor_tflops < 5000 and 0 <= gpu.nvlink_gb_s <= 1800
        # What the source says is what the row says.
        assert f"{gpu.bandwidth_gb_s:.0f} GB/s" in gpu.source and f"{gpu.tensor_tflops:.0f} TFLOP/s" in gpu.source
