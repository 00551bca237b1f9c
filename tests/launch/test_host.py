"""What the host is said to have: by a stand-in nvidia-smi, by none at all, and by engines' interpreters."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch import host
from launch.host import HostGpu


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing is remembered from other tests, nor left for them."""
    remembering = (host.gpus, host.engine_versions, host.uuids, host.links, host.packages, host.commit)
    for question in remembering:
        question.cache_clear()
    yield
    for question in remembering:
        question.cache_clear()


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
    assert second == HostGpu(name="NVIDIA A10", memory_gib=23.0, driver="580.1", index=1)


@pytest.mark.parametrize(("visible", "indices"), [("2,0", [0, 2]), ("GPU-1", [1]), ("", []), ("7", [])])
def test_only_gpus_that_cuda_may_see_are_there(
    visible: str, indices: list[int], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{root / 'tests' / 'standin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_GPUS", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.index for gpu in host.gpus()] == indices


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
    assert host.engine_versions(sys.executable, "vllm") == {"python": mine, "vllm": "0.33.0", "torch": "2.0"}


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


TOPOLOGY = """\
\t\x1b[4mGPU0\tGPU1\tNIC0\tCPU Affinity\x1b[0m
GPU0\t X \tNV18\tPIX\t0-31
GPU1\tNV18\t X \tSYS\t0-31
NIC0\tPIX\tSYS\t X \t

Legend:

  X    = Self
"""


def test_how_gpus_are_joined_is_read_from_the_topology_without_its_network_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "topology").write_text(TOPOLOGY)
    nvidia_smi(tmp_path, monkeypatch, f"[ \"$1 $2\" = 'topo -m' ] && cat {tmp_path}/topology")
    assert host.links() == (("X", "NV18"), ("NV18", "X"))
    assert host.uuids() == ()


def test_a_host_without_nvidia_smi_has_neither_links_nor_uuids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (host.links(), host.uuids()) == ((), ())


def test_all_that_an_interpreter_sees_is_listed_with_its_version(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root / "tests" / "standin" / "engines"))
    found = host.packages(sys.executable)
    assert (found["vllm"], found["torch"]) == ("0.33.0", "2.0") and "numpy" in found
    assert host.packages("/absent/python") == {}


def test_a_commit_is_marked_where_its_files_were_changed(tmp_path: Path) -> None:
    assert host.commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "file").write_text("a")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    host.commit.cache_clear()
    clean = host.commit(tmp_path)
    (tmp_path / "file").write_text("b")
    host.commit.cache_clear()
    assert clean is not None and len(clean) == 40 and host.commit(tmp_path) == f"{clean}+"
