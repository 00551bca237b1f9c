"""What the host is said to have: by a stand-in nvidia-smi, by none at all, and by engines' interpreters."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch import host
from launch.host import HostGpu


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing is remembered from other tests, nor left for them."""
    host.gpus.cache_clear()
    host.engine_versions.cache_clear()
    yield
    host.gpus.cache_clear()
    host.engine_versions.cache_clear()


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_gpus_come_in_the_order_of_nvidia_smi_with_memory_in_gib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(tmp_path, monkeypatch, "echo 'NVIDIA H200, 143771, 580.1'; echo 'NVIDIA A10, 23552, 580.1'")
    first, second = host.gpus()
    assert (first.name, first.driver, round(first.memory_gib, 1)) == ("NVIDIA H200", "580.1", 140.4)
    assert second == HostGpu(name="NVIDIA A10", memory_gib=23.0, driver="580.1")


def test_the_question_is_one_that_the_strict_stand_in_answers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{root / 'tests' / 'standin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_GPUS", "3")
    assert len(host.gpus()) == 3


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo 'NVIDIA-SMI has failed, it could not, reach it'; exit 9", id="a driver that is gone"),
        pytest.param("echo 'No devices were found'", id="a host without devices"),
        pytest.param("exec /absent", id="one that does not run"),
    ],
)
def test_a_host_whose_nvidia_smi_lists_nothing_has_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    nvidia_smi(tmp_path, monkeypatch, script)
    assert host.gpus() == ()


def test_a_host_without_nvidia_smi_has_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host.gpus() == ()


def test_a_gpu_that_shares_the_host_s_memory_has_the_host_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, monkeypatch, "echo 'NVIDIA GB10, [N/A], 580.1'")
    (gpu,) = host.gpus()
    assert gpu.name == "NVIDIA GB10"
    assert gpu.memory_gib == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)


def test_an_interpreter_with_the_engine_tells_versions(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root / "tests" / "standin" / "engines"))
    mine = ".".join(map(str, sys.version_info[:3]))
    assert host.engine_versions(sys.executable, "vllm") == {"python": mine, "vllm": "0.0.1", "torch": "2.0"}


@pytest.mark.parametrize("python", [sys.executable, "/bin/false", "/absent/python"])
def test_an_interpreter_without_the_engine_tells_nothing(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert host.engine_versions(python, "no-such-engine") is None


def test_an_interpreter_that_greets_first_is_still_understood(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("""#!/bin/sh\necho 'module loaded'\necho '{"python": "3.12.3", "vllm": "1.0"}'\n""")
    python.chmod(0o755)
    assert host.engine_versions(str(python), "vllm") == {"python": "3.12.3", "vllm": "1.0"}


def test_the_processor_has_a_name() -> None:
    assert host.cpu_model().strip() == host.cpu_model() != ""
