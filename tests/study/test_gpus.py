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
